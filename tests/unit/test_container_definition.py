from collections.abc import Mapping, Sequence

import pulumi
import pytest

from components.container_definition import SESSION_PATHS, container_definitions, digest_image, volumes
from tests.unit.harness import deploy

IMAGE = "registry.example.com/api@sha256:" + "a" * 64


def definitions(
    *,
    image: pulumi.Input[str] = IMAGE,
    user: str = "10001",
    stop_timeout_seconds: int = 30,
    environment: Mapping[str, str] | None = None,
    secrets: Mapping[str, str] | None = None,
    mounts: Mapping[str, str] | None = None,
) -> Sequence[Mapping[str, object]]:
    return container_definitions(
        name="api",
        image=image,
        port=8080,
        user=user,
        stop_timeout_seconds=stop_timeout_seconds,
        environment=environment or {},
        secrets=secrets or {},
        mounts=mounts or {},
        log_group_name="/test/api",
        region="eu-west-1",
    )


def test_a_container_is_read_only_not_root_and_never_waits_for_its_logs() -> None:
    assert definitions() == [
        {
            "name": "api",
            "image": IMAGE,
            "essential": True,
            "user": "10001",
            "readonlyRootFilesystem": True,
            "stopTimeout": 30,
            "linuxParameters": {"initProcessEnabled": True},
            "portMappings": [{"containerPort": 8080}],
            "logConfiguration": {
                "logDriver": "awslogs",
                "options": {
                    "awslogs-group": "/test/api",
                    "awslogs-region": "eu-west-1",
                    "awslogs-stream-prefix": "api",
                    "mode": "non-blocking",
                    "max-buffer-size": "25m",
                },
            },
        }
    ], "ECS.5, ECS.20, no privileges (ECS.4), and nothing that AWS would fill in by itself"


def test_settings_secrets_and_volumes_are_written_in_one_order_only() -> None:
    (container,) = definitions(
        environment={"B": "2", "A": "1"},
        secrets={"D": "arn:d:key::", "C": "arn:c"},
        mounts={"writable-0": "/cache", "writable-1": "/spool"},
    )
    assert container["environment"] == [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]
    assert container["secrets"] == [
        {"name": "C", "valueFrom": "arn:c"},
        {"name": "D", "valueFrom": "arn:d:key::"},
    ], "ECS.8: a secret is a reference, its value is in no task definition"
    assert container["mountPoints"] == [
        {"sourceVolume": "writable-0", "containerPath": "/cache"},
        {"sourceVolume": "writable-1", "containerPath": "/spool"},
    ], "an order that changes would replace the task definition at every update"


@pytest.mark.parametrize(
    "image",
    [
        "api",
        "api:latest",
        "api@sha256:abc",
        "api:1@sha256:" + "A" * 64,
        "@sha256:" + "a" * 64,
        "api @sha256:" + "a" * 64,
        IMAGE + "0",
        IMAGE + "\n",
    ],
)
def test_an_image_without_a_digest_is_refused_at_once(image: str) -> None:
    with pytest.raises(ValueError, match="is not pinned: a tag can be moved after it was tested"):
        definitions(image=image)


def test_an_image_that_is_known_late_is_refused_late() -> None:
    def program() -> object:
        return definitions(image=pulumi.Output.from_input("api:latest"))[0]["image"]

    with pytest.raises(ValueError, match="'api:latest' is not pinned"):
        deploy(program)


def test_a_pinned_image_is_passed_on_as_it_is() -> None:
    assert digest_image(IMAGE) == IMAGE


@pytest.mark.parametrize("user", ["root", "0", "00", "0:0", "root:10001", "", ":10001"])
def test_root_is_refused_under_every_name(user: str) -> None:
    with pytest.raises(ValueError, match="give one that is not root"):
        definitions(user=user)


@pytest.mark.parametrize("user", ["10001", "10001:10001", "10", "app", "rooted", "1000:0"])
def test_other_users_are_welcome(user: str) -> None:
    assert definitions(user=user)[0]["user"] == user


@pytest.mark.parametrize("seconds", [1, 121])
def test_a_stop_timeout_that_fargate_refuses_is_refused_here(seconds: int) -> None:
    with pytest.raises(ValueError, match=f"is {seconds} s: Fargate allows 2 to 120"):
        definitions(stop_timeout_seconds=seconds)


@pytest.mark.parametrize("seconds", [2, 120])
def test_the_limits_of_the_stop_timeout_are_allowed(seconds: int) -> None:
    assert definitions(stop_timeout_seconds=seconds)[0]["stopTimeout"] == seconds


def test_a_name_is_a_setting_or_a_secret_never_both() -> None:
    with pytest.raises(ValueError, match=r"\['A', 'B', 'C'\] of api are in environment and in secrets"):
        definitions(
            environment={"C": "3", "A": "1", "D": "4", "B": "2"},
            secrets={"B": "arn:b", "C": "arn:c", "A": "arn:a"},
        )


def test_each_directory_gets_one_volume_whatever_the_order() -> None:
    assert volumes(["/var/run", "/cache", "/cache"], execute_command=False) == {
        "writable-0": "/cache",
        "writable-1": "/var/run",
    }


def test_no_volume_unless_it_is_asked_for() -> None:
    assert volumes([], execute_command=False) == {}, "closed by default"


def test_sessions_bring_the_volumes_that_their_agent_writes_to() -> None:
    assert volumes(["/cache"], execute_command=True) == {
        "writable-0": "/cache",
        "writable-1": "/managed-agents",
        "writable-2": "/var/lib/amazon/ssm",
        "writable-3": "/var/log/amazon/ssm",
    }, "with a read-only root file system the agent does not start without them"
    assert SESSION_PATHS == ("/managed-agents", "/var/lib/amazon/ssm", "/var/log/amazon/ssm")


@pytest.mark.parametrize("path", ["/", "//", "cache", "./cache", ""])
def test_the_root_can_not_be_made_writable_by_a_volume(path: str) -> None:
    with pytest.raises(ValueError, match=r"give absolute directories below /"):
        volumes([path], execute_command=False)
