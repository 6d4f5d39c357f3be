"""One stack's preview as a reviewer needs it: what would change, whether it may, and what it costs. Pure."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from review.changes import Change, Drift, Operation, PropertyChange, Reading
from review.digest import Plan
from review.policy_findings import PolicyFinding
from review.stateful import Allowance, allowance_for

PASSED, FAILED = 0, 1


@dataclass(frozen=True, kw_only=True)
class CostDelta:
    """A component's cost in a month, before and after, in `currency`.

    assumptions: on usage, a sentence each.
    unpriced: resources without a known price; they are not free.
    """

    component: str
    before: float
    after: float
    currency: str = "USD"
    assumptions: tuple[str, ...] = ()
    unpriced: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that a plan has to pass. `about`: what it is of, a URN or a control."""

    passed: bool
    title: str
    about: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything of one stack's preview, without secrets."""

    project: str
    stack: str
    reading: Reading
    plan: Plan | None = None
    checks: tuple[Check, ...] = ()
    findings: tuple[PolicyFinding, ...] = ()
    costs: tuple[CostDelta, ...] = ()
    refreshed: bool = False

    @property
    def counts(self) -> dict[Operation, int]:
        """How many of each operation, the gravest first, none left out for being zero."""
        found = Counter(change.operation for change in self.reading.changes)
        return {operation: found[operation] for operation in Operation}

    @property
    def failed(self) -> tuple[Check, ...]:
        """The checks that it has not passed."""
        return tuple(check for check in self.checks if not check.passed)

    @property
    def outside(self) -> tuple[Drift, ...]:
        """What somebody changed who was not meant to."""
        return tuple(drift for drift in self.reading.drift if drift.writer is None)

    @property
    def delegated(self) -> tuple[Drift, ...]:
        """What others than the program have written, as they are meant to."""
        return tuple(drift for drift in self.reading.drift if drift.writer is not None)

    @property
    def status(self) -> int:
        """The exit status: 0 if the plan was made and may be applied, else 1."""
        return FAILED if self.failed or self.plan is None else PASSED

    @property
    def headline(self) -> str:
        """What would happen, in a line."""
        if self.plan is None:
            return "the preview failed"
        said = [f"{count} to {operation.value}" for operation, count in self.counts.items() if count]
        return ", ".join(said) or "no changes"

    def to_json(self) -> dict[str, Any]:
        """The report for programs."""
        return {
            "project": self.project,
            "stack": self.stack,
            "status": "failed" if self.status else "passed",
            "headline": self.headline,
            "digest": self.plan.digest if self.plan else None,
            "state": self.plan.state if self.plan else None,
            "refreshed": self.refreshed,
            "counts": {operation.value: count for operation, count in self.counts.items()},
            "unchanged": self.reading.unchanged,
            "checks": [
                {
                    "passed": check.passed,
                    "title": check.title,
                    "about": check.about,
                    "message": check.message,
                    "remedy": check.remedy,
                }
                for check in self.checks
            ],
            "changes": [_change_json(change) for change in self.reading.changes],
            "drift": [_drift_json(drift) for drift in self.reading.drift],
            "policy": [vars(finding) for finding in self.findings],
            "cost": [
                {**vars(cost), "assumptions": list(cost.assumptions), "unpriced": list(cost.unpriced)}
                for cost in self.costs
            ],
            "errors": list(self.reading.errors),
            "warnings": list(self.reading.warnings),
        }


def compose(
    reading: Reading,
    *,
    project: str,
    stack: str,
    plan: Plan | None,
    today: date,
    allowances: Sequence[Allowance] = (),
    findings: Sequence[PolicyFinding] = (),
    costs: Sequence[CostDelta] = (),
    refreshed: bool = False,
) -> Report:
    """The report, with its checks made. `plan` is None if the preview failed."""
    findings = (*reading.findings, *findings)
    checks = [
        *_engine_checks(reading, plan),
        *_loss_checks(reading.changes, allowances, today),
        *_policy_checks(findings),
    ]
    return Report(
        project=project,
        stack=stack,
        reading=reading,
        plan=plan,
        checks=tuple(checks),
        findings=findings,
        costs=tuple(costs),
        refreshed=refreshed,
    )


def _engine_checks(reading: Reading, plan: Plan | None) -> list[Check]:
    if plan is not None:
        return []
    said = "\n".join(reading.errors) or "the engine ended without a word of why"
    remedy = "mend what is said here, and preview again; nothing was changed"
    return [Check(passed=False, title="The preview failed", about="", message=said, remedy=remedy)]


def _loss_checks(changes: Sequence[Change], allowances: Sequence[Allowance], today: date) -> list[Check]:
    return [_loss_check(change, allowances, today) for change in changes if change.loses]


def _loss_check(change: Change, allowances: Sequence[Allowance], today: date) -> Check:
    operation = change.operation.value
    allowed = allowance_for(change.urn, change.name, operation, allowances, today)
    what = f"{operation} of {change.type} {change.name}"
    if change.operation is Operation.REPLACE and change.because:
        what += f", because of {', '.join(change.because)}"
    if allowed and allowed.expires >= today:
        message = f"{what}: allowed until {allowed.expires}, because {allowed.reason}"
        return Check(passed=True, title="Loses " + str(change.loses), about=change.urn, message=message)
    message = what + ("; AWS keeps the old one" if change.retained else "")
    if allowed:
        message += f"; it was allowed until {allowed.expires}, because {allowed.reason}"
    remedy = (
        f"if that is meant, add `{{resource: {change.name}, operation: {operation}, reason: …, expires: …}}` "
        "to `switchyard:allow` in the stack's settings; if not, take the change back"
    )
    return Check(
        passed=False, title="Loses " + str(change.loses), about=change.urn, message=message, remedy=remedy
    )


def _policy_checks(findings: Sequence[PolicyFinding]) -> list[Check]:
    return [
        Check(
            passed=finding.waived is not None,
            title=f"Policy {finding.id}",
            about=finding.resource,
            message=finding.message
            if finding.waived is None
            else f"{finding.message} (waived: {finding.waived})",
            remedy=finding.remedy,
        )
        for finding in findings
        if finding.mandatory
    ]


def _properties_json(properties: Sequence[PropertyChange]) -> list[dict[str, Any]]:
    return [
        {"path": each.path, "before": each.before, "after": each.after, "replaces": each.replaces}
        for each in properties
    ]


def _change_json(change: Change) -> dict[str, Any]:
    return {
        "urn": change.urn,
        "type": change.type,
        "name": change.name,
        "component": list(change.component),
        "id": change.id,
        "operation": change.operation.value,
        "because": list(change.because),
        "loses": change.loses,
        "retained": change.retained,
        "protected": change.protected,
        "properties": _properties_json(change.properties),
    }


def _drift_json(drift: Drift) -> dict[str, Any]:
    return {
        "urn": drift.urn,
        "type": drift.type,
        "name": drift.name,
        "component": list(drift.component),
        "gone": drift.gone,
        "undone": drift.undone,
        "writer": drift.writer,
        "properties": _properties_json(drift.properties),
    }
