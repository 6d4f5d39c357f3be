"""What a pull request is told of a stack, put together: previews with policies, allowances and costs."""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import pulumi.automation as auto
from pulumi.automation import EngineEvent

from infra.arguments import Stack
from infra.settings import Settings
from localcloud.paths import PROJECT, WORKSPACE
from review import cost, cost_items, cost_prices, cost_usage
from review.cost import Estimate
from review.plans import FolderPlans
from review.preview import Judgement, Request, Say, failed, preview_all
from review.report import CostDelta, Report
from review.stateful import Allowance
from review.terraform_program import Declared, declared
from switchyard.errors import SwitchyardError
from switchyard.stacks import guard_account, project_name, settings_of, workspace

POLICIES = PROJECT / "policies"
# In CI the folder is an artefact that the preview's job hands to the job that applies.
PLANS = FolderPlans(Path(os.environ.get("SWITCHYARD_PLANS") or WORKSPACE / "plans"))


def previews(stacks: Sequence[str], say: Say, *, refresh: bool) -> list[Report]:
    """A report for each stack, in their order; a stack with a mistake in its settings is a failed one.

    The plans that may be applied are kept.
    """
    requests: dict[str, Request] = {}
    reports: dict[str, Report] = {}
    for stack in stacks:
        try:
            # Else the preview of a wrong account, or of none, fails late and in the engine's words.
            guard_account(stack)
            requests[stack] = request(stack, refresh=refresh)
        except SwitchyardError as error:
            reports[stack] = failed(stack, project_name(), str(error), datetime.now(UTC).date())
    made = preview_all(list(requests.values()), say) if requests else []
    reports |= dict(zip(requests, made, strict=True))
    for report in made:
        if report.plan is not None:
            PLANS.save(report.plan)
    return [reports[stack] for stack in stacks]


def request(stack: str, *, refresh: bool = False) -> Request:
    """The preview of a stack, with the policy pack, its allowances and its costs. Raises SwitchyardError."""
    settings = settings_of(stack)
    engine = workspace(stack)

    def judge(events: Sequence[EngineEvent]) -> Judgement:
        del events
        return Judgement(costs=tuple(cost_changes(stack, settings, engine)))

    return Request(
        stack=stack,
        engine=engine,
        refresh=refresh,
        allowances=[
            Allowance(resource=one.resource, operation=one.operation, reason=one.reason, expires=one.expires)
            for one in settings.allow
        ],
        policy_packs=[POLICIES],
        judge=judge,
    )


def program_of(stack: str, settings: Settings) -> list[Declared]:
    """What the program declares for a stack, by itself: no account is asked, nothing is released yet."""
    return declared(
        Stack(project=project_name(), name=stack, account_id=settings.accounts[0], settings=settings)
    )


def estimate(stack: str) -> Estimate:
    """What a month of the declared stack costs. Raises SwitchyardError for a region without prices."""
    settings = settings_of(stack)
    return _estimate(cost_items.of_declared(program_of(stack, settings)), settings)


def _estimate(items: Sequence[cost_items.Item], settings: Settings) -> Estimate:
    try:
        prices = cost_prices.load(settings.region)
    except cost_prices.InvalidPrices as error:
        raise SwitchyardError(str(error)) from None
    return cost.estimate(items, prices, cost_usage.of_settings(settings))


def cost_changes(stack: str, settings: Settings, engine: auto.LocalWorkspace) -> list[CostDelta]:
    """What the change does to each component's month; nothing for a region without prices."""
    try:
        after = _estimate(cost_items.of_declared(program_of(stack, settings)), settings)
        before = _estimate(cost_items.of_states(_deployed(stack, engine)), settings)
    except SwitchyardError:
        return []
    delta = cost.delta(before, after)
    assumed = tuple(f"{name}: {value}" for name, value in after.assumptions.items())
    unpriced = {
        name: tuple(f"{one.resource} ({one.why})" for one in delta.unpriced if one.component == name)
        for name in {one.component for one in delta.unpriced}
    }
    changed = {one.component: (float(one.before), float(one.after)) for one in delta.components}
    return [
        CostDelta(
            component=name,
            before=changed.get(name, (0.0, 0.0))[0],
            after=changed.get(name, (0.0, 0.0))[1],
            assumptions=assumed,
            unpriced=unpriced.get(name, ()),
        )
        for name in [*changed, *(name for name in unpriced if name not in changed)]
    ]


def _deployed(stack: str, engine: auto.LocalWorkspace) -> list[dict[str, object]]:
    try:
        deployment = engine.export_stack(stack).deployment or {}
    except auto.CommandError:
        # Not there yet: all of it is new.
        return []
    return list(deployment.get("resources") or [])
