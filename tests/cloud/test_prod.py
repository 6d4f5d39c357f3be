"""Stack `prod`, with its own settings as they are, in an account of its own."""

from typing import Any

import pytest

from tests.cloud import looks
from tests.cloud.conftest import Begin
from tests.cloud.stack import StackUnderTest

pytestmark = pytest.mark.cloud


@pytest.fixture(scope="module")
def stack(begin: Begin) -> StackUnderTest:
    stack = begin("prod", "100000000003")
    stack.up()
    return stack


def test_every_zone_has_its_own_way_out(stack: StackUnderTest) -> None:
    (vpc,) = looks.own_vpcs(stack)
    filters = [{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    gateways = stack.aws("ec2").describe_nat_gateways(Filters=filters)["NatGateways"]
    subnets = {gateway["SubnetId"] for gateway in gateways}
    zones = {
        subnet["AvailabilityZone"]
        for subnet in stack.aws("ec2").describe_subnets(SubnetIds=sorted(subnets))["Subnets"]
    }
    assert zones == {"eu-west-1a", "eu-west-1b", "eu-west-1c"}


def test_the_database_survives_a_zone_and_a_mistake(stack: StackUnderTest) -> None:
    (database,) = stack.aws("rds").describe_db_instances()["DBInstances"]
    assert database["MultiAZ"] is True
    assert database["DeletionProtection"] is True
    assert database["BackupRetentionPeriod"] == 35


def test_backups_are_copied_to_a_second_region_under_its_own_key(stack: StackUnderTest) -> None:
    (vault,) = stack.aws("backup", "eu-central-1").list_backup_vaults()["BackupVaultList"]
    assert vault["EncryptionKeyArn"].startswith("arn:aws:kms:eu-central-1:")
    assert vault["Locked"] is True
    plans = stack.aws("backup").list_backup_plans()["BackupPlansList"]
    for plan in plans:
        document = stack.aws("backup").get_backup_plan(BackupPlanId=plan["BackupPlanId"])["BackupPlan"]
        (rule,) = document["Rules"]
        assert [copy["DestinationBackupVaultArn"] for copy in rule["CopyActions"]] == [
            vault["BackupVaultArn"]
        ]
    assert len(plans) == 2


def test_the_load_balancer_refuses_its_own_deletion(stack: StackUnderTest) -> None:
    (balancer,) = stack.aws("elbv2").describe_load_balancers()["LoadBalancers"]
    attributes = stack.aws("elbv2").describe_load_balancer_attributes(
        LoadBalancerArn=balancer["LoadBalancerArn"]
    )
    values = {attribute["Key"]: attribute["Value"] for attribute in attributes["Attributes"]}
    assert values["deletion_protection.enabled"] == "true"
    assert values["routing.http.drop_invalid_header_fields.enabled"] == "true"
    assert values["access_logs.s3.enabled"] == "true"


def test_everything_carries_the_stacks_tags(stack: StackUnderTest) -> None:
    (vpc,) = looks.own_vpcs(stack)
    tags = {tag["Key"]: tag["Value"] for tag in vpc["Tags"]}
    assert tags == {
        "Name": "switchyard-prod",
        "project": "switchyard",
        "stack": "prod",
        "managed-by": "switchyard",
        "team": "platform",
        "cost-centre": "shop",
    }


def test_a_second_up_changes_nothing(stack: StackUnderTest) -> None:
    said = stack.up()
    assert set(said.changes) == {"unchanged"}, said.text


def test_a_refresh_finds_nothing_that_differs(stack: StackUnderTest) -> None:
    said = stack.preview("--refresh")
    assert set(said.changes) == {"unchanged"}, said.text


def test_destroy_is_refused_while_production_is_protected(stack: StackUnderTest) -> None:
    # With its preview, as it comes: that is what stops before the first resource is gone.
    said = stack.pulumi("destroy", "--yes", "--stack", stack.name)
    assert said.status != 0
    assert "protect" in said.text
    assert stack.aws("rds").describe_db_instances()["DBInstances"], "the database is still there"
    assert set(stack.up().changes) == {"unchanged"}, "and so is all the rest"


def test_taking_production_down_is_two_steps_and_leaves_what_must_outlive_it(stack: StackUnderTest) -> None:
    def let_go(settings: dict[str, Any]) -> None:
        settings["switchyard:environment"] = "dev"
        settings["switchyard:edge"]["deletion_protection"] = False
        settings["switchyard:databases"]["main"]["deletion_protection"] = False

    stack.change(let_go)
    stack.up()
    said = stack.pulumi("destroy", "--yes", "--skip-preview", "--stack", stack.name)
    assert said.status == 0, said.text
    assert looks.leftovers(stack) == {
        "keys": ["storage, snapshots, insights and master password of database switchyard-prod-main"]
    }
    assert looks.enabled_keys(stack, "eu-central-1") == []
    snapshots = stack.aws("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    assert [snapshot["DBSnapshotIdentifier"] for snapshot in snapshots] == ["switchyard-prod-main-final"]
