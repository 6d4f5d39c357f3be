"""A world, a table, and processes that release on it."""

from collections.abc import Mapping
from typing import Any

from release.driver import Driver
from release.model import Release
from release.plan import Request
from release.record import Entry
from release.store import Owner, Store
from release.table import Table
from tests.release.tables import DictTable
from tests.release.world import World, image, policy, ports


class Company:
    """People and machines that share one stack. `driver()` is a new process each time."""

    def __init__(self, world: World | None = None, table: Table | None = None, **policy_values: Any) -> None:
        self.world = world or World()
        self.table: Table = table or DictTable(self.world.call)
        self.policy = policy(self.world, **policy_values)
        self.lines: list[str] = []
        self.events: list[Mapping[str, Any]] = []
        self.processes = 0

    def store(self) -> Store:
        self.processes += 1
        owner = Owner(who=f"ann@machine-{self.processes}", pid=self.processes, run=f"run-{self.processes}")
        return Store(self.table, owner, lambda: self.world.now)

    def driver(self) -> Driver:
        self.world.new_process()
        return Driver(
            ports=ports(self.world),
            policy=self.policy,
            store=self.store(),
            say=self.lines.append,
            observe=self.events.append,
            heartbeat_seconds=None,
        )

    def request(self, version: str, **values: Any) -> Request:
        images = {service: image(version, service) for service in self.world.services}
        return Request(**{"kind": "full", "images": images, "actor": "ann", **values})

    def shown(self, number: int) -> tuple[Release, list[Entry]]:
        return self.driver().show(number)

    def production_writes(self) -> list[str]:
        return [name for _, name in self.world.changes if name.startswith("balancer.write production")]
