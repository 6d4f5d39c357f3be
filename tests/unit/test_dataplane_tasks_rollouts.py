"""New revisions of a service with real tasks: rolled over, given up, rolled back."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from localcloud.aws import elbv2
from tests.unit.task_world import World, eventually, port_of, world

CRASHES = "raise SystemExit('broken')"


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def watched() -> Iterator[None]:
    elbv2.watched(True)
    yield
    elbv2.watched(False)


def breaker(*, rollback: bool) -> dict[str, Any]:
    return {
        "deploymentConfiguration": {
            "deploymentCircuitBreaker": {"enable": True, "rollback": rollback},
            "minimumHealthyPercent": 100,
            "maximumPercent": 200,
        }
    }


def update(cloud: World, **given: Any) -> dict[str, Any]:
    service: dict[str, Any] = cloud.ecs.update_service(cluster="main", service="api", **given)["service"]
    return service


def messages(cloud: World) -> list[str]:
    return [event["message"] for event in cloud.service()["events"]]


def test_a_new_revision_replaces_every_task(cloud: World) -> None:
    group = cloud.target_group()
    cloud.serve(cloud.define(cloud.image("1")), 2, group)
    before = {task["taskArn"] for task in cloud.steady(2)}
    second = cloud.define(cloud.image("2"))
    service = update(cloud, taskDefinition="api")
    assert service["taskDefinition"] == second, "a family alone means its newest revision"
    primary, old = service["deployments"]
    assert (primary["status"], primary["rolloutState"], old["status"]) == ("PRIMARY", "IN_PROGRESS", "ACTIVE")
    after = cloud.steady(2)
    assert not before & {task["taskArn"] for task in after}
    assert {task["taskDefinitionArn"] for task in after} == {second}
    assert cloud.service()["deployments"][0]["rolloutStateReason"] == (
        f"ECS deployment {primary['id']} completed."
    )


@pytest.mark.usefixtures("watched")
def test_no_old_task_goes_before_a_new_one_is_healthy(cloud: World) -> None:
    group = cloud.target_group()
    cloud.serve(cloud.define(cloud.image("1")), 1, group)
    (old,) = eventually(cloud.running, "the old task runs")
    cloud.set_health(group, "healthy", [port_of(old)])
    cloud.steady(1)
    update(cloud, taskDefinition=cloud.define(cloud.image("2")))
    both = eventually(lambda: len(found := cloud.running()) == 2 and found, "both run side by side")

    def counts() -> list[int]:
        return [deployment["runningCount"] for deployment in cloud.service()["deployments"]]

    eventually(lambda: counts() == [1, 1], "each deployment has its own")
    assert cloud.tasks("STOPPED") == []
    cloud.set_health(group, "healthy", [port_of(task) for task in both])
    (leaving,) = eventually(lambda: cloud.tasks("STOPPED"), "the old task goes")
    assert leaving["taskArn"] == old["taskArn"]
    assert len(cloud.service()["deployments"]) == 2, "it drains: the old deployment is still there"
    cloud.set_health(group, "healthy", [port_of(task) for task in both], drained=[port_of(old)])
    (new,) = cloud.steady(1)
    assert new["taskArn"] != old["taskArn"]


def test_an_update_of_something_else_is_no_deployment(cloud: World) -> None:
    definition = cloud.define(cloud.image("1"))
    cloud.serve(definition, 1, cloud.target_group())
    (task,) = cloud.steady(1)
    before = cloud.service()["deployments"][0]["id"]
    update(cloud, healthCheckGracePeriodSeconds=5, taskDefinition=definition)
    assert [deployment["id"] for deployment in cloud.service()["deployments"]] == [before]
    assert [left["taskArn"] for left in cloud.steady(1)] == [task["taskArn"]]


def test_a_forced_deployment_replaces_tasks_of_the_same_revision(cloud: World) -> None:
    cloud.serve(cloud.define(cloud.image("1")), 1, cloud.target_group())
    (before,) = cloud.steady(1)
    first = cloud.service()["deployments"][0]["id"]
    assert update(cloud, forceNewDeployment=True)["deployments"][0]["id"] != first
    (after,) = cloud.steady(1)
    assert after["taskArn"] != before["taskArn"]


def test_the_circuit_breaker_gives_up_a_revision_that_never_starts(cloud: World) -> None:
    group = cloud.target_group()
    cloud.serve(cloud.define(cloud.image("1")), 1, group, **breaker(rollback=False))
    (good,) = cloud.steady(1)
    update(cloud, taskDefinition=cloud.define(cloud.image("2", CRASHES)))

    def failed() -> Any:
        primary = cloud.service()["deployments"][0]
        return primary["rolloutState"] == "FAILED" and primary

    primary = eventually(failed, "the deployment fails")
    assert primary["rolloutStateReason"] == "ECS deployment circuit breaker: tasks failed to start."
    assert (primary["failedTasks"], primary["desiredCount"], primary["runningCount"]) == (3, 1, 0)
    stopped = cloud.tasks("STOPPED")
    assert len(stopped) == 3, "the threshold for one task is three"
    assert [task["taskArn"] for task in cloud.running()] == [good["taskArn"]], "what serves is left alone"


def test_with_rollback_the_last_completed_revision_comes_back(cloud: World) -> None:
    first = cloud.define(cloud.image("1"))
    cloud.serve(first, 1, cloud.target_group(), **breaker(rollback=True))
    (good,) = cloud.steady(1)
    update(cloud, taskDefinition=cloud.define(cloud.image("2", CRASHES)))
    eventually(lambda: cloud.service()["taskDefinition"] == first, "the service goes back")
    (left,) = cloud.steady(1)
    assert left["taskArn"] == good["taskArn"], "what still runs of it is not started again"
    told = messages(cloud)
    assert [text for text in told if text.endswith("deployment failed: tasks failed to start.")]
    assert [text for text in told if "rolling back to deployment ecs-svc/" in text]


def test_with_nothing_to_go_back_to_a_failed_deployment_stays_failed(cloud: World) -> None:
    cloud.serve(cloud.define(cloud.image("1", CRASHES)), 1, cloud.target_group(), **breaker(rollback=True))
    eventually(lambda: cloud.service()["deployments"][0]["rolloutState"] == "FAILED", "the deployment fails")
    assert "no rollback candidate was found" in messages(cloud)[0]
    count = len(cloud.tasks("STOPPED"))
    update(cloud, desiredCount=2)
    assert len(cloud.tasks("STOPPED")) == count, "a failed deployment starts nothing"


def test_a_mended_revision_starts_at_once_after_a_failed_one(cloud: World) -> None:
    cloud.serve(cloud.define(cloud.image("1", CRASHES)), 1, cloud.target_group(), **breaker(rollback=True))
    eventually(lambda: cloud.service()["deployments"][0]["rolloutState"] == "FAILED", "the deployment fails")
    update(cloud, taskDefinition=cloud.define(cloud.image("2")))
    cloud.steady(1)
    assert cloud.service()["deployments"][0]["failedTasks"] == 0


def test_an_image_that_can_not_be_pulled_trips_the_breaker_too(cloud: World) -> None:
    image = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/api@sha256:{'0' * 64}"
    cloud.serve(cloud.define(image), 1, cloud.target_group(), **breaker(rollback=True))
    eventually(lambda: cloud.service()["deployments"][0]["rolloutState"] == "FAILED", "the deployment fails")


def test_the_breaker_watches_a_deployment_until_it_has_completed_and_not_after(cloud: World) -> None:
    cloud.serve(cloud.define(cloud.image("1", CRASHES)), 0, cloud.target_group(), **breaker(rollback=True))
    cloud.steady(0)
    update(cloud, desiredCount=1)
    eventually(lambda: cloud.service()["deployments"][0]["failedTasks"] >= 4, "it tries on and on")
    assert cloud.service()["deployments"][0]["rolloutState"] == "COMPLETED"
    update(cloud, forceNewDeployment=True)
    eventually(lambda: cloud.service()["deployments"][0]["rolloutState"] == "FAILED", "a new one is watched")
