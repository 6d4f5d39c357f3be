"""ECS: a service keeps all the settings that it was given; tasks and deployments are what really is.

`install_tasks` is for a cloud in which tasks run (localcloud/dataplane): without somebody to run them they
would stay PROVISIONING, where moto alone pretends that they come and go.
"""

import copy
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cache, wraps
from typing import Any

from botocore import xform_name
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.ecs.exceptions import InvalidParameterException
from moto.ecs.models import EC2ContainerServiceBackend, Task
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.moto_api._internal import mock_random

# The settings of CreateService and UpdateService that moto reads past at the creation, as the API spells
# them. DescribeServices answers each under the same name.
SETTINGS = (
    "availabilityZoneRebalancing",
    "capacityProviderStrategy",
    "deploymentConfiguration",
    "enableECSManagedTags",
    "enableExecuteCommand",
    "healthCheckGracePeriodSeconds",
    "placementConstraints",
    "placementStrategy",
)
# What the address of a task is here, and where it listens is in its container's network bindings.
ADDRESS = "127.0.0.1"
# DescribeServices returns no more.
EVENTS = 100
# Lists of tasks are replaced as a whole: other threads are reading the old ones meanwhile.
_writing = threading.Lock()


class ConflictException(ServiceException):
    """A client token came a second time with another request."""

    code = "ConflictException"


def with_all_settings(create: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """CreateService; moto's own UpdateService keeps whatever it gets."""

    def create_service(self: Any) -> Any:
        answer = create(self)
        given = self._get_params()
        service = answer._result["service"]
        for name in SETTINGS:
            if given.get(name) is not None:
                setattr(service, xform_name(name), given[name])
        return answer

    return create_service


@cache
def install_tasks() -> None:
    """Adds what tells the truth about tasks that run, once however often it is called."""
    for ours, theirs in ((Models, EC2ContainerServiceBackend), (Responses, EC2ContainerServiceResponse)):
        for name, method in vars(ours).items():
            if callable(method):
                setattr(theirs, name, method)
    for name, wrapper in {"update_service": with_deployments, "describe_tasks": at_one_moment}.items():
        setattr(EC2ContainerServiceBackend, name, wrapper(getattr(EC2ContainerServiceBackend, name)))


def at_one_moment(describe: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """EC2ContainerServiceBackend.describe_tasks: what it tells is read while the task lives on.

    A task whose status is read last would be STOPPED with the exit code of a moment before, which is none.
    """

    @wraps(describe)
    def describe_tasks(*given: Any, **named: Any) -> list[Any]:
        return [copy.copy(task) for task in describe(*given, **named)]

    return describe_tasks


def new_task(backend: Any, cluster: Any, definition: Any, **given: Any) -> Any:
    """A task that waits for somebody to run it. It is in no backend's list yet.

    given: what moto's Task takes, such as `group`, `started_by`, `overrides`, `launch_type`.
    """
    # With its network mode moto would make an interface in the VPC that nothing removes again.
    plain = copy.copy(definition)
    plain.network_mode = "host"
    task: Any = Task(cluster, plain, None, {}, backend, **given)
    # moto moves a task on whenever somebody looks at it.
    task._transitions = []
    task.id = mock_random.uuid4().hex
    task.last_status = "PROVISIONING"
    task.created_at = utcnow()
    task.cpu, task.memory = definition.cpu, definition.memory
    task.health_status = "UNKNOWN"
    task.connectivity = "CONNECTED"
    task.platform_family = "Linux"
    (container,) = task.containers
    container.task_arn = task.task_arn
    container.last_status = "PENDING"
    container.health_status = "UNKNOWN"
    # None is left out of answers: there is none before the end.
    container.exitCode = None
    container.network_interfaces = [{"privateIpv4Address": ADDRESS}]
    task.attachments = [
        {
            "id": str(mock_random.uuid4()),
            "type": "ElasticNetworkInterface",
            "status": "ATTACHED",
            "details": [{"name": "privateIPv4Address", "value": ADDRESS}],
        }
    ]
    return task


def keep_task(backend: Any, task: Any) -> None:
    """From now on the API knows the task."""
    with _writing:
        known = backend.tasks.get(task.cluster_name, {})
        backend.tasks = {**backend.tasks, task.cluster_name: {**known, task.task_arn: task}}


def forget_tasks(backend: Any, arns: Collection[str]) -> None:
    """The API does not know these tasks any more."""
    with _writing:
        backend.tasks = {
            cluster: {arn: task for arn, task in tasks.items() if arn not in arns}
            for cluster, tasks in backend.tasks.items()
        }


def deployment_id() -> str:
    """A new one, as ECS writes them."""
    return f"ecs-svc/{mock_random.randint(10**18, 10**19 - 1)}"


def begin_deployment(service: Any, definition_arn: str) -> dict[str, Any]:
    """Makes a new deployment the primary one of a service, which runs the task definition from now on."""
    now = utcnow()
    identity = deployment_id()
    before: dict[str, Any] = service.deployments[0] if service.deployments else {}
    begun = {
        **before,
        "id": identity,
        "status": "PRIMARY",
        "taskDefinition": definition_arn,
        "desiredCount": service.desired_count,
        "runningCount": 0,
        "pendingCount": 0,
        "failedTasks": 0,
        "rolloutState": "IN_PROGRESS",
        "rolloutStateReason": f"ECS deployment {identity} in progress.",
        "createdAt": now,
        "updatedAt": now,
    }
    for other in service.deployments:
        other["status"] = "ACTIVE"
    service.task_definition = definition_arn
    service.deployments = [begun, *service.deployments]
    return begun


def tell(service: Any, message: str) -> None:
    """Adds an event to a service, the newest first; one that says the same again is left out."""
    text = f"(service {service.name}) {message}"
    if not service.events or service.events[0]["message"] != text:
        event = {"id": str(mock_random.uuid4()), "createdAt": utcnow(), "message": text}
        service.events = [event, *service.events[: EVENTS - 1]]


def with_deployments(update: Callable[..., Any]) -> Callable[..., Any]:
    """EC2ContainerServiceBackend.update_service.

    A new revision, or a forced deployment, begins a deployment; a new count takes effect when tasks have
    come or gone, where moto writes it down as running at once.
    """

    def update_service(self: Any, service_properties: dict[str, Any]) -> Any:
        forced = service_properties.pop("force_new_deployment", False)
        if asked := service_properties.pop("task_definition", None):
            # By its ARN, also if it is given by its family alone.
            asked = self.describe_task_definition(asked).arn
        cluster, name = service_properties.get("cluster", "default"), service_properties["service"]
        service = self._get_service(cluster, name.split("/")[-1])
        counts = service.running_count, service.pending_count
        service = update(self, service_properties)
        service.running_count, service.pending_count = counts
        if service.deployments and (forced or (asked and asked != service.task_definition)):
            begin_deployment(service, asked or service.task_definition)
        elif service.deployments:
            service.deployments[0]["desiredCount"] = service.desired_count
        return service

    return update_service


class Responses:
    """Added to moto's EC2ContainerServiceResponse."""

    def run_task(self: Any) -> ActionResult:
        """RunTask. A client token that was seen before answers with the tasks of then."""
        given = self._get_params()
        backend = self.ecs_backend
        cluster = backend._get_cluster(given.get("cluster", "default"))
        definition = backend.describe_task_definition(given["taskDefinition"])
        overrides = given.get("overrides") or {}
        _check_overrides(overrides, definition)
        token = given.get("clientToken")
        tasks = backend.tasks_of_token(cluster, token, given) if token else []
        for _ in range(0 if tasks else int(given.get("count", 1))):
            task = new_task(
                backend,
                cluster,
                definition,
                group=given.get("group") or f"family:{definition.family}",
                launch_type=given.get("launchType") or "FARGATE",
                overrides=overrides,
                started_by=given.get("startedBy") or "",
                tags=given.get("tags") or [],
                platform_version=given.get("platformVersion"),
            )
            task.client_request = given if token else None
            keep_task(backend, task)
            tasks.append(task)
        return ActionResult({"tasks": tasks, "failures": []})

    def list_tasks(self: Any) -> ActionResult:
        """ListTasks; the desired status that is looked for is RUNNING unless another is given."""
        found = self.ecs_backend.list_tasks(
            self._get_param("cluster", "default"),
            self._get_param("containerInstance"),
            self._get_param("family"),
            self._get_param("startedBy"),
            self._get_param("serviceName"),
            self._get_param("desiredStatus") or "RUNNING",
        )
        return ActionResult({"taskArns": [task.task_arn for task in found]})


def _check_overrides(overrides: Mapping[str, Any], definition: Any) -> None:
    known = [container["name"] for container in definition.container_definitions]
    for override in overrides.get("containerOverrides") or []:
        name = override.get("name")
        if name not in known:
            raise InvalidParameterException(
                f"Override for container named {name} is not a container in the TaskDefinition."
            )


class Models:
    """Added to moto's EC2ContainerServiceBackend."""

    def tasks_of_token(self: Any, cluster: Any, token: str, given: Mapping[str, Any]) -> list[Any]:
        """The tasks that a RunTask with this client token started. Raises ConflictException."""
        found = []
        for task in self.tasks.get(cluster.name, {}).values():
            request = getattr(task, "client_request", None)
            if request and request["clientToken"] == token:
                if request != given:
                    raise ConflictException(
                        f"The client token {token} was used for another request; take another token"
                    )
                found.append(task)
        return found

    def list_tasks(
        self: Any,
        cluster_str: str | None = None,
        container_instance: str | None = None,
        family: str | None = None,
        started_by: str | None = None,
        service_name: str | None = None,
        desiredStatus: str | None = None,  # noqa: N803 - moto's
    ) -> Sequence[Any]:
        """The tasks that all the given filters let through."""
        found = [task for tasks in self.tasks.values() for task in tasks.values()]
        if cluster_str:
            arn = self._get_cluster(cluster_str).arn
            found = [task for task in found if task.cluster_arn == arn]
        filters = {
            "container_instance_arn": container_instance,
            "started_by": started_by,
            "group": service_name and f"service:{service_name.split('/')[-1]}",
            "desired_status": desiredStatus,
        }
        for name, value in filters.items():
            if value:
                found = [task for task in found if getattr(task, name) == value]
        if family:
            found = [
                task for task in found if task.task_definition_arn.split("/")[-1].rpartition(":")[0] == family
            ]
        return found

    def stop_task(self: Any, cluster_str: str, task_str: str, reason: str | None) -> Any:
        """Asks for the task's end; whoever runs it brings that about. Again is no error."""
        cluster = self._get_cluster(cluster_str)
        for arn, task in self.tasks.get(cluster.name, {}).items():
            if arn.split("/")[-1] == task_str.split("/")[-1]:
                if task.desired_status != "STOPPED":
                    task.desired_status = "STOPPED"
                    task.stop_code = "UserInitiated"
                    task.stopped_reason = reason or "Task stopped by user"
                return task
        raise InvalidParameterException("The referenced task was not found.")
