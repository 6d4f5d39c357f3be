"""What tasks and databases use, of what they reserve: psutil's figures as CloudWatch wants them."""

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from moto.ecs.models import ecs_backends

from localcloud.dataplane.database import DatabaseProcess
from localcloud.dataplane.metrics import DatabaseUsage, ServiceUsage
from localcloud.dataplane.tasks import ServiceProcesses

UNITS_PER_CORE = 1024
BYTES_PER_MIB = 1024**2
SHORTEST_SECONDS = 0.01
# How PostgreSQL names the process of a client's connection: `postgres: user database address(port) idle`.
CLIENT = re.compile(r"^postgres: .*\(\d+\) ")


class Meter:
    """Measures between one call and the next; the first one of a process tells nothing."""

    def __init__(self, processes: Callable[[], Sequence[ServiceProcesses]]) -> None:
        self._processes = processes
        self._seen: dict[int, tuple[psutil.Process, float, float]] = {}

    def __call__(self) -> list[ServiceUsage]:
        """CPU and memory of each service's tasks, in percent of the task definition's."""
        found = [self._of(service) for service in self._processes()]
        alive = {pid for service in self._processes() for pid in service.pids}
        self._seen = {pid: seen for pid, seen in self._seen.items() if pid in alive}
        return found

    def _of(self, service: ServiceProcesses) -> ServiceUsage:
        cores, memory = _reserved(service)
        cpu: list[float] = []
        used: list[float] = []
        for pid in service.pids:
            with suppress(psutil.Error):
                share = self._cores_used(pid)
                used.append(100 * sum(_resident(pid)) / memory)
                if share is not None:
                    cpu.append(100 * share / cores)
        return ServiceUsage(
            account=service.account,
            region=service.region,
            cluster=service.cluster,
            service=service.service,
            cpu_percent=cpu,
            memory_percent=used,
        )

    def _cores_used(self, pid: int) -> float | None:
        process, at, seconds = self._seen.get(pid) or (psutil.Process(pid), 0.0, 0.0)
        now, total = time.monotonic(), _cpu_seconds(process)
        self._seen[pid] = process, now, total
        return (total - seconds) / (now - at) if at else None


class DatabaseMeter:
    """Measures between one call and the next; the first time, since the server's start."""

    def __init__(self, databases: Callable[[], Sequence[DatabaseProcess]]) -> None:
        self._databases = databases
        self._seen: dict[psutil.Process, tuple[float, float]] = {}

    def __call__(self) -> list[DatabaseUsage]:
        """CPU, connections and free storage of each database that is to have a server."""
        before, self._seen = self._seen, {}
        return [self._of(database, before) for database in self._databases()]

    def _of(
        self, database: DatabaseProcess, before: Mapping[psutil.Process, tuple[float, float]]
    ) -> DatabaseUsage:
        cpu, connections, free, running = 0.0, 0, 0, False
        with suppress(psutil.Error):
            if database.postmaster is not None:
                server = psutil.Process(database.postmaster)
                cpu = self._cpu_percent(server, database.cores, before)
                connections = _connections(server)
                free = max(0, database.storage_bytes - _size(database.data))
                running = True
        return DatabaseUsage(
            account=database.account,
            region=database.region,
            instance=database.identifier,
            running=running,
            cpu_percent=cpu,
            connections=connections,
            free_storage_bytes=free,
        )

    def _cpu_percent(
        self, server: psutil.Process, cores: int, before: Mapping[psutil.Process, tuple[float, float]]
    ) -> float:
        at, seconds = before.get(server) or (server.create_time(), 0.0)
        # A connection that has ended is in what the server says of its children.
        own = server.cpu_times()
        now, total = time.time(), _cpu_seconds(server) + own.children_user + own.children_system
        self._seen[server] = now, total
        used = max(0.0, total - seconds) / max(now - at, SHORTEST_SECONDS)
        # This machine may have more cores than the instance's class.
        return min(100.0, 100 * used / cores)


def _connections(server: psutil.Process) -> int:
    found = 0
    for child in server.children():
        with suppress(psutil.Error):
            found += bool(CLIENT.match(" ".join(child.cmdline())))
    return found


def _size(directory: Path) -> int:
    """Bytes of all files below; what goes away meanwhile does not count."""
    total = 0
    for folder, _, names in os.walk(directory):
        for name in names:
            with suppress(OSError):
                total += (Path(folder) / name).lstat().st_size
    return total


def _cpu_seconds(process: psutil.Process) -> float:
    total = 0.0
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def _resident(pid: int) -> Iterator[int]:
    process = psutil.Process(pid)
    for each in [process, *process.children(recursive=True)]:
        with suppress(psutil.Error):
            yield each.memory_info().rss


def _reserved(service: ServiceProcesses) -> tuple[float, float]:
    """Cores and bytes that a task of the service reserves."""
    backend = ecs_backends[service.account][service.region]
    named = backend.services[f"{service.cluster}:{service.service}"].task_definition
    definition = backend.describe_task_definition(str(named))
    return int(definition.cpu or UNITS_PER_CORE) / UNITS_PER_CORE, int(
        definition.memory or 512
    ) * BYTES_PER_MIB
