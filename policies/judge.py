"""Holds a whole stack against all controls. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from policies.catalogue import CONTROLS
from policies.model import Control, Resource, Stack
from policies.waivers import Waiver


@dataclass(frozen=True, kw_only=True)
class Finding:
    """A resource that does not keep a control. `waiver` is the one that lets it."""

    control: Control
    resource: Resource
    message: str
    waiver: Waiver | None = None


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What is to be said of a stack.

    failed: mandatory controls that are not kept; advised: those of low severity.
    waived: what a waiver allows. expired: waivers whose day has passed, unused: those that nothing needs.
    """

    failed: Sequence[Finding]
    advised: Sequence[Finding]
    waived: Sequence[Finding]
    expired: Sequence[Waiver]
    unused: Sequence[Waiver]

    @property
    def passed(self) -> bool:
        """Whether the stack may be deployed as it is. A waiver that has expired is a failure by itself."""
        return not self.failed and not self.expired


def judge(
    stack: Stack, waivers: Sequence[Waiver], today: date, controls: Sequence[Control] = CONTROLS
) -> Judgement:
    """Every control on every resource of a stack."""
    valid = [waiver for waiver in waivers if not waiver.expired(today)]
    found = [
        Finding(
            control=control,
            resource=resource,
            message=message,
            waiver=next((w for w in valid if w.covers(control.id, resource.name)), None),
        )
        for control in controls
        for resource, message in control.judge(stack)
    ]
    open_findings = [finding for finding in found if finding.waiver is None]
    waived = [finding for finding in found if finding.waiver is not None]
    return Judgement(
        failed=[f for f in open_findings if f.control.severity.mandatory],
        advised=[f for f in open_findings if not f.control.severity.mandatory],
        waived=waived,
        expired=[waiver for waiver in waivers if waiver.expired(today)],
        unused=[w for w in valid if all(finding.waiver is not w for finding in waived)],
    )
