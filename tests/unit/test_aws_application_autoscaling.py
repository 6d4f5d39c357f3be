"""What localcloud/aws/application_autoscaling.py adds to moto: the tags of a scalable target."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from localcloud.aws import install

TARGET = {
    "ServiceNamespace": "ecs",
    "ResourceId": "service/main/api",
    "ScalableDimension": "ecs:service:DesiredCount",
}


@pytest.fixture
def scaling(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    install()
    # AWS's own policies take longer to load than a test to run.
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    with mock_aws():
        ecs = boto3.client("ecs", region_name="eu-west-1")
        ecs.create_cluster(clusterName="main")
        ecs.register_task_definition(
            family="api", containerDefinitions=[{"name": "api", "image": "api", "memory": 512}]
        )
        ecs.create_service(cluster="main", serviceName="api", taskDefinition="api", desiredCount=1)
        yield boto3.client("application-autoscaling", region_name="eu-west-1")


def register(scaling: Any, **more: Any) -> str:
    arn: str = scaling.register_scalable_target(**TARGET, MinCapacity=1, MaxCapacity=4, **more)[
        "ScalableTargetARN"
    ]
    return arn


def test_a_target_keeps_the_tags_it_was_registered_with(scaling: Any) -> None:
    arn = register(scaling, Tags={"team": "platform"})
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "platform"}


def test_a_target_without_tags_has_none(scaling: Any) -> None:
    assert scaling.list_tags_for_resource(ResourceARN=register(scaling))["Tags"] == {}


def test_tags_are_added_and_taken_off(scaling: Any) -> None:
    arn = register(scaling, Tags={"team": "platform", "old": "yes"})
    scaling.tag_resource(ResourceARN=arn, Tags={"stage": "prod"})
    scaling.untag_resource(ResourceARN=arn, TagKeys=["old", "never-there"])
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "platform", "stage": "prod"}


def test_a_target_that_is_registered_again_keeps_its_tags(scaling: Any) -> None:
    arn = register(scaling, Tags={"team": "platform"})
    assert register(scaling) == arn
    assert scaling.list_tags_for_resource(ResourceARN=arn)["Tags"] == {"team": "platform"}
