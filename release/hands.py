"""What a stage of a release works with."""

from dataclasses import dataclass

from release.journal import Journal
from release.judges import Judges
from release.model import Release
from release.plan import Policy
from release.ports import (
    Alarms,
    Analyst,
    Balancer,
    Clock,
    Fleet,
    Gates,
    Herald,
    Images,
    Migrator,
    Program,
    Say,
    Verifier,
)


@dataclass(frozen=True, kw_only=True)
class Ports:
    """The whole world of a release; `test_url` is the test listener's."""

    balancer: Balancer
    fleet: Fleet
    images: Images
    program: Program
    alarms: Alarms
    analyst: Analyst
    verifier: Verifier
    migrator: Migrator
    gates: Gates
    herald: Herald
    clock: Clock
    test_url: str


@dataclass(frozen=True, kw_only=True)
class Hands:
    """What a stage works with."""

    ports: Ports
    policy: Policy
    journal: Journal
    judges: Judges
    say: Say

    @property
    def release(self) -> Release:
        """The release as it was kept last."""
        return self.journal.release
