"""Releases for tests of single parts."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

from release.model import Release, ServiceChange, Step
from release.record import GENESIS, Entry
from tests.release.world import START, image


def a_change(service: str = "api", **values: Any) -> ServiceChange:
    given: dict[str, Any] = {
        "service": service,
        "image": image("v2", service),
        "new": "green",
        "old": "blue",
        "previous_image": image("v1", service),
    }
    return ServiceChange(**{**given, **values})


def a_release(**values: Any) -> Release:
    given: dict[str, Any] = {
        "number": 1,
        "stack": "prod",
        "kind": "full",
        "changes": (a_change(),),
        "strategy": "canary",
        "steps": (Step(percent=10, wait_seconds=60), Step(percent=100, wait_seconds=0)),
        "bake_seconds": 300,
        "healthy_timeout_seconds": 120,
        "approval": False,
        "actor": "ann",
        "created_at": START,
        "updated_at": START,
        "since": START,
    }
    return Release(**{**given, **values})


def with_entries(release: Release, *reasons: str, previous: str = GENESIS) -> tuple[Release, list[Entry]]:
    """The release with a record of one entry for each reason."""
    entries: list[Entry] = []
    for seq, reason in enumerate(reasons, start=1):
        entry = Entry(
            release=release.number,
            seq=seq,
            at=START + timedelta(seconds=seq),
            actor="ann",
            event="Noted",
            phase=release.phase.value,
            reason=reason,
        )
        entries.append(entry.sealed(entries[-1].hash if entries else previous))
    return replace(release, head=entries[-1].hash, entries=len(entries)), entries
