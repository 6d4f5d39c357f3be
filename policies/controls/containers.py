"""Containers and their images: ECS.* and ECR.*, from AWS Security Hub's pages of both."""

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from policies.model import UNKNOWN, Control, Resource, Severity, Stack, given, is_true, items, one_of, value

TASK = "aws:ecs/taskDefinition:TaskDefinition"
SERVICE = "aws:ecs/service:Service"
CLUSTER = "aws:ecs/cluster:Cluster"
REPOSITORY = "aws:ecr/repository:Repository"
LIFECYCLE = "aws:ecr/lifecyclePolicy:LifecyclePolicy"

# ECS.8 names these.
CREDENTIAL_VARIABLES = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "ECS_ENGINE_AUTH_DATA")
ROOT = (None, "", "0", "root", "0:0", "root:root")
# ECS.10: the newest for Linux; LATEST is it whatever it is.
PLATFORMS = (None, "LATEST", "1.4.0")

Container = Mapping[str, Any]


def containers(task: Resource) -> list[Container]:
    """The container definitions of a task; none while they are not known."""
    text = value(task.properties, "containerDefinitions")
    if not isinstance(text, str):
        return []
    try:
        found = json.loads(text)
    except ValueError:
        return []
    return [container for container in found if isinstance(container, Mapping)]


def every_container(wrong: Callable[[Container], bool], message: str) -> Callable[[Resource], str | None]:
    """The check that no container of a task is wrong."""

    def check(task: Resource) -> str | None:
        names = [str(c.get("name", "?")) for c in containers(task) if wrong(c)]
        return f"{', '.join(names)}: {message}" if names else None

    return check


def host_network_is_unprivileged(task: Resource) -> str | None:
    if value(task.properties, "networkMode") != "host":
        return None
    risky = [c for c in containers(task) if c.get("privileged") or c.get("user") in ROOT]
    return "it shares the host's network as root or privileged" if risky else None


def has_no_public_address(service: Resource) -> str | None:
    if value(service.properties, "networkConfiguration.assignPublicIp") is True:
        return "its tasks get public addresses"
    return None


def keeps_to_its_own_processes(task: Resource) -> str | None:
    return "it shares the host's processes" if value(task.properties, "pidMode") == "host" else None


def has_credentials(container: Container) -> bool:
    names = [value(variable, "name") for variable in container.get("environment") or []]
    return bool(set(CREDENTIAL_VARIABLES) & set(names))


def logs_nothing(container: Container) -> bool:
    return not (container.get("logConfiguration") or {}).get("logDriver")


def runs_on_the_newest_platform(service: Resource) -> str | None:
    if value(service.properties, "launchType") not in ("FARGATE", UNKNOWN):
        return None
    if one_of(service.properties, "platformVersion", PLATFORMS):
        return None
    return f"it stays on platform version {value(service.properties, 'platformVersion')}"


def has_container_insights(cluster: Resource) -> str | None:
    if value(cluster.properties, "settings") is UNKNOWN:
        return None
    settings = {value(s, "name"): value(s, "value") for s in items(cluster.properties, "settings")}
    if settings.get("containerInsights") in ("enabled", "enhanced", UNKNOWN):
        return None
    return "container insights are off"


def scans_images(repository: Resource) -> str | None:
    if is_true(repository.properties, "imageScanningConfiguration.scanOnPush"):
        return None
    return "images are not scanned when they are pushed"


def keeps_tags(repository: Resource) -> str | None:
    if one_of(repository.properties, "imageTagMutability", ["IMMUTABLE", "IMMUTABLE_WITH_EXCLUSION"]):
        return None
    return "a tag can be moved to another image"


def expires_images(stack: Stack) -> Iterator[tuple[Resource, str]]:
    for repository in stack.of(REPOSITORY):
        policies = stack.users(repository, LIFECYCLE, "repository")
        if not any(given(policy.properties, "policy") for policy in policies):
            yield repository, "no lifecycle policy: images are kept for ever"


CONTROLS = (
    Control(
        id="ECS.1",
        title="Tasks on the host's network run neither as root nor privileged",
        severity=Severity.HIGH,
        remedy="use networkMode awsvpc",
        types=(TASK,),
        check=host_network_is_unprivileged,
    ),
    Control(
        id="ECS.2",
        title="Services give their tasks no public addresses",
        severity=Severity.HIGH,
        remedy="set networkConfiguration.assignPublicIp to false",
        types=(SERVICE,),
        check=has_no_public_address,
    ),
    Control(
        id="ECS.3",
        title="Tasks do not share the host's processes",
        severity=Severity.HIGH,
        remedy="leave pidMode out, or set it to task",
        types=(TASK,),
        check=keeps_to_its_own_processes,
    ),
    Control(
        id="ECS.4",
        title="Containers are not privileged",
        severity=Severity.HIGH,
        remedy="leave privileged out of the container definition",
        types=(TASK,),
        check=every_container(lambda c: bool(c.get("privileged")), "privileged"),
    ),
    Control(
        id="ECS.5",
        title="Containers can't write to their root file system",
        severity=Severity.HIGH,
        remedy="set readonlyRootFilesystem, and name what has to be written in writable_paths",
        types=(TASK,),
        check=every_container(lambda c: not c.get("readonlyRootFilesystem"), "root file system is writable"),
    ),
    Control(
        id="ECS.8",
        title="No AWS credentials are in environment variables",
        severity=Severity.HIGH,
        remedy="use the task role, or secrets",
        types=(TASK,),
        check=every_container(has_credentials, "AWS credentials are among its environment variables"),
    ),
    Control(
        id="ECS.9",
        title="Containers log",
        severity=Severity.HIGH,
        remedy="give the container a logConfiguration",
        types=(TASK,),
        check=every_container(logs_nothing, "no log configuration"),
    ),
    Control(
        id="ECS.10",
        title="Fargate services run on the newest platform version",
        severity=Severity.MEDIUM,
        remedy="set platformVersion to LATEST",
        types=(SERVICE,),
        check=runs_on_the_newest_platform,
    ),
    Control(
        id="ECS.12",
        title="Clusters have container insights",
        severity=Severity.MEDIUM,
        remedy="set containerInsights of the cluster to enabled or enhanced",
        types=(CLUSTER,),
        check=has_container_insights,
    ),
    Control(
        id="ECR.1",
        title="Images are scanned when they are pushed",
        severity=Severity.HIGH,
        remedy="set imageScanningConfiguration.scanOnPush to true",
        types=(REPOSITORY,),
        check=scans_images,
    ),
    Control(
        id="ECR.2",
        title="Tags of images can't be moved",
        severity=Severity.MEDIUM,
        remedy="set imageTagMutability to IMMUTABLE",
        types=(REPOSITORY,),
        check=keeps_tags,
    ),
    Control(
        id="ECR.3",
        title="Repositories have a lifecycle policy",
        severity=Severity.MEDIUM,
        remedy="declare aws.ecr.LifecyclePolicy for the repository",
        check_stack=expires_images,
    ),
)
