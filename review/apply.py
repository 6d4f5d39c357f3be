"""Applies a plan: exactly what was previewed, or nothing.

What would be done is computed again and compared by its digest. Between that and the end the engine itself
keeps to the plan: it is given the plan that the second preview has written, and stops at the first
operation that is not in it (Pulumi's update plans).
"""

import os
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import pulumi.automation as auto
import yaml
from pulumi.automation import EngineEvent

from review.changes import Reading
from review.digest import Plan, compare
from review.errors import ApplyFailed, ChecksFailed, NotPlanned, PlanDiffers, ReviewError, StackBusy
from review.events import read
from review.masking import Masker
from review.plans import FolderPlans, checked_digest
from review.preview import Request, Say, masker_of, options, preview, settings_in, words_of
from review.report import Report
from review.sealing import can_be_sealed, how_to_seal, provider_of

# So many differences are spelled out.
LISTED = 40


@dataclass(frozen=True, kw_only=True)
class Applied:
    """What was done. `counts`: resources by operation."""

    report: Report
    counts: dict[str, int]


def up(
    request: Request,
    say: Say,
    *,
    digest: str | None = None,
    plans: FolderPlans | None = None,
    observe: Callable[[EngineEvent], None] | None = None,
    begin: Callable[[Report], None] | None = None,
    today: date | None = None,
) -> Applied:
    """Previews the stack, checks the plan, applies it and returns what was done.

    digest: of the plan that was reviewed; None applies whatever passes the checks.
    plans: where that plan is kept, to show how it differs, and whether AWS was read first.
    observe: gets each event of the update.
    begin: is told what is about to be applied; not if there is nothing to do.

    Raises PlanDiffers, ChecksFailed, StackBusy or ReviewError before anything is done, ApplyFailed if the
    engine stopped, NotPlanned if it did something else than planned.
    """
    if digest is not None:
        checked_digest(digest)
    planned = plans.load(digest) if digest and plans else None
    if planned:
        request = replace(request, refresh=planned.refreshed)
    with tempfile.TemporaryDirectory(prefix="plan-") as folder:
        request = replace(request, save_plan=Path(folder) / "plan.json")
        stack = _stack(request)
        masker = masker_of(request, stack)
        report = preview(request, say, today)
        plan = _agreed(report, digest, planned)
        if not plan.steps and not report.refreshed:
            say(f"{request.stack} is as it should be: nothing was done")
            return Applied(report=report, counts={})
        say(f"Applying to {request.stack}: {report.headline}")
        if begin:
            begin(report)
        reading = _apply(stack, request, masker, observe)
    _kept_to(plan, reading)
    return Applied(report=report, counts=_counts(reading))


def _stack(request: Request) -> auto.Stack:
    """The stack, made if need be: this is the run that may. Raises ReviewError before anything is made."""
    folder, engine = request.engine.work_dir, request.engine
    try:
        with suppress(auto.StackNotFoundError):
            return auto.select_stack(request.stack, work_dir=folder, opts=options(engine))
        settings, variables = settings_in(request.file), {**os.environ, **engine.env_vars}
        if not can_be_sealed(settings, variables, engine.who_am_i().url or ""):
            region = f"{engine.project_settings().name}:region"
            configuration = settings.get("config") or {}
            raise ReviewError(how_to_seal(request.stack, configuration.get(region, "REGION")))
        opts = options(engine, secrets_provider=provider_of(settings))
        return auto.create_stack(request.stack, work_dir=folder, opts=opts)
    except (auto.CommandError, yaml.YAMLError, OSError) as error:
        words = masker_of(request).text(words_of(error))
        raise ApplyFailed(f"stack {request.stack} can't be reached; nothing was done:\n{words}") from None


def _agreed(report: Report, digest: str | None, planned: Plan | None) -> Plan:
    """The plan that may be applied. Raises ChecksFailed or PlanDiffers."""
    plan = report.plan
    if plan and digest and plan.digest != digest:
        raise PlanDiffers(_differs(report.stack, digest, plan, planned))
    if plan is None or report.failed:
        said = "\n".join(f"- {check.title}: {check.message}" for check in report.failed)
        raise ChecksFailed(f"{report.stack}: nothing was done, for its plan does not pass:\n{said}")
    return plan


def _differs(stack: str, digest: str, plan: Plan, planned: Plan | None) -> str:
    text = f"{stack}: what would be done now is not the plan {digest}; nothing was done.\n"
    if planned is None:
        steps = [f"- {step.operation} {step.urn}" for step in plan.steps] or ["- nothing"]
        text += "That plan is not kept here, so only what would be done now can be shown:\n"
    else:
        steps = [f"- {line}" for line in compare(planned, plan)]
        text += "It differs:\n"
    more = [f"- and {len(steps) - LISTED} more"] if len(steps) > LISTED else []
    text += "\n".join([*steps[:LISTED], *more])
    return f"{text}\nReview it again (switchyard preview --stack {stack}), then apply {plan.digest}."


def _apply(
    stack: auto.Stack,
    request: Request,
    masker: Masker,
    observe: Callable[[EngineEvent], None] | None,
) -> Reading:
    events: list[EngineEvent] = []

    def take(event: EngineEvent) -> None:
        events.append(event)
        if observe:
            observe(event)

    try:
        stack.up(
            on_event=take,
            plan=str(request.save_plan),
            refresh=request.refresh or None,
            policy_packs=[str(pack) for pack in request.policy_packs] or None,
            suppress_outputs=True,
            show_secrets=False,
        )
    except auto.errors.ConcurrentUpdateError as error:
        words = masker.text(words_of(error))
        raise StackBusy(f"stack {request.stack} is in somebody else's hands: {words}") from None
    except auto.CommandError as error:
        reading = read(_finished(events), masker)
        said = "\n".join(reading.errors) or masker.text(words_of(error))
        counts = _counts(reading)
        raise ApplyFailed(
            f"{request.stack} was not brought to its plan. Done: {_told(counts) or 'nothing'}.\n{said}",
            counts,
        ) from None
    return read(_finished(events), masker)


def _finished(events: Sequence[EngineEvent]) -> list[EngineEvent]:
    """The events without the steps that were begun and not ended."""
    ended = {
        (found.metadata.urn, found.metadata.op)
        for event in events
        if (found := event.res_outputs_event) is not None
    }
    return [
        event
        for event in events
        if event.resource_pre_event is None
        or (event.resource_pre_event.metadata.urn, event.resource_pre_event.metadata.op) in ended
    ]


def _kept_to(plan: Plan, reading: Reading) -> None:
    """Raises NotPlanned if something was done that is not in the plan. Less is fine: an unknown value may
    turn out to be what is there already."""
    meant = {(step.urn, step.operation) for step in plan.steps}
    other = [change for change in reading.changes if (change.urn, change.operation.value) not in meant]
    if other:
        listed = "\n".join(f"- {change.operation.value} {change.urn}" for change in other[:LISTED])
        raise NotPlanned(
            f"{plan.stack}: these were done and were not planned; look at each:\n{listed}", _counts(reading)
        )


def _counts(reading: Reading) -> dict[str, int]:
    return dict(Counter(change.operation.value for change in reading.changes))


def _told(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {operation}" for operation, count in counts.items())
