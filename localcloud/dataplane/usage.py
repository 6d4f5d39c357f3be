"""What the tasks of ECS services use, of what they reserve: psutil's figures as CloudWatch wants them."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress

import psutil
from moto.ecs.models import ecs_backends

from localcloud.dataplane.metrics import ServiceUsage
from localcloud.dataplane.tasks import ServiceProcesses

UNITS_PER_CORE = 1024
BYTES_PER_MIB = 1024**2


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
