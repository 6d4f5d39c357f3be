"""What localcloud/aws/ecs.py adds to moto: the settings of a service."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from localcloud.aws import install

SETTINGS: dict[str, Any] = {
    "availabilityZoneRebalancing": "ENABLED",
    "deploymentConfiguration": {
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        "maximumPercent": 200,
        "minimumHealthyPercent": 100,
    },
    "enableECSManagedTags": True,
    "enableExecuteCommand": True,
    "healthCheckGracePeriodSeconds": 30,
}


@pytest.fixture
def ecs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    install()
    # AWS's own policies take longer to load than a test to run.
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    with mock_aws():
        client = boto3.client("ecs", region_name="eu-west-1")
        client.create_cluster(clusterName="main")
        client.register_task_definition(
            family="api", containerDefinitions=[{"name": "api", "image": "api", "memory": 512}]
        )
        yield client


def create(ecs: Any, **settings: Any) -> dict[str, Any]:
    made: dict[str, Any] = ecs.create_service(
        cluster="main", serviceName="api", taskDefinition="api", desiredCount=1, **settings
    )["service"]
    return made


def described(ecs: Any) -> dict[str, Any]:
    (found,) = ecs.describe_services(cluster="main", services=["api"])["services"]
    return dict(found)


def test_a_service_keeps_the_settings_it_was_given(ecs: Any) -> None:
    made = create(ecs, **SETTINGS)
    assert {name: made[name] for name in SETTINGS} == SETTINGS
    found = described(ecs)
    assert {name: found[name] for name in SETTINGS} == SETTINGS


def test_a_setting_that_is_off_or_zero_is_kept_as_such(ecs: Any) -> None:
    create(ecs, enableECSManagedTags=False, healthCheckGracePeriodSeconds=0)
    found = described(ecs)
    assert (found["enableECSManagedTags"], found["healthCheckGracePeriodSeconds"]) == (False, 0)


def test_a_service_has_no_settings_it_was_not_given(ecs: Any) -> None:
    create(ecs)
    assert [name for name in SETTINGS if name in described(ecs)] == []


def test_an_update_changes_one_setting_and_leaves_the_others(ecs: Any) -> None:
    create(ecs, **SETTINGS)
    ecs.update_service(cluster="main", service="api", healthCheckGracePeriodSeconds=60)
    found = described(ecs)
    assert {name: found[name] for name in SETTINGS} == {**SETTINGS, "healthCheckGracePeriodSeconds": 60}
