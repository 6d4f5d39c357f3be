from collections.abc import Sequence
from typing import Any

import pytest

from components.cidr import CidrError
from components.firewall import Firewall, FirewallArgs
from tests.unit.harness import Deployment, deploy, value_of

GROUP = "aws:ec2/securityGroup:SecurityGroup"
INGRESS = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
EGRESS = "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule"
DEFAULT_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
DEFAULT_ACL = "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl"

EDGE, SERVICES, DATA, ENDPOINTS = (f"fw-{tier}-id" for tier in ("edge", "services", "data", "endpoints"))


def args(
    *,
    edge_ingress_cidrs: Sequence[str] = ("0.0.0.0/0",),
    edge_ports: Sequence[int] = (80, 443),
    test_port: int = 8443,
    test_ingress_cidrs: Sequence[str] = ("198.51.100.0/24",),
    service_ports: Sequence[int] = (8080, 3000),
) -> FirewallArgs:
    return FirewallArgs(
        vpc_id="vpc-1",
        default_network_acl_id="acl-1",
        subnet_ids=["subnet-a", "subnet-b"],
        edge_ingress_cidrs=edge_ingress_cidrs,
        edge_ports=edge_ports,
        test_port=test_port,
        test_ingress_cidrs=test_ingress_cidrs,
        nat_public_ips={"eu-west-1a": "203.0.113.1", "eu-west-1b": "203.0.113.2"},
        service_ports=service_ports,
        database_port=5432,
        name_tag_prefix="switchyard-test",
    )


def firewall(made_from: FirewallArgs | None = None) -> Deployment:
    return deploy(lambda: Firewall("fw", made_from or args()))


def flows(deployment: Deployment, type_: str) -> set[tuple[str, str, int]]:
    """Each rule as (group, peer, port)."""
    rules = [rule.inputs for rule in deployment.of(type_)]
    return {
        (rule["securityGroupId"], rule.get("cidrIpv4") or rule["referencedSecurityGroupId"], rule["fromPort"])
        for rule in rules
    }


def test_these_flows_come_in_and_no_other() -> None:
    made = firewall()
    assert flows(made, INGRESS) == {
        (EDGE, "0.0.0.0/0", 80),
        (EDGE, "0.0.0.0/0", 443),
        (EDGE, "198.51.100.0/24", 8443),
        (EDGE, "203.0.113.1/32", 8443),
        (EDGE, "203.0.113.2/32", 8443),
        (SERVICES, EDGE, 8080),
        (SERVICES, EDGE, 3000),
        (DATA, SERVICES, 5432),
        (ENDPOINTS, SERVICES, 443),
    }, "each tier is reached by the one before it, on its own port"
    assert len(made.of(INGRESS)) == 9


def test_these_flows_go_out_and_no_other() -> None:
    made = firewall()
    assert flows(made, EGRESS) == {
        (EDGE, SERVICES, 8080),
        (EDGE, SERVICES, 3000),
        (SERVICES, DATA, 5432),
        (SERVICES, ENDPOINTS, 443),
        (SERVICES, "0.0.0.0/0", 443),
        (SERVICES, "0.0.0.0/0", 8443),
    }, "the data tier opens no connection, and the edge only those to services"
    assert len(made.of(EGRESS)) == 6


def test_a_rule_opens_one_tcp_port_and_says_what_for() -> None:
    made = firewall()
    rules = [rule.inputs for rule in (*made.of(INGRESS), *made.of(EGRESS))]
    assert len(rules) == 15
    assert [rule for rule in rules if rule["ipProtocol"] != "tcp" or rule["fromPort"] != rule["toPort"]] == []
    assert {(rule["fromPort"], rule["description"]) for rule in rules} == {
        (80, "Production listener"),
        (443, "Production listener"),
        (8443, "Test listener"),
        (8443, "Test listener, for smoke checks behind NAT"),
        (8443, "Smoke checks to the test listener"),
        (8080, "Requests to services"),
        (3000, "Requests to services"),
        (5432, "Queries to databases"),
        (443, "Calls to AWS APIs"),
        (443, "HTTPS to third parties and AWS APIs"),
    }


def test_rules_are_named_after_what_they_allow_so_that_a_new_one_moves_none() -> None:
    made = firewall()
    assert [rule.name for rule in made.of(INGRESS)] == [
        "fw-edge-from-0.0.0.0-0-443",
        "fw-edge-from-0.0.0.0-0-80",
        "fw-edge-from-198.51.100.0-24-test",
        "fw-edge-from-nat-eu-west-1a-test",
        "fw-edge-from-nat-eu-west-1b-test",
        "fw-edge-to-services-3000",
        "fw-edge-to-services-8080",
        "fw-services-to-data",
        "fw-services-to-endpoints",
    ], "a logical name is state: a number in it would replace the rules behind it"
    assert [rule.name for rule in made.of(EGRESS)] == [
        "fw-edge-to-services-3000",
        "fw-edge-to-services-8080",
        "fw-services-to-anywhere-https",
        "fw-services-to-anywhere-test",
        "fw-services-to-data",
        "fw-services-to-endpoints",
    ]


def test_a_flow_between_tiers_has_both_ends_described_alike() -> None:
    made = firewall()
    both: list[dict[str, Any]] = [
        dict(made.one(kind, "fw-services-to-data").inputs) for kind in (EGRESS, INGRESS)
    ]
    port = {"description": "Queries to databases", "ipProtocol": "tcp", "fromPort": 5432, "toPort": 5432}
    assert both == [
        {"securityGroupId": SERVICES, "referencedSecurityGroupId": DATA, **port},
        {"securityGroupId": DATA, "referencedSecurityGroupId": SERVICES, **port},
    ]


def test_groups_hold_no_inline_rules_and_keep_their_description() -> None:
    made = firewall()
    described = {
        "edge": "Load balancer: the way in from outside",
        "services": "Services: tasks of every colour",
        "data": "Data: databases, reached by services only",
        "endpoints": "Interface endpoints of AWS services",
    }
    assert {group.name: group.inputs for group in made.of(GROUP)} == {
        f"fw-{tier}": {
            "vpcId": "vpc-1",
            "description": description,
            "tags": {"Name": f"switchyard-test-{tier}"},
        }
        for tier, description in described.items()
    }, "inline rules fight the rule resources, and another description replaces the group"


def test_the_default_group_is_empty() -> None:
    assert firewall().one(DEFAULT_GROUP).inputs == {
        "vpcId": "vpc-1",
        "ingress": [],
        "egress": [],
        "tags": {"Name": "switchyard-test-default"},
    }, "EC2.2: the default group allows all of its members everything unless it is emptied"


def test_the_default_acl_denies_ssh_and_rdp_before_it_allows_the_rest() -> None:
    everything = {
        "ruleNo": 100,
        "action": "allow",
        "protocol": "-1",
        "fromPort": 0,
        "toPort": 0,
        "cidrBlock": "0.0.0.0/0",
    }
    denied = {**everything, "action": "deny", "protocol": "tcp"}
    assert firewall().one(DEFAULT_ACL).inputs == {
        "defaultNetworkAclId": "acl-1",
        "subnetIds": ["subnet-a", "subnet-b"],
        "ingress": [
            {**denied, "ruleNo": 10, "fromPort": 22, "toPort": 22},
            {**denied, "ruleNo": 20, "fromPort": 3389, "toPort": 3389},
            everything,
        ],
        "egress": [everything],
        "tags": {"Name": "switchyard-test-default"},
    }, "EC2.21: AWS takes the matching rule with the lowest number"


def test_a_firewall_creates_nothing_else_and_owns_all_of_it() -> None:
    made = firewall()
    assert made.count() == {GROUP: 4, INGRESS: 9, EGRESS: 6, DEFAULT_GROUP: 1, DEFAULT_ACL: 1}
    owners = {resource.parent for resource in made.resources if resource.name != "fw"}
    assert owners == {"fw"}
    assert made.one(DEFAULT_GROUP).name == made.one(DEFAULT_ACL).name == "fw-default"
    assert made.one("switchyard:network:Firewall").name == "fw", "a type token is state for ever"


def test_its_outputs_are_the_four_groups() -> None:
    made: list[Firewall] = []
    deploy(lambda: made.append(Firewall("fw", args())))
    assert value_of(made[0].edge_security_group_id) == EDGE
    assert value_of(made[0].service_security_group_id) == SERVICES
    assert value_of(made[0].data_security_group_id) == DATA
    assert value_of(made[0].endpoint_security_group_id) == ENDPOINTS


def test_without_outside_testers_only_the_platform_reaches_the_test_listener() -> None:
    made = firewall(args(test_ingress_cidrs=[]))
    assert {flow for flow in flows(made, INGRESS) if flow[2] == 8443} == {
        (EDGE, "203.0.113.1/32", 8443),
        (EDGE, "203.0.113.2/32", 8443),
    }, "a release that nobody has checked yet is no business of the internet's"


def test_without_edge_ranges_nobody_reaches_production() -> None:
    made = firewall(args(edge_ingress_cidrs=[]))
    assert {flow for flow in flows(made, INGRESS) if flow[2] in (80, 443) and flow[0] == EDGE} == set()


def test_a_range_or_port_given_twice_makes_one_rule() -> None:
    twice = args(
        edge_ingress_cidrs=["0.0.0.0/0", "0.0.0.0/0"],
        edge_ports=[443, 80, 443],
        test_ingress_cidrs=["198.51.100.0/24", "198.51.100.0/24"],
        service_ports=[8080, 3000, 8080],
    )
    assert firewall(twice).count() == firewall().count(), "AWS refuses a rule that is there already"


@pytest.mark.parametrize("everybody", ["0.0.0.0/0", "::/0", "10.0.0.0/0", "0.0.0.0/0.0.0.0"])
def test_the_test_listener_is_never_open_to_the_world(everybody: str) -> None:
    with pytest.raises(ValueError, match="test_ingress_cidrs holds"):
        firewall(args(test_ingress_cidrs=["198.51.100.0/24", everybody]))


@pytest.mark.parametrize(("test_port", "edge_ports"), [(80, [443]), (443, [80]), (8443, [443, 8443])])
def test_the_test_port_is_not_one_that_production_opens(test_port: int, edge_ports: list[int]) -> None:
    with pytest.raises(ValueError, match=f"test_port is {test_port}"):
        firewall(args(test_port=test_port, edge_ports=edge_ports, edge_ingress_cidrs=["198.51.100.0/24"]))


def test_the_world_reaches_80_and_443_only() -> None:
    with pytest.raises(ValueError, match=r"edge_ports \[8080, 9000\] .* EC2\.18"):
        firewall(args(edge_ports=[443, 9000, 8080]))


def test_a_known_range_may_reach_other_ports() -> None:
    made = firewall(args(edge_ports=[8080], edge_ingress_cidrs=["198.51.100.0/24"]))
    assert (EDGE, "198.51.100.0/24", 8080) in flows(made, INGRESS)


@pytest.mark.parametrize("wrong", ["2001:db8::/32", "198.51.100.1/24", "office"])
def test_a_range_that_is_not_ipv4_is_refused(wrong: str) -> None:
    with pytest.raises(CidrError, match=f"{wrong} is not an IPv4 range"):
        firewall(args(edge_ingress_cidrs=[wrong]))
    with pytest.raises(CidrError, match=f"{wrong} is not an IPv4 range"):
        firewall(args(test_ingress_cidrs=[wrong]))
