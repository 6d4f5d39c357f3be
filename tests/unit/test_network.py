import json
from collections.abc import Sequence
from typing import Literal

import pytest

from components.network import Network, NetworkArgs
from tests.unit.harness import Deployment, deploy, value_of

VPC = "aws:ec2/vpc:Vpc"
INTERNET = "aws:ec2/internetGateway:InternetGateway"
SUBNET = "aws:ec2/subnet:Subnet"
ADDRESS = "aws:ec2/eip:Eip"
NAT = "aws:ec2/natGateway:NatGateway"
TABLE = "aws:ec2/routeTable:RouteTable"
ROUTE = "aws:ec2/route:Route"
ASSOCIATION = "aws:ec2/routeTableAssociation:RouteTableAssociation"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"

ZONES = ("eu-west-1a", "eu-west-1b", "eu-west-1c")
KEY = "arn:aws:kms:eu-west-1:123456789012:key/k"
BOUNDARY = "arn:aws:iam::123456789012:policy/boundary"


def args(
    *,
    cidr: str = "10.20.0.0/16",
    zones: Sequence[str] = ZONES[:2],
    nat: Literal["per-zone", "single"] = "per-zone",
    interface_endpoints: Sequence[str] = ("ecr.dkr", "ecr.api", "ecr.api"),
    edge_ports: Sequence[int] = (80, 443),
    test_ingress_cidrs: Sequence[str] = ("198.51.100.0/24",),
) -> NetworkArgs:
    return NetworkArgs(
        cidr=cidr,
        zones=zones,
        region="eu-west-1",
        nat=nat,
        interface_endpoints=interface_endpoints,
        flow_log_retention_days=30,
        kms_key_arn=KEY,
        service_ports=[8080],
        database_port=5432,
        edge_ingress_cidrs=["0.0.0.0/0"],
        edge_ports=edge_ports,
        test_port=8443,
        test_ingress_cidrs=test_ingress_cidrs,
        account_id="123456789012",
        name_tag_prefix="switchyard-test",
        role_path="/switchyard/test/",
        permissions_boundary_arn=BOUNDARY,
    )


def network(made_from: NetworkArgs | None = None) -> Deployment:
    return deploy(lambda: Network("main", made_from or args()))


def test_the_vpc_answers_dns_for_its_endpoints() -> None:
    assert network().one(VPC).inputs == {
        "cidrBlock": "10.20.0.0/16",
        "enableDnsSupport": True,
        "enableDnsHostnames": True,
        "tags": {"Name": "switchyard-test"},
    }, "private names of interface endpoints need both"


def test_each_zone_has_a_public_a_private_and_a_data_subnet() -> None:
    subnets = network().of(SUBNET)
    assert {(s.name, s.inputs["availabilityZone"], s.inputs["cidrBlock"]) for s in subnets} == {
        ("main-public-eu-west-1a", "eu-west-1a", "10.20.48.0/21"),
        ("main-private-eu-west-1a", "eu-west-1a", "10.20.0.0/19"),
        ("main-data-eu-west-1a", "eu-west-1a", "10.20.32.0/20"),
        ("main-public-eu-west-1b", "eu-west-1b", "10.20.112.0/21"),
        ("main-private-eu-west-1b", "eu-west-1b", "10.20.64.0/19"),
        ("main-data-eu-west-1b", "eu-west-1b", "10.20.96.0/20"),
    }
    assert [(s.inputs["vpcId"], s.inputs["mapPublicIpOnLaunch"]) for s in subnets] == [
        ("main-vpc-id", False)
    ] * 6, "EC2.15: nothing gets a public address by accident"
    assert {s.inputs["tags"]["Name"] for s in subnets} == {
        s.name.replace("main-", "switchyard-test-") for s in subnets
    }


def test_adding_a_zone_leaves_every_other_resource_of_the_two_zones_as_it_is() -> None:
    before = {
        (r.type, r.name): r.inputs for r in network().resources if r.type in (SUBNET, NAT, TABLE, ROUTE)
    }
    after = {
        (r.type, r.name): r.inputs
        for r in network(args(zones=ZONES)).resources
        if r.type in (SUBNET, NAT, TABLE, ROUTE)
    }
    assert before.items() <= after.items(), "a stack in use grows without a replacement"


def test_with_nat_per_zone_each_zone_leaves_by_itself() -> None:
    made = network()
    assert [gateway.inputs for gateway in made.of(NAT)] == [
        {
            "subnetId": f"main-public-{zone}-id",
            "allocationId": f"main-nat-address-{zone}-id",
            "tags": {"Name": f"switchyard-test-nat-{zone}"},
        }
        for zone in ZONES[:2]
    ]
    assert nat_of_private_routes(made) == {
        "main-private-eu-west-1a-routes-id": "main-nat-eu-west-1a-id",
        "main-private-eu-west-1b-routes-id": "main-nat-eu-west-1b-id",
    }, "a zone that is lost takes no other zone's way out with it"


def test_with_a_single_nat_all_zones_leave_through_the_first() -> None:
    made = network(args(nat="single", zones=ZONES))
    assert [n.name for n in made.of(NAT)] == ["main-nat-eu-west-1a"]
    assert [a.name for a in made.of(ADDRESS)] == ["main-nat-address-eu-west-1a"]
    assert nat_of_private_routes(made) == {
        f"main-private-{zone}-routes-id": "main-nat-eu-west-1a-id" for zone in ZONES
    }


def nat_of_private_routes(made: Deployment) -> dict[str, str]:
    return {
        route.inputs["routeTableId"]: route.inputs["natGatewayId"]
        for route in made.of(ROUTE)
        if "natGatewayId" in route.inputs
    }


def test_nat_addresses_are_fixed_and_wait_for_the_internet_gateway() -> None:
    made = network()
    assert made.one(INTERNET).inputs == {"vpcId": "main-vpc-id", "tags": {"Name": "switchyard-test"}}
    assert [(address.inputs, address.dependencies) for address in made.of(ADDRESS)] == [
        ({"domain": "vpc", "tags": {"Name": f"switchyard-test-nat-{zone}"}}, ("main-internet",))
        for zone in ZONES[:2]
    ], "an address may need the internet gateway to be attached first"


def test_the_public_tier_is_reached_and_the_private_and_data_tiers_are_not() -> None:
    routes = {route.name: route.inputs for route in network().of(ROUTE)}
    assert routes == {
        "main-public-default-route": {
            "routeTableId": "main-public-routes-id",
            "destinationCidrBlock": "0.0.0.0/0",
            "gatewayId": "main-internet-id",
        },
        **{
            f"main-private-{zone}-default-route": {
                "routeTableId": f"main-private-{zone}-routes-id",
                "destinationCidrBlock": "0.0.0.0/0",
                "natGatewayId": f"main-nat-{zone}-id",
            }
            for zone in ZONES[:2]
        },
    }, "the data tier has no route out of the VPC at all"


def test_each_subnet_uses_its_own_tier_s_routes() -> None:
    made = network()
    assert {a.inputs["subnetId"]: a.inputs["routeTableId"] for a in made.of(ASSOCIATION)} == {
        "main-public-eu-west-1a-id": "main-public-routes-id",
        "main-public-eu-west-1b-id": "main-public-routes-id",
        "main-private-eu-west-1a-id": "main-private-eu-west-1a-routes-id",
        "main-private-eu-west-1b-id": "main-private-eu-west-1b-routes-id",
        "main-data-eu-west-1a-id": "main-data-routes-id",
        "main-data-eu-west-1b-id": "main-data-routes-id",
    }
    assert {t.name: t.inputs for t in made.of(TABLE)} == {
        f"main-{label}-routes": {"vpcId": "main-vpc-id", "tags": {"Name": f"switchyard-test-{label}"}}
        for label in ("public", "private-eu-west-1a", "private-eu-west-1b", "data")
    }


def test_a_subnet_is_used_only_once_its_routes_are_in_place() -> None:
    made = network()
    association = made.one(ASSOCIATION, "main-private-eu-west-1a-association")
    assert association.dependencies == (
        "main-private-eu-west-1a",
        "main-private-eu-west-1a-default-route",
        "main-private-eu-west-1a-routes",
    )
    assert made.one(NAT, "main-nat-eu-west-1a").dependencies == (
        "main-nat-address-eu-west-1a",
        "main-public-eu-west-1a",
        "main-public-eu-west-1a-association",
    ), "AWS refuses what faces the internet in a subnet that doesn't"


def test_s3_and_dynamodb_are_reached_without_nat_from_the_inner_tiers() -> None:
    made = network(args(interface_endpoints=[]))
    inner = [f"main-{label}-routes-id" for label in ("private-eu-west-1a", "private-eu-west-1b", "data")]
    assert {e.name: e.inputs for e in made.of(ENDPOINT)} == {
        f"main-gateway-{service}": {
            "vpcId": "main-vpc-id",
            "serviceName": f"com.amazonaws.eu-west-1.{service}",
            "vpcEndpointType": "Gateway",
            "routeTableIds": inner,
            "tags": {"Name": f"switchyard-test-{service}"},
        }
        for service in ("s3", "dynamodb")
    }, "image layers come from S3: through NAT each gigabyte costs"


def test_each_interface_endpoint_answers_in_all_private_subnets_for_services_only() -> None:
    made = network()
    interfaces = [e for e in made.of(ENDPOINT) if e.inputs["vpcEndpointType"] == "Interface"]
    assert {e.name: e.inputs for e in interfaces} == {
        f"main-interface-{service}": {
            "vpcId": "main-vpc-id",
            "serviceName": f"com.amazonaws.eu-west-1.{service}",
            "vpcEndpointType": "Interface",
            "privateDnsEnabled": True,
            "subnetIds": ["main-private-eu-west-1a-id", "main-private-eu-west-1b-id"],
            "securityGroupIds": ["main-firewall-endpoints-id"],
            "tags": {"Name": f"switchyard-test-{service}"},
        }
        for service in ("ecr.api", "ecr.dkr")
    }, "a service that is named twice gets one endpoint: AWS refuses a second with the same private name"


def test_the_firewall_gets_the_network_s_own_facts() -> None:
    made = network()
    acl = made.one("aws:ec2/defaultNetworkAcl:DefaultNetworkAcl").inputs
    assert acl["defaultNetworkAclId"] == "main-vpc-default-acl"
    assert sorted(acl["subnetIds"]) == sorted(f"{s.name}-id" for s in made.of(SUBNET)), "every subnet"
    opened = {(r.inputs["fromPort"], r.inputs.get("cidrIpv4")) for r in made.of(INGRESS)}
    assert opened == {
        (80, "0.0.0.0/0"),
        (443, "0.0.0.0/0"),
        (443, None),
        (8443, "198.51.100.0/24"),
        (8443, "192.0.2.1/32"),
        (8080, None),
        (5432, None),
    }
    assert {r.inputs["fromPort"] for r in made.of(EGRESS)} == {8080, 5432, 443, 8443}


def test_each_nat_address_may_reach_the_test_listener() -> None:
    rules = [r for r in network().of(INGRESS) if "-nat-" in r.name]
    assert [(r.name, r.dependencies) for r in rules] == [
        (
            f"main-firewall-edge-from-nat-{zone}-test",
            ("main-firewall-edge", f"main-nat-address-{zone}"),
        )
        for zone in ZONES[:2]
    ], "smoke checks run in every zone"


def test_all_traffic_of_the_vpc_is_logged_with_the_stack_key() -> None:
    made = network()
    assert made.one("aws:ec2/flowLog:FlowLog").inputs["vpcId"] == "main-vpc-id"
    group = made.one("aws:cloudwatch/logGroup:LogGroup").inputs
    assert group == {"name": "/switchyard-test/network/flow", "retentionInDays": 30, "kmsKeyId": KEY}
    role = made.one("aws:iam/role:Role").inputs
    assert (role["path"], role["permissionsBoundary"]) == ("/switchyard/test/", BOUNDARY)
    trust = json.loads(role["assumeRolePolicy"])
    assert trust["Statement"][0]["Condition"] == {
        "StringEquals": {"aws:SourceAccount": "123456789012"},
        "ArnLike": {"aws:SourceArn": "arn:aws:ec2:eu-west-1:123456789012:vpc-flow-log/*"},
    }


def test_a_network_creates_this_and_nothing_else() -> None:
    assert network().count() == {
        VPC: 1,
        INTERNET: 1,
        SUBNET: 6,
        ADDRESS: 2,
        NAT: 2,
        TABLE: 4,
        ROUTE: 3,
        ASSOCIATION: 6,
        ENDPOINT: 4,
        "aws:ec2/securityGroup:SecurityGroup": 4,
        INGRESS: 8,
        EGRESS: 5,
        "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": 1,
        "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl": 1,
        "aws:cloudwatch/logGroup:LogGroup": 1,
        "aws:iam/role:Role": 1,
        "aws:iam/rolePolicy:RolePolicy": 1,
        "aws:ec2/flowLog:FlowLog": 1,
    }


def test_every_resource_belongs_to_the_network_or_one_of_its_parts() -> None:
    made = network()
    assert made.one("switchyard:network:Network").name == "main", "a type token is state for ever"
    assert {r.parent for r in made.resources if r.name != "main"} == {"main", "main-firewall", "main-flow"}
    assert [made.one(f"switchyard:network:{part}").parent for part in ("Firewall", "FlowLog")] == ["main"] * 2


def test_its_outputs_are_what_callers_build_on() -> None:
    made: list[Network] = []
    deploy(lambda: made.append(Network("main", args())))
    (built,) = made
    assert value_of(built.vpc_id) == "main-vpc-id"
    for tier, ids in {
        "public": built.public_subnet_ids,
        "private": built.private_subnet_ids,
        "data": built.data_subnet_ids,
    }.items():
        assert [value_of(i) for i in ids] == [f"main-{tier}-{zone}-id" for zone in ZONES[:2]]
    assert value_of(built.edge_security_group_id) == "main-firewall-edge-id"
    assert value_of(built.service_security_group_id) == "main-firewall-services-id"
    assert value_of(built.data_security_group_id) == "main-firewall-data-id"
    assert [value_of(ip) for ip in built.nat_public_ips] == ["192.0.2.1", "192.0.2.1"]
    assert value_of(built.flow_log_group_name) == "/switchyard-test/network/flow"


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (args(cidr="10.20.0.1/16"), "is not an IPv4 range"),
        (args(cidr="10.20.0.0/24"), "allowed is /16"),
        (args(zones=["eu-west-1a"]), "two or three"),
        (args(test_ingress_cidrs=["0.0.0.0/0"]), "test_ingress_cidrs holds 0.0.0.0/0"),
        (args(test_ingress_cidrs=["::/0"]), "test_ingress_cidrs holds ::/0"),
        (args(edge_ports=[443, 8443]), "test_port is 8443"),
    ],
)
def test_a_mistake_is_refused_by_name(wrong: NetworkArgs, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        network(wrong)
