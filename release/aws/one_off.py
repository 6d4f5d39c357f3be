"""One-off tasks on ECS: a command of a colour's own task definition, run to its end.

The task gets everything that the service's tasks get (image, roles, secrets, network), so what works in
the one works in the other. The engine needs `ecs:RunTask`, `ecs:StopTask`, `ecs:DescribeTasks`,
`iam:PassRole` for the roles of the service, and `logs:GetLogEvents` of its log group.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from components.colours import Colour
from release.aws.outputs import StackParts
from release.aws.session import asking
from release.errors import NeedsPerson, ReleaseError
from release.masking import masked
from release.ports import Clock, Images

if TYPE_CHECKING:
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_ecs.type_defs import RunTaskRequestTypeDef, ServiceTypeDef
    from mypy_boto3_logs import CloudWatchLogsClient
    from mypy_boto3_logs.type_defs import GetLogEventsRequestTypeDef

# Of RunTask's `clientToken` and of `startedBy`.
TOKEN_LENGTH = 64
STARTED_BY_LENGTH = 128
# ECS stops a task within its stop timeout, of 120 seconds at most, and then tidies up.
STOP_SECONDS = 180
# Lines reach CloudWatch Logs some seconds after the container wrote them.
LOG_SECONDS = 20
# ECS forgets a stopped task after an hour or so, and gives the same one for a token for a day.
FORGOTTEN_TASKS = 5
LAST_LINES = 12
LONGEST_LINE = 400
# How the reason begins of a stop for lack of time.
TOO_LONG = "took longer than"


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A task that has ended.

    id: its id within the cluster. exit_code: of its one container; None if that never started.
    reason: ECS's own words, if it has any.
    """

    id: str
    exit_code: int | None
    reason: str
    log: "LogStream"


@dataclass(frozen=True, kw_only=True)
class LogStream:
    """Where a task's output goes; None for a container that does not write to CloudWatch Logs."""

    group: str | None
    name: str


class OneOffTasks:
    """Runs commands on the task definitions of the stack's services.

    images: what the colours should run; a task definition with another image is refused.
    poll_seconds: between two looks at a running task.
    """

    def __init__(
        self,
        *,
        ecs: "ECSClient",
        logs: "CloudWatchLogsClient",
        images: Images,
        parts: StackParts,
        clock: Clock,
        poll_seconds: float = 2.0,
    ) -> None:
        self._ecs = ecs
        self._logs = logs
        self._images = images
        self._parts = parts
        self._clock = clock
        self._poll_seconds = poll_seconds

    def run(
        self,
        service: str,
        colour: Colour,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        token: str | None,
        timeout_seconds: float,
    ) -> Ended:
        """The task, once it has ended by itself.

        token: makes a repeated call wait for the same task instead of starting another; None: a new one.
        timeout_seconds: since the task was made; then it is stopped.

        Raises ReleaseError for one that did not start, or took too long; Unavailable and NeedsPerson.
        """
        found = self._service(service, colour)
        container, stream = self._container(service, colour, found["taskDefinition"])
        override = {
            "name": container,
            "command": list(command),
            "environment": [{"name": name, "value": value} for name, value in sorted(environment.items())],
        }
        for again in range(FORGOTTEN_TASKS):
            arn = self._started(found, override, _token(token, again))
            task = self._ended(arn, service, timeout_seconds)
            if task is not None:
                ended = _ended(task, stream)
                if ended.exit_code is None:
                    raise ReleaseError(
                        f"the one-off task {ended.id} of {service} did not start: {ended.reason}"
                    )
                return ended
            if token is None:
                break
        raise NeedsPerson(
            f"ECS has forgotten how the one-off task of {service} ended: its log in {stream.group} tells"
        )

    def lines(self, ended: Ended) -> list[str]:
        """What the task has written so far; nothing for one that does not write to CloudWatch Logs."""
        if ended.log.group is None:
            return []
        found: list[str] = []
        token: str | None = None
        where: GetLogEventsRequestTypeDef = {
            "logGroupName": ended.log.group,
            "logStreamName": ended.log.name,
            "startFromHead": True,
        }
        with asking(f"read the log {ended.log.group} of task {ended.id}"):
            while True:
                try:
                    page = self._logs.get_log_events(**where)
                except self._logs.exceptions.ResourceNotFoundException:
                    # The stream is made with the first line.
                    return found
                found += [event["message"].rstrip("\n") for event in page["events"]]
                if page["nextForwardToken"] == token:
                    return found
                token = where["nextToken"] = page["nextForwardToken"]

    def last_words(self, ended: Ended) -> str:
        """The last lines that it wrote, masked, one below the other; they are waited for a while."""
        deadline = self._clock.now() + timedelta(seconds=LOG_SECONDS)
        while not (lines := self.lines(ended)) and self._clock.now() < deadline and ended.log.group:
            self._clock.sleep(self._poll_seconds)
        if not lines:
            return "it wrote nothing"
        last = masked("\n".join(lines)).splitlines()[-LAST_LINES:]
        return "it wrote last:\n" + "\n".join(f"  {line[:LONGEST_LINE]}" for line in last)

    def wait_for_lines(self) -> None:
        """A pause in which more lines may come."""
        self._clock.sleep(self._poll_seconds)

    def _service(self, service: str, colour: Colour) -> "ServiceTypeDef":
        name = self._parts.service(service).ecs_services[colour]
        with asking(f"look at the ECS service {name}"):
            answer = self._ecs.describe_services(cluster=self._parts.cluster, services=[name])
            found = [one for one in answer["services"] if one["serviceName"] == name]
        if not found or found[0]["status"] != "ACTIVE":
            raise NeedsPerson(
                f"ECS has no active service {name}: somebody deleted it; `pulumi up --refresh` makes it again"
            )
        return found[0]

    def _container(self, service: str, colour: Colour, definition: str) -> tuple[str, LogStream]:
        """The name of the service's container, and its log stream without the task's id."""
        with asking(f"read the task definition {definition}"):
            answer = self._ecs.describe_task_definition(taskDefinition=definition)
            containers = answer["taskDefinition"]["containerDefinitions"]
            # The service's own carries its name; there may be helpers beside it.
            container = next((one for one in containers if one["name"] == service), containers[0])
            image = container["image"]
        wanted = self._images.read(service).get(colour)
        if image != wanted:
            raise ReleaseError(
                f"the task definition of {service} {colour} has the image {image}, and not {wanted}: "
                "the program was not applied, so its migrations are not those of this release"
            )
        log = container.get("logConfiguration", {})
        options = log.get("options", {}) if log.get("logDriver") == "awslogs" else {}
        prefix = options.get("awslogs-stream-prefix")
        name = f"{prefix}/{container['name']}" if prefix else ""
        return container["name"], LogStream(group=options.get("awslogs-group") if prefix else None, name=name)

    def _started(self, found: "ServiceTypeDef", override: Any, token: str | None) -> str:
        """The ARN of the new task, or of the one that the token started before."""
        request: RunTaskRequestTypeDef = {
            "cluster": self._parts.cluster,
            "taskDefinition": found["taskDefinition"],
            "count": 1,
            "overrides": {"containerOverrides": [override]},
            "startedBy": "switchyard",
        }
        if found.get("capacityProviderStrategy"):
            request["capacityProviderStrategy"] = found["capacityProviderStrategy"]
        elif found.get("launchType"):
            request["launchType"] = found["launchType"]
        for name in ("networkConfiguration", "platformVersion"):
            if found.get(name):
                request[name] = found[name]
        if token is not None:
            request["clientToken"] = token
            request["startedBy"] = token[:STARTED_BY_LENGTH]
            before = self._by_token(token)
            if before is not None:
                return before
        with asking(f"start a one-off task of {found['serviceName']}"):
            try:
                answer = self._ecs.run_task(**request)
            except ClientError as error:
                before = _taken(error)
                if before is None:
                    raise
                return before
        if not answer["tasks"]:
            told = "; ".join(
                f"{failure.get('reason')} {failure.get('detail', '')}".strip()
                for failure in answer["failures"]
            )
            raise ReleaseError(f"ECS did not start a one-off task of {found['serviceName']}: {told}")
        return answer["tasks"][0]["taskArn"]

    def _by_token(self, token: str) -> str | None:
        """A task of this token. After a new revision of the definition, a repeated request is another one."""
        for status in ("RUNNING", "STOPPED"):
            with asking(f"look for the one-off task {token}"):
                arns = self._ecs.list_tasks(
                    cluster=self._parts.cluster,
                    startedBy=token[:STARTED_BY_LENGTH],
                    desiredStatus=status,
                )["taskArns"]
            if arns:
                return arns[0]
        return None

    def _ended(self, arn: str, service: str, timeout_seconds: float) -> Any:
        """The task's description once it is stopped; None for one that ECS has forgotten."""
        stopped_after: float | None = None
        while True:
            with asking(f"look at the one-off task {_id(arn)}"):
                answer = self._ecs.describe_tasks(cluster=self._parts.cluster, tasks=[arn])
            if not answer["tasks"]:
                return None
            task = answer["tasks"][0]
            if task["lastStatus"] == "STOPPED":
                # The answer to an earlier call that stopped it may have been lost.
                if stopped_after is not None or task.get("stoppedReason", "").startswith(TOO_LONG):
                    raise ReleaseError(
                        f"the one-off task {_id(arn)} of {service} was stopped after it had taken longer "
                        f"than {timeout_seconds:g} s"
                    )
                return task
            now = self._clock.now()
            # A task that waits to be placed has no time yet.
            age = (now - task.get("createdAt", now)).total_seconds()
            if stopped_after is None and age > timeout_seconds:
                with asking(f"stop the one-off task {_id(arn)}"):
                    reason = f"{TOO_LONG} {timeout_seconds:g} seconds"
                    self._ecs.stop_task(cluster=self._parts.cluster, task=arn, reason=reason)
                stopped_after = age
            elif stopped_after is not None and age > stopped_after + STOP_SECONDS:
                raise NeedsPerson(
                    f"the one-off task {_id(arn)} of {service} took longer than {timeout_seconds:g} s and "
                    f"does not stop: see to it that it ends (aws ecs stop-task --task {_id(arn)})"
                )
            self._clock.sleep(self._poll_seconds)


def _token(token: str | None, again: int) -> str | None:
    """At most 64 printable characters, always the same for the same words."""
    if token is None:
        return None
    whole = token if not again else f"{token}-again-{again}"
    if len(whole) <= TOKEN_LENGTH and whole.isascii() and whole.isprintable() and " " not in whole:
        return whole
    return hashlib.sha256(whole.encode()).hexdigest()


def _taken(error: ClientError) -> str | None:
    """The task that was started with the same token and another request."""
    if error.response.get("Error", {}).get("Code") != "ConflictException":
        return None
    found: Any = error.response.get("resourceIds")
    return str(found[0]) if found else None


def _ended(task: Any, stream: LogStream) -> Ended:
    container = task["containers"][0] if task.get("containers") else {}
    words = [task.get("stoppedReason"), container.get("reason")]
    return Ended(
        id=_id(task["taskArn"]),
        exit_code=container.get("exitCode"),
        reason="; ".join(masked(word) for word in words if word) or "ECS gives no reason",
        log=LogStream(group=stream.group, name=f"{stream.name}/{_id(task['taskArn'])}"),
    )


def _id(arn: str) -> str:
    return arn.rpartition("/")[2]
