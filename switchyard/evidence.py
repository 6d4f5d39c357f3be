"""Evidence of a stack, taken by its credentials and judged as the next stack asks for it."""

from datetime import UTC, datetime, timedelta

from release.evidence import Evidence
from release.promotion import promotable
from switchyard.releases import ReleasedStack, past, running_images
from switchyard.stacks import settings_of


def take(source: str) -> Evidence:
    """The stack now, by credentials of its account. Raises Refused while a service's traffic is split."""
    there = ReleasedStack(source)
    return Evidence(
        stack=source,
        taken_at=datetime.now(UTC),
        live=running_images(there, list(there.settings.services)),
        releases=past(there),
    )


def judge(evidence: Evidence, target: str, *, hotfix: bool = False) -> None:
    """Raises Refused, NotYet among it, unless what is live has proved itself as the target's settings ask.

    hotfix: completed is enough, no soak.
    """
    asked = settings_of(target)
    promotable(
        evidence.releases,
        evidence.live,
        # Where the target pulls from is nothing that it takes to be proven.
        {service: service for service in asked.services if service in evidence.live},
        source=evidence.stack,
        soak=timedelta(seconds=0 if hotfix else asked.release.soak_seconds),
        now=evidence.taken_at,
    )
