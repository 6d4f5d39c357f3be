"""The tasks of the embedded ECS, as processes of this machine.

A thread beside moto's backends looks at every service and at every task that RunTask asked for, in all
accounts and regions, and brings about what is desired. What ECS's API says of them is what runs.
"""

import logging
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.ecs.models import ecs_backends

from localcloud.aws import ecr
from localcloud.aws.ecs import forget_tasks, install_tasks
from localcloud.dataplane.runs import Home, TaskRun
from localcloud.dataplane.services import ServiceRuns

STEP_SECONDS = 0.2
STOP_SECONDS = 5.0
# ECS forgets stopped tasks after an hour or so, and a client token after a day.
FORGET_SECONDS = 3600.0
FORGET_TOKEN_SECONDS = 24 * 3600.0
# A crash loop must not fill the memory within that hour.
STOPPED_TASKS = 500

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class ServiceProcesses:
    """The processes of a service's tasks; what they start counts too, as their descendants."""

    account: str
    region: str
    cluster: str
    service: str
    pids: Sequence[int]


@dataclass(frozen=True, order=True)
class _Place:
    account: str
    region: str
    key: str


class TaskPlane:
    """Runs the tasks of all services and of RunTask.

    store: where `images.publish` keeps its images; running tasks have their files in `tasks` beside it.
    endpoint: URL of the AWS API, for the tasks.
    """

    def __init__(self, store: Path, *, endpoint: str) -> None:
        install_tasks()
        ecr.install()
        # What a cloud that was killed has left there is nobody's any more.
        self._scratch = store.with_name("tasks")
        shutil.rmtree(self._scratch, ignore_errors=True)
        self._home = Home(store=store, scratch=self._scratch, endpoint=endpoint)
        self._services: dict[_Place, ServiceRuns] = {}
        self._one_offs: dict[str, TaskRun] = {}
        self._stopped: dict[str, float] = {}
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="tasks", daemon=True)

    def start(self) -> None:
        """Begins to run tasks, in a thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends every task, within some five seconds: SIGTERM, and SIGKILL for what does not listen."""
        self._ending.set()
        if self._thread.ident is not None:
            self._thread.join()
        runs = self._runs()
        for run in runs:
            run.hurry()
            run.stop("ServiceSchedulerInitiated", "The embedded cloud ends")
        deadline = time.monotonic() + STOP_SECONDS
        for run in runs:
            run.join(deadline - time.monotonic())
        shutil.rmtree(self._scratch, ignore_errors=True)

    def processes(self) -> Sequence[ServiceProcesses]:
        """What runs of each service at this moment, for whoever measures it."""
        return [
            ServiceProcesses(
                account=place.account,
                region=place.region,
                cluster=place.key.partition(":")[0],
                service=place.key.partition(":")[2],
                pids=[run.pid for run in services.runs if run.pid is not None],
            )
            for place, services in list(self._services.items())
        ]

    def _runs(self) -> Sequence[TaskRun]:
        of_services = [run for services in self._services.values() for run in services.runs]
        return [*of_services, *self._one_offs.values()]

    def _watch(self) -> None:
        while not self._ending.wait(STEP_SECONDS):
            try:
                self._step()
            except Exception:
                # The next look finds another state; nothing that one service has may stop all others.
                log.exception("a look at the embedded ECS failed")

    def _step(self) -> None:
        seen = set()
        for account, region, backend in _backends():
            for key, service in list(backend.services.items()):
                place = _Place(account, region, key)
                seen.add(place)
                if place not in self._services:
                    self._services[place] = ServiceRuns(
                        service, account=account, region=region, home=self._home
                    )
                self._look(place, service)
            self._run_one_offs(account, region, backend)
            _count_in_clusters(backend)
            self._forget(backend)
        for place in self._services.keys() - seen:
            self._services[place].abandon()
            if not self._services[place].tasks:
                del self._services[place]

    def _look(self, place: _Place, service: Any) -> None:
        try:
            self._services[place].step(service)
        except Exception:
            log.exception("the service %s can't be looked after", place.key)

    def _run_one_offs(self, account: str, region: str, backend: Any) -> None:
        for task in _tasks(backend):
            arn = task.task_arn
            if task.group.startswith("service:"):
                continue
            if task.last_status == "PROVISIONING" and arn not in self._one_offs:
                definition = backend.describe_task_definition(task.task_definition_arn)
                run = TaskRun(task, definition, account=account, region=region, home=self._home)
                self._one_offs[arn] = run
                run.start()
            if arn in self._one_offs and task.desired_status == "STOPPED":
                self._one_offs[arn].stop(task.stop_code, task.stopped_reason)
        for arn, run in list(self._one_offs.items()):
            if run.ended:
                del self._one_offs[arn]

    def _forget(self, backend: Any) -> None:
        """Stopped tasks that nobody asks for any more."""
        now = time.monotonic()
        stopped = [task for task in _tasks(backend) if task.last_status == "STOPPED"]
        # A one-off task stays for a call that comes again with its client token.
        of_services = [task.task_arn for task in stopped if task.group.startswith("service:")]
        gone = set(of_services[: max(0, len(of_services) - STOPPED_TASKS)])
        for task in stopped:
            since = self._stopped.setdefault(task.task_arn, now)
            if now - since > (FORGET_SECONDS if task.task_arn in of_services else FORGET_TOKEN_SECONDS):
                gone.add(task.task_arn)
        if gone:
            forget_tasks(backend, gone)
            for arn in gone:
                del self._stopped[arn]


def _tasks(backend: Any) -> Sequence[Any]:
    """All of a backend, the oldest first."""
    return [task for cluster in backend.tasks.values() for task in cluster.values()]


def _backends() -> Iterator[tuple[str, str, Any]]:
    for account, regions in list(ecs_backends.items()):
        for region, backend in list(regions.items()):
            yield account, region, backend


def _count_in_clusters(backend: Any) -> None:
    for cluster in list(backend.clusters.values()):
        states = [task.last_status for task in backend.tasks.get(cluster.name, {}).values()]
        cluster.running_tasks_count = states.count("RUNNING")
        cluster.pending_tasks_count = sum(
            state in ("PROVISIONING", "PENDING", "ACTIVATING") for state in states
        )
        cluster.active_services_count = sum(
            service.cluster_name == cluster.name and service.status == "ACTIVE"
            for service in list(backend.services.values())
        )
