"""Stack `staging`, with its own settings as they are, in an account of its own."""

from typing import Any

import pytest

from tests.cloud import looks
from tests.cloud.conftest import Begin
from tests.cloud.stack import StackUnderTest

pytestmark = pytest.mark.cloud


@pytest.fixture(scope="module")
def stack(begin: Begin) -> StackUnderTest:
    stack = begin("staging", "100000000002")
    stack.up()
    return stack


def test_production_is_https_only_and_http_is_redirected(stack: StackUnderTest) -> None:
    (balancer,) = stack.aws("elbv2").describe_load_balancers()["LoadBalancers"]
    listeners = stack.aws("elbv2").describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])[
        "Listeners"
    ]
    by_port = {listener["Port"]: listener for listener in listeners}
    assert {port: listener["Protocol"] for port, listener in by_port.items()} == {
        80: "HTTP",
        443: "HTTPS",
        8443: "HTTPS",
    }
    redirect = by_port[80]["DefaultActions"][0]["RedirectConfig"]
    assert (redirect["Protocol"], redirect["StatusCode"]) == ("HTTPS", "HTTP_301")
    assert by_port[443]["Certificates"][0]["CertificateArn"] == stack.section("edge")["certificate_arn"]


def test_the_world_reaches_production_but_not_the_test_listener(stack: StackUnderTest) -> None:
    (vpc,) = looks.own_vpcs(stack)
    groups = stack.aws("ec2").describe_security_groups(
        Filters=[{"Name": "vpc-id", "Values": [vpc["VpcId"]]}]
    )["SecurityGroups"]
    open_ports = {
        permission.get("FromPort")
        for group in groups
        for permission in group["IpPermissions"]
        for entry in permission["IpRanges"]
        if entry["CidrIp"] == "0.0.0.0/0"
    }
    assert open_ports == {80, 443}, "8443, the test listener, is for the platform's own addresses"
    addresses = stack.aws("ec2").describe_addresses()["Addresses"]
    allowed = {
        entry["CidrIp"]
        for group in groups
        for permission in group["IpPermissions"]
        if permission.get("FromPort") == 8443
        for entry in permission["IpRanges"]
    }
    assert allowed == {f"{address['PublicIp']}/32" for address in addresses}


def test_the_database_has_a_standby_in_a_second_zone(stack: StackUnderTest) -> None:
    (database,) = stack.aws("rds").describe_db_instances()["DBInstances"]
    assert database["MultiAZ"] is True
    assert database["BackupRetentionPeriod"] == 7


def test_a_second_up_changes_nothing(stack: StackUnderTest) -> None:
    said = stack.up()
    assert set(said.changes) == {"unchanged"}, said.text


def test_a_refresh_finds_nothing_that_differs(stack: StackUnderTest) -> None:
    said = stack.preview("--refresh")
    assert set(said.changes) == {"unchanged"}, said.text


def test_destroy_leaves_the_final_snapshot_and_the_key_that_opens_it(stack: StackUnderTest) -> None:
    def let_go(settings: dict[str, Any]) -> None:
        # Outside local and dev the release records are protected; taking a stack down is two steps.
        settings["switchyard:environment"] = "dev"

    stack.change(let_go)
    stack.up()
    said = stack.pulumi("destroy", "--yes", "--skip-preview", "--stack", stack.name)
    assert said.status == 0, said.text
    assert looks.leftovers(stack) == {
        "keys": ["storage, snapshots, insights and master password of database switchyard-staging-main"]
    }
    snapshots = stack.aws("rds").describe_db_snapshots(SnapshotType="manual")["DBSnapshots"]
    assert [snapshot["DBSnapshotIdentifier"] for snapshot in snapshots] == ["switchyard-staging-main-final"]
