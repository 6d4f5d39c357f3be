"""What localcloud/aws/rds.py adds to moto: instances, replicas, parameter groups, event subscriptions."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from localcloud.aws import install

KEY = "arn:aws:kms:eu-west-1:123456789012:key/00000000-0000-4000-8000-000000000000"
INSIGHTS = {
    "PerformanceInsightsEnabled": True,
    "PerformanceInsightsKMSKeyId": KEY,
    "PerformanceInsightsRetentionPeriod": 731,
}


@pytest.fixture
def rds(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    install()
    # AWS's own policies take longer to load than a test to run.
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    with mock_aws():
        yield boto3.client("rds", region_name="eu-west-1")


def create(rds: Any, identifier: str = "main", **settings: Any) -> dict[str, Any]:
    made: dict[str, Any] = rds.create_db_instance(
        DBInstanceIdentifier=identifier,
        DBInstanceClass="db.t4g.medium",
        Engine="postgres",
        EngineVersion="16",
        AllocatedStorage=20,
        MasterUsername="owner",
        ManageMasterUserPassword=True,
        **settings,
    )["DBInstance"]
    return made


def described(rds: Any, identifier: str = "main") -> dict[str, Any]:
    (found,) = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    return dict(found)


def insights(instance: dict[str, Any]) -> dict[str, Any]:
    return {name: instance[name] for name in INSIGHTS if name in instance}


# --- instances


def test_an_instance_that_manages_its_password_already_keeps_its_secret(rds: Any) -> None:
    secret = create(rds)["MasterUserSecret"]["SecretArn"]
    rds.modify_db_instance(DBInstanceIdentifier="main", ManageMasterUserPassword=True, ApplyImmediately=True)
    assert described(rds)["MasterUserSecret"]["SecretArn"] == secret
    secrets = boto3.client("secretsmanager", region_name="eu-west-1").list_secrets()["SecretList"]
    assert [found["ARN"] for found in secrets] == [secret], "a second one would outlive the instance"


def test_an_instance_keeps_its_performance_insights(rds: Any) -> None:
    create(
        rds,
        EnablePerformanceInsights=True,
        PerformanceInsightsKMSKeyId=KEY,
        PerformanceInsightsRetentionPeriod=731,
    )
    assert insights(described(rds)) == INSIGHTS


def test_performance_insights_are_kept_for_a_week_unless_more_is_asked_for(rds: Any) -> None:
    create(rds, EnablePerformanceInsights=True)
    assert described(rds)["PerformanceInsightsRetentionPeriod"] == 7


def test_an_instance_without_performance_insights_says_no_more_than_that(rds: Any) -> None:
    create(rds)
    assert insights(described(rds)) == {"PerformanceInsightsEnabled": False}


def test_performance_insights_can_be_turned_on_later(rds: Any) -> None:
    create(rds)
    rds.modify_db_instance(
        DBInstanceIdentifier="main",
        EnablePerformanceInsights=True,
        PerformanceInsightsKMSKeyId=KEY,
        PerformanceInsightsRetentionPeriod=731,
    )
    assert insights(described(rds)) == INSIGHTS


def test_performance_insights_that_are_turned_on_later_are_kept_for_a_week_too(rds: Any) -> None:
    create(rds)
    rds.modify_db_instance(DBInstanceIdentifier="main", EnablePerformanceInsights=True)
    assert described(rds)["PerformanceInsightsRetentionPeriod"] == 7


def test_every_instance_has_an_id_of_its_own_and_can_be_found_by_it(rds: Any) -> None:
    first, second = create(rds, "first")["DbiResourceId"], create(rds, "second")["DbiResourceId"]
    assert first != second
    found = rds.describe_db_instances(Filters=[{"Name": "dbi-resource-id", "Values": [second]}])
    assert [instance["DBInstanceIdentifier"] for instance in found["DBInstances"]] == ["second"]


def test_an_instance_gets_the_certificate_authority_that_aws_gives_today(rds: Any) -> None:
    assert create(rds)["CACertificateIdentifier"] == "rds-ca-rsa2048-g1"
    other = create(rds, "other", CACertificateIdentifier="rds-ca-ecc384-g1")
    assert other["CACertificateIdentifier"] == "rds-ca-ecc384-g1"


# --- replicas


@pytest.fixture
def replica(rds: Any) -> dict[str, Any]:
    create(
        rds,
        BackupRetentionPeriod=7,
        EnableCloudwatchLogsExports=["postgresql"],
        EnablePerformanceInsights=True,
        Tags=[{"Key": "backup-tier", "Value": "gold"}],
    )
    rds.create_db_instance_read_replica(DBInstanceIdentifier="copy", SourceDBInstanceIdentifier="main")
    return described(rds, "copy")


def test_a_replica_takes_nothing_that_is_its_sources_own(rds: Any, replica: dict[str, Any]) -> None:
    assert replica["DbiResourceId"] != described(rds)["DbiResourceId"]
    assert replica["TagList"] == []
    assert replica["BackupRetentionPeriod"] == 0
    assert replica["PerformanceInsightsEnabled"] is False
    assert replica.get("EnabledCloudwatchLogsExports", []) == []
    assert "MasterUserSecret" not in replica


@pytest.mark.usefixtures("replica")
def test_a_replica_keeps_what_it_was_given(rds: Any) -> None:
    rds.create_db_instance_read_replica(
        DBInstanceIdentifier="second",
        SourceDBInstanceIdentifier="main",
        EnableCloudwatchLogsExports=["upgrade"],
        EnablePerformanceInsights=True,
        PerformanceInsightsKMSKeyId=KEY,
        PerformanceInsightsRetentionPeriod=731,
        Tags=[{"Key": "team", "Value": "shop"}],
    )
    second = described(rds, "second")
    assert insights(second) == INSIGHTS
    assert second["EnabledCloudwatchLogsExports"] == ["upgrade"]
    assert second["TagList"] == [{"Key": "team", "Value": "shop"}]
    assert described(rds)["EnabledCloudwatchLogsExports"] == ["postgresql"], "the source has lists of its own"


@pytest.mark.usefixtures("replica")
def test_a_replica_that_is_deleted_leaves_its_source_the_password(rds: Any) -> None:
    rds.delete_db_instance(DBInstanceIdentifier="copy", SkipFinalSnapshot=True)
    secret = described(rds)["MasterUserSecret"]["SecretArn"]
    secrets = boto3.client("secretsmanager", region_name="eu-west-1")
    assert "DeletedDate" not in secrets.describe_secret(SecretId=secret)
    assert described(rds)["ReadReplicaDBInstanceIdentifiers"] == []


# --- parameter groups


@pytest.fixture
def group(rds: Any) -> str:
    rds.create_db_parameter_group(
        DBParameterGroupName="main", DBParameterGroupFamily="postgres16", Description="of main"
    )
    rds.modify_db_parameter_group(
        DBParameterGroupName="main",
        Parameters=[
            {"ParameterName": "log_connections", "ParameterValue": "1", "ApplyMethod": "immediate"},
            {"ParameterName": "rds.force_ssl", "ParameterValue": "1", "ApplyMethod": "pending-reboot"},
        ],
    )
    return "main"


def parameters(rds: Any, group: str, **more: Any) -> list[tuple[str, str, str, str]]:
    found = rds.describe_db_parameters(DBParameterGroupName=group, **more)["Parameters"]
    names = ("ParameterName", "ParameterValue", "ApplyMethod", "Source")
    return [tuple(parameter[name] for name in names) for parameter in found]


def test_parameters_that_were_set_are_a_users(rds: Any, group: str) -> None:
    expected = [
        ("log_connections", "1", "immediate", "user"),
        ("rds.force_ssl", "1", "pending-reboot", "user"),
    ]
    assert parameters(rds, group) == expected
    assert parameters(rds, group, Source="user") == expected
    assert parameters(rds, group, Source="engine-default") == []


def test_a_parameter_that_is_reset_is_gone(rds: Any, group: str) -> None:
    rds.reset_db_parameter_group(
        DBParameterGroupName=group,
        Parameters=[{"ParameterName": "rds.force_ssl", "ApplyMethod": "pending-reboot"}],
    )
    assert parameters(rds, group) == [("log_connections", "1", "immediate", "user")]


def test_a_group_that_is_reset_has_no_parameters(rds: Any, group: str) -> None:
    answer = rds.reset_db_parameter_group(DBParameterGroupName=group, ResetAllParameters=True)
    assert answer["DBParameterGroupName"] == group
    assert parameters(rds, group) == []


def test_a_parameter_group_that_is_not_there_is_an_error(rds: Any) -> None:
    with pytest.raises(ClientError, match="DBParameterGroupNotFound"):
        rds.describe_db_parameters(DBParameterGroupName="nowhere")


# --- event subscriptions


@pytest.fixture
def subscription(rds: Any) -> str:
    rds.create_event_subscription(
        SubscriptionName="main",
        SnsTopicArn="arn:aws:sns:eu-west-1:123456789012:alerts",
        SourceType="db-instance",
        SourceIds=["main"],
        EventCategories=["failure"],
        Enabled=True,
    )
    return "main"


def test_a_subscription_changes_what_it_is_told_to_and_no_more(rds: Any, subscription: str) -> None:
    rds.modify_event_subscription(SubscriptionName=subscription, EventCategories=["failover"], Enabled=False)
    (found,) = rds.describe_event_subscriptions(SubscriptionName=subscription)["EventSubscriptionsList"]
    assert (found["EventCategoriesList"], found["Enabled"]) == (["failover"], False)
    assert (found["SourceType"], found["SourceIdsList"]) == ("db-instance", ["main"])


def test_a_subscription_gains_and_loses_sources(rds: Any, subscription: str) -> None:
    rds.add_source_identifier_to_subscription(SubscriptionName=subscription, SourceIdentifier="copy")
    rds.remove_source_identifier_from_subscription(SubscriptionName=subscription, SourceIdentifier="main")
    (found,) = rds.describe_event_subscriptions(SubscriptionName=subscription)["EventSubscriptionsList"]
    assert found["SourceIdsList"] == ["copy"]


def test_a_subscription_that_is_not_there_is_an_error(rds: Any) -> None:
    with pytest.raises(ClientError, match="SubscriptionNotFound"):
        rds.modify_event_subscription(SubscriptionName="nowhere", Enabled=False)
