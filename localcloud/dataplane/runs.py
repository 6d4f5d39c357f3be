"""The life of one task, from its image to its exit status, told to moto's task as it goes.

The states are ECS's ("Amazon ECS task lifecycle"). A service's task is registered once it listens, and left
to drain before it is told to stop.
"""

import re
import shutil
import signal
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from moto.core.utils import utcnow
from moto.ecr.models import ecr_backends

from localcloud.aws.ecs import ADDRESS
from localcloud.dataplane import environment
from localcloud.dataplane.images import ImageError, UnpackedImage, split, unpack
from localcloud.dataplane.logs import LogStream, LogUnavailable
from localcloud.dataplane.packing import PackingError
from localcloud.dataplane.processes import TaskProcess, free_port, listens, on_this_machine
from localcloud.dataplane.registration import GOOD, Targets
from localcloud.dataplane.scheduler import SETTLED_SECONDS, Condition

TICK_SECONDS = 0.05
# A task that has not listened by then is registered and RUNNING all the same, as ECS has it at once.
LISTEN_SECONDS = 3.0
# Fargate's default.
STOP_TIMEOUT_SECONDS = 30.0
_ECR = re.compile(r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/(?P<name>.+)")
# What the load balancer may be late with the end of a drain.
DRAIN_SLACK_SECONDS = 5.0
# For each task that ends with the cloud, in one go with all others.
HURRIED_STOP_SECONDS = 3.0
OUTPUT_SECONDS = 2.0


class CannotStart(Exception):
    """The task did not come to run its command. The text is ECS's `stoppedReason`."""


@dataclass(frozen=True, kw_only=True)
class Home:
    """What all tasks share: the store of images, a folder for running tasks, the API, the ports in use."""

    store: Path
    scratch: Path
    endpoint: str
    lock: threading.Lock = field(default_factory=threading.Lock)
    ports: set[int] = field(default_factory=set)

    def take_port(self) -> int:
        """A port that no other task here has. Raises OSError."""
        with self.lock:
            port = free_port(frozenset(self.ports))
            self.ports.add(port)
            return port

    def give_back(self, port: int) -> None:
        """The port may be used again."""
        with self.lock:
            self.ports.discard(port)


class TaskRun:
    """One task that runs, or will, or did. `task` is moto's, and what the API says of it.

    deployment: id of the service's deployment that it belongs to; empty for a one-off task.
    order: grows with each start. has_settled: whether it was ever well, by its service's book.
    ended_by_itself: whether nobody wished its end; to be read once it has ended.
    """

    def __init__(
        self,
        task: Any,
        definition: Any,
        *,
        account: str,
        region: str,
        home: Home,
        target_groups: Sequence[str] = (),
        deployment: str = "",
        order: int = 0,
    ) -> None:
        self.task = task
        self.deployment = deployment
        self.order = order
        self.has_settled = False
        self.ended_by_itself = False
        self.serves = bool(deployment)
        self._definition = definition
        self._account, self._region, self._home = account, region, home
        self._targets = Targets(account, region, target_groups)
        self._stopping, self._hurry, self._ended = (threading.Event() for _ in range(3))
        self._asked: tuple[str, str] | None = None
        self._end, self._over = threading.Lock(), False
        self._process: TaskProcess | None = None
        self._port: int | None = None
        self._running_since: float | None = None
        self._signal = signal.SIGTERM
        self._log: LogStream | None = None
        self._thread = threading.Thread(target=self._live, name=f"task-{task.id}", daemon=True)

    def start(self) -> None:
        """Begins its life in a thread of its own."""
        self._thread.start()

    @property
    def ended(self) -> bool:
        """Whether it is STOPPED."""
        return self._ended.is_set()

    @property
    def was_asked_to_stop(self) -> bool:
        """Whether its end is somebody's wish; otherwise it ended by itself."""
        return self._asked is not None

    @property
    def pid(self) -> int | None:
        """The process whose descendants are the task's, while it runs."""
        process = self._process
        return process.pid if process and not self.ended else None

    def stop(self, code: str, reason: str) -> None:
        """Asks for its end, after its drain; the first reason stays."""
        with self._end:
            if self._asked is None and not self._over:
                self._asked = code, reason
                self.task.desired_status = "STOPPED"
                self.task.stop_code, self.task.stopped_reason = code, reason
        self._stopping.set()

    def hurry(self) -> None:
        """No drain and no long stop any more: the cloud ends."""
        self._hurry.set()

    def join(self, seconds: float) -> None:
        """Waits for its end, no longer than told."""
        if self._thread.ident is not None:
            self._thread.join(max(0.0, seconds))

    def condition(self, now: float, grace_seconds: float) -> Condition:
        """How it is at this moment of the monotonic clock."""
        if self.ended or self._stopping.is_set():
            return Condition.LEAVING
        since, port = self._running_since, self._port
        if since is None:
            return Condition.STARTING
        if not self._targets or port is None:
            settled = now - since >= SETTLED_SECONDS
            return Condition.HEALTHY if settled else Condition.STARTING
        state = self._targets.state(port)
        if state in GOOD:
            return Condition.HEALTHY
        if state == "unhealthy" and now - since >= grace_seconds:
            return Condition.FAILING
        return Condition.STARTING

    def _live(self) -> None:
        try:
            self._attend(self._begin())
        except CannotStart as error:
            self._finish("TaskFailedToStart", str(error), None)
        except Exception as error:
            # Whatever it is: no process without a task, and no task that looks as if it ran.
            status = self._process.stop(signal.SIGKILL, 0) if self._process else None
            self._finish("TaskFailedToStart", f"InternalError: {type(error).__name__}", status)
            raise

    def _begin(self) -> TaskProcess:
        """From PROVISIONING to a running process. Raises CannotStart."""
        self._become("PENDING")
        (container, *more) = self._definition.container_definitions
        if more:
            raise CannotStart(
                "InternalError: the embedded cloud runs tasks of one container; give each its own"
            )
        image = self._pull(container["image"])
        override = self._override(container["name"])
        command = on_this_machine(_command(image, container, override), image.root)
        self._signal = signal.Signals[image.stop_signal]
        self._port = self._take_port(container)
        self._log = self._open_log(container)
        try:
            variables = environment.of_task(
                image=image,
                container=container,
                override=override,
                account=self._account,
                region=self._region,
                task_role=getattr(self._definition, "task_role_arn", None),
                endpoint=self._home.endpoint,
                port=self._port,
            )
        except environment.SecretUnavailable as error:
            raise CannotStart(
                f"ResourceInitializationError: unable to pull secrets or registry auth: {error}"
            ) from None
        if self._stopping.is_set():
            raise CannotStart("Task was stopped before it started")
        given = container.get("workingDirectory")
        directory = image.root / given.lstrip("/") if given else image.workdir
        directory.mkdir(parents=True, exist_ok=True)
        self._process = TaskProcess(command, variables, directory)
        if self._log:
            self._log.follow(self._process.output)
        return self._process

    def _pull(self, reference: str) -> UnpackedImage:
        self.task.pull_started_at = utcnow()
        try:
            _check_registry(reference)
            image = unpack(reference, self._home.store, self._folder)
        except (ImageError, PackingError) as error:
            raise CannotStart(f"CannotPullContainerError: {error}") from None
        self.task.pull_stopped_at = utcnow()
        return image

    @property
    def _folder(self) -> Path:
        return self._home.scratch / str(self.task.id)

    def _override(self, name: str) -> Mapping[str, Any]:
        overrides: Iterable[Mapping[str, Any]] = self.task.overrides.get("containerOverrides") or []
        return next((override for override in overrides if override.get("name") == name), {})

    def _take_port(self, container: Mapping[str, Any]) -> int | None:
        mappings = container.get("portMappings") or []
        if not self.serves or not mappings:
            return None
        try:
            port = self._home.take_port()
        except OSError as error:
            raise CannotStart(f"ResourceInitializationError: {error}") from None
        self._container.network_bindings = [
            {
                "bindIP": ADDRESS,
                "containerPort": mappings[0]["containerPort"],
                "hostPort": port,
                "protocol": "tcp",
            }
        ]
        return port

    def _open_log(self, container: Mapping[str, Any]) -> LogStream | None:
        configuration = container.get("logConfiguration") or {}
        options = configuration.get("options") or {}
        if configuration.get("logDriver") != "awslogs":
            return None
        stream = "/".join([options.get("awslogs-stream-prefix", ""), container["name"], self.task.id])
        try:
            return LogStream(
                account=self._account,
                region=options.get("awslogs-region") or self._region,
                group=options["awslogs-group"],
                stream=stream.lstrip("/"),
                create_group=options.get("awslogs-create-group") == "true",
            )
        except (LogUnavailable, KeyError) as error:
            raise CannotStart(
                f"ResourceInitializationError: failed to validate logger args: {error}"
            ) from None

    def _attend(self, process: TaskProcess) -> None:
        """From a started process to its end."""
        self._become("ACTIVATING")
        self._await_listening(process)
        if self._goes_on(process):
            if self._port is not None:
                self._targets.register(self._port)
            self._become("RUNNING")
            self._running_since = time.monotonic()
        while self._goes_on(process):
            self._tick()
        if process.status() is None:
            self._leave(process)
            code, reason = self._asked or ("", "")
        else:
            if self._port is not None:
                self._targets.deregister(self._port)
            code, reason = "EssentialContainerExited", "Essential container in task exited"
        self._finish(code, reason, process.status())

    def _goes_on(self, process: TaskProcess) -> bool:
        return process.status() is None and not self._stopping.is_set()

    def _tick(self) -> None:
        if self._log:
            self._log.flush()
        self._stopping.wait(TICK_SECONDS)

    def _await_listening(self, process: TaskProcess) -> None:
        """So that a health check does not find a task that is still on its way."""
        deadline = time.monotonic() + LISTEN_SECONDS
        while self._port is not None and self._goes_on(process):
            if listens(self._port) or time.monotonic() > deadline:
                return
            self._tick()

    def _leave(self, process: TaskProcess) -> None:
        """Deregistered and drained, then told to stop, then killed: ECS's order."""
        self._become("DEACTIVATING")
        self.task.stopping_at = utcnow()
        if self._port is not None and self._running_since is not None:
            self._targets.deregister(self._port)
            self._drain(process, self._port)
        self._become("STOPPING")
        process.tell(self._signal)
        asked = time.monotonic()
        while process.status() is None and time.monotonic() - asked < self._stop_seconds():
            process.wait(TICK_SECONDS)
            if self._log:
                self._log.flush()
        if process.status() is None:
            process.stop(signal.SIGKILL, HURRIED_STOP_SECONDS)

    def _stop_seconds(self) -> float:
        given = float(self._definition.container_definitions[0].get("stopTimeout") or STOP_TIMEOUT_SECONDS)
        return min(given, HURRIED_STOP_SECONDS) if self._hurry.is_set() else given

    def _drain(self, process: TaskProcess, port: int) -> None:
        deadline = time.monotonic() + self._targets.delay_seconds() + DRAIN_SLACK_SECONDS
        while self._targets.state(port) == "draining" and process.status() is None:
            if self._hurry.wait(TICK_SECONDS) or time.monotonic() > deadline:
                return
            if self._log:
                self._log.flush()

    @property
    def _container(self) -> Any:
        return self.task.containers[0]

    def _become(self, status: str) -> None:
        self.task.last_status = status
        self._container.last_status = status if status in ("RUNNING", "STOPPED") else "PENDING"
        if status == "RUNNING":
            self.task.started_at = utcnow()

    def _finish(self, code: str, reason: str, status: int | None) -> None:
        """STOPPED, with everything given back that it had."""
        with self._end:
            # A wish that comes from now on comes too late to be the cause.
            self._over = True
        self.ended_by_itself = self._asked is None
        if self._process:
            if self._log:
                self._log.close(OUTPUT_SECONDS)
            self._process.close()
        with suppress(OSError):
            shutil.rmtree(self._folder)
        if self._port is not None:
            self._home.give_back(self._port)
        self._container.exitCode = status
        if code == "TaskFailedToStart":
            self._container.reason = reason
        if self._asked:
            code, reason = self._asked
        self.task.stop_code, self.task.stopped_reason = code, reason
        self.task.desired_status = "STOPPED"
        self.task.connectivity = "DISCONNECTED"
        self.task.execution_stopped_at = self.task.stopped_at = utcnow()
        for attachment in self.task.attachments:
            attachment["status"] = "DELETED"
        self._become("STOPPED")
        self._ended.set()


def _command(
    image: UnpackedImage, container: Mapping[str, Any], override: Mapping[str, Any]
) -> Sequence[str]:
    """What to run: an override of the task wins over the definition, that one over the image.

    Raises CannotStart if nothing is left to run.
    """
    entrypoint = container.get("entryPoint") or image.entrypoint
    # As with `docker run`, another entry point forgets the image's own command.
    default = () if container.get("entryPoint") else image.command
    command = override.get("command") or container.get("command") or default
    if not (entrypoint or command):
        raise CannotStart("CannotStartContainerError: no command specified")
    return [*entrypoint, *command]


def _check_registry(reference: str) -> None:
    """Raises ImageError unless the registry has the image: one that was deleted can't be pulled."""
    repository, digest = split(reference)
    ours = _ECR.fullmatch(repository)
    if not ours:
        return
    known = ecr_backends[ours["account"]][ours["region"]].repositories.get(ours["name"])
    if known is None or all(image.get_image_digest() != f"sha256:{digest}" for image in list(known.images)):
        raise ImageError(f"{reference} is not in the registry; publish it with `switchyard cloud publish`")
