"""What localcloud/aws/ec2.py adds to moto: descriptions of rules, and deletions that are complete."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from moto import mock_aws

from localcloud.aws import install

if TYPE_CHECKING:
    from mypy_boto3_ec2 import EC2Client
    from mypy_boto3_ec2.type_defs import FilterTypeDef, IpPermissionTypeDef

REGION = "eu-west-1"


@pytest.fixture
def ec2(monkeypatch: pytest.MonkeyPatch) -> Iterator["EC2Client"]:
    install()
    # AWS's own policies take longer to load than a test to run.
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    with mock_aws():
        yield boto3.client("ec2", region_name=REGION)


@pytest.fixture
def vpc(ec2: "EC2Client") -> str:
    return ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]


def group(ec2: "EC2Client", vpc: str, name: str) -> str:
    return ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc)["GroupId"]


def described_after_allowing(
    ec2: "EC2Client", group_id: str, permission: "IpPermissionTypeDef"
) -> str | None:
    """The description that DescribeSecurityGroupRules gives to a rule that was just made."""
    made = ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=[permission])
    (rule,) = made["SecurityGroupRules"]
    (found,) = ec2.describe_security_group_rules(SecurityGroupRuleIds=[rule["SecurityGroupRuleId"]])[
        "SecurityGroupRules"
    ]
    assert rule.get("Description") == found.get("Description")
    return found.get("Description")


def test_a_rule_for_another_group_keeps_its_description(ec2: "EC2Client", vpc: str) -> None:
    edge, services = group(ec2, vpc, "edge"), group(ec2, vpc, "services")
    permission: IpPermissionTypeDef = {
        "IpProtocol": "tcp",
        "FromPort": 8080,
        "ToPort": 8080,
        "UserIdGroupPairs": [{"GroupId": edge, "Description": "Requests to services"}],
    }
    assert described_after_allowing(ec2, services, permission) == "Requests to services"


def test_a_rule_for_a_prefix_list_keeps_its_description(ec2: "EC2Client", vpc: str) -> None:
    permission: IpPermissionTypeDef = {
        "IpProtocol": "tcp",
        "FromPort": 443,
        "ToPort": 443,
        "PrefixListIds": [{"PrefixListId": "pl-1", "Description": "Buckets of the region"}],
    }
    assert described_after_allowing(ec2, group(ec2, vpc, "a"), permission) == "Buckets of the region"


def test_a_rule_for_addresses_keeps_its_description(ec2: "EC2Client", vpc: str) -> None:
    permission: IpPermissionTypeDef = {
        "IpProtocol": "tcp",
        "FromPort": 443,
        "ToPort": 443,
        "IpRanges": [{"CidrIp": "10.1.0.0/16", "Description": "The office"}],
    }
    assert described_after_allowing(ec2, group(ec2, vpc, "a"), permission) == "The office"


def test_a_rule_without_a_description_has_none(ec2: "EC2Client", vpc: str) -> None:
    edge, services = group(ec2, vpc, "edge"), group(ec2, vpc, "services")
    permission: IpPermissionTypeDef = {"IpProtocol": "-1", "UserIdGroupPairs": [{"GroupId": edge}]}
    assert described_after_allowing(ec2, services, permission) is None


def test_a_nat_gateway_takes_its_interface_along_and_frees_its_address(ec2: "EC2Client", vpc: str) -> None:
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    gateway = ec2.create_nat_gateway(SubnetId=subnet, AllocationId=address)["NatGateway"]["NatGatewayId"]
    in_subnet: list[FilterTypeDef] = [{"Name": "subnet-id", "Values": [subnet]}]
    assert len(ec2.describe_network_interfaces(Filters=in_subnet)["NetworkInterfaces"]) == 1

    ec2.delete_nat_gateway(NatGatewayId=gateway)

    assert ec2.describe_network_interfaces(Filters=in_subnet)["NetworkInterfaces"] == []
    (freed,) = ec2.describe_addresses(AllocationIds=[address])["Addresses"]
    assert freed["NetworkInterfaceId"] == ""


def test_a_vpc_takes_its_default_network_acl_along(ec2: "EC2Client", vpc: str) -> None:
    others = {
        acl["NetworkAclId"] for acl in ec2.describe_network_acls()["NetworkAcls"] if acl["VpcId"] != vpc
    }

    ec2.delete_vpc(VpcId=vpc)

    left = {acl["NetworkAclId"] for acl in ec2.describe_network_acls()["NetworkAcls"]}
    assert left == others, "the ACLs of other VPCs stay, and only those"
