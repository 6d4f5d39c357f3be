"""VPCs and what is in them: EC2.*. The EC2 page of AWS Security Hub is the source of every rule."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from policies.model import UNKNOWN, Control, Resource, Severity, Stack, items, value

VPC = "aws:ec2/vpc:Vpc"
ENDPOINT = "aws:ec2/vpcEndpoint:VpcEndpoint"
FLOW_LOG = "aws:ec2/flowLog:FlowLog"
DEFAULT_GROUP = "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup"
GROUP = "aws:ec2/securityGroup:SecurityGroup"
INGRESS_RULE = "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule"
DEFAULT_ACL = "aws:ec2/defaultNetworkAcl:DefaultNetworkAcl"
ACL = "aws:ec2/networkAcl:NetworkAcl"
SUBNET = "aws:ec2/subnet:Subnet"

WORLD = ("0.0.0.0/0", "::/0")
# EC2.18: the ports that AWS authorises unless it is told others.
OPEN_PORTS = (80, 443)
# EC2.19: "High-risk ports".
HIGH_RISK_PORTS = (
    *(20, 21, 22, 23, 25, 110, 135, 143, 445, 1433, 1434, 3000, 3306, 3389, 4333, 5000, 5432),
    *(5500, 5601, 8080, 8088, 8888, 9200, 9300),
)
ADMINISTRATION_PORTS = (22, 3389)
ALL_PORTS = (0, 65535)
TCP = ("tcp", "6", "-1", 6, -1)


# --- what a VPC has to have


def closed_default_group(stack: Stack) -> Iterator[tuple[Resource, str]]:
    for vpc in stack.of(VPC):
        groups = stack.users(vpc, DEFAULT_GROUP, "vpcId")
        if not groups:
            yield vpc, "its default security group is AWS's, which lets its members talk to each other"
        for group in groups:
            if items(group.properties, "ingress") or items(group.properties, "egress"):
                yield group, "the default security group of the VPC lets traffic through"


def flow_logs(stack: Stack) -> Iterator[tuple[Resource, str]]:
    for vpc in stack.of(VPC):
        logs = stack.users(vpc, FLOW_LOG, "vpcId")
        if not any(value(log.properties, "trafficType") in ("ALL", "REJECT", UNKNOWN) for log in logs):
            yield vpc, "no flow log records the traffic that it rejects"


def endpoint(service: str) -> Any:
    """The check that every VPC has an interface endpoint of a service."""

    def check(stack: Stack) -> Iterable[tuple[Resource, str]]:
        for vpc in stack.of(VPC):
            names = [value(e.properties, "serviceName") for e in stack.users(vpc, ENDPOINT, "vpcId")]
            if not any(name is UNKNOWN or str(name).endswith(f".{service}") for name in names):
                yield vpc, f"no interface endpoint for {service}: calls to it leave the VPC"

    return check


def no_public_address_by_default(subnet: Resource) -> str | None:
    if value(subnet.properties, "mapPublicIpOnLaunch") is True:
        return "whatever starts in it gets a public address"
    return None


# --- who may come in


def _rules(resource: Resource) -> list[Mapping[str, Any]]:
    """The ingress rules that a resource holds, each as a mapping with `cidrs`."""
    if resource.type == INGRESS_RULE:
        cidrs = [value(resource.properties, key) for key in ("cidrIpv4", "cidrIpv6")]
        return [{**resource.properties, "protocol": value(resource.properties, "ipProtocol"), "cidrs": cidrs}]
    return [
        {**rule, "cidrs": [*items(rule, "cidrBlocks"), *items(rule, "ipv6CidrBlocks")]}
        for rule in items(resource.properties, "ingress")
        if isinstance(rule, Mapping)
    ]


def _range(rule: Mapping[str, Any]) -> tuple[int, int] | None:
    """The ports of a rule; None while they are not known."""
    if str(rule.get("protocol")) == "-1":
        return ALL_PORTS
    ends = rule.get("fromPort"), rule.get("toPort")
    if UNKNOWN in ends:
        return None
    return int(ends[0] or 0), int(ends[1] if ends[1] is not None else ALL_PORTS[1])


def _ranges_open_to_the_world(resource: Resource) -> list[tuple[int, int]]:
    found = (_range(rule) for rule in _rules(resource) if set(WORLD) & set(rule["cidrs"]))
    return [ports for ports in found if ports is not None]


def only_web_ports_for_all(resource: Resource) -> str | None:
    for first, last in _ranges_open_to_the_world(resource):
        if first != last or first not in OPEN_PORTS:
            return f"ports {first} to {last} are open to the world; only {OPEN_PORTS} may be"
    return None


def no_risky_port_for_all(resource: Resource) -> str | None:
    for first, last in _ranges_open_to_the_world(resource):
        risky = [port for port in HIGH_RISK_PORTS if first <= port <= last]
        if risky:
            return f"high-risk ports are open to the world: {', '.join(map(str, risky))}"
    return None


def acl_keeps_administration_out(acl: Resource) -> str | None:
    rules = [rule for rule in items(acl.properties, "ingress") if isinstance(rule, Mapping)]
    for port in ADMINISTRATION_PORTS:
        for world, key in zip(WORLD, ("cidrBlock", "ipv6CidrBlock"), strict=True):
            matching = [rule for rule in rules if rule.get(key) == world and _admits(rule, port)]
            # AWS takes the rule with the lowest number that matches.
            first = min(matching, key=lambda rule: rule.get("ruleNo") or 0, default=None)
            if first is not None and first.get("action") == "allow":
                return f"port {port} is open to {world}"
    return None


def _admits(rule: Mapping[str, Any], port: int) -> bool:
    if str(rule.get("protocol")) in ("-1", "all"):
        return True
    ports = _range(rule)
    return rule.get("protocol") in TCP and ports is not None and ports[0] <= port <= ports[1]


def acl_is_used(acl: Resource) -> str | None:
    if value(acl.properties, "subnetIds") in (None, []):
        return "no subnet uses it"
    return None


def _endpoint(number: str, service: str) -> Control:
    return Control(
        id=f"EC2.{number}",
        title=f"VPCs have an interface endpoint for {service}",
        severity=Severity.MEDIUM,
        remedy=f"add {service} to network.interface_endpoints",
        check_stack=endpoint(service),
    )


CONTROLS = (
    Control(
        id="EC2.2",
        title="The default security group of a VPC lets nothing in or out",
        severity=Severity.HIGH,
        remedy="declare aws.ec2.DefaultSecurityGroup for the VPC, without ingress and egress",
        check_stack=closed_default_group,
    ),
    Control(
        id="EC2.6",
        title="VPCs have a flow log",
        severity=Severity.MEDIUM,
        remedy="declare aws.ec2.FlowLog for the VPC, with traffic type ALL or REJECT",
        check_stack=flow_logs,
    ),
    _endpoint("10", "ec2"),
    Control(
        id="EC2.15",
        title="Subnets give out no public addresses by themselves",
        severity=Severity.MEDIUM,
        remedy="set mapPublicIpOnLaunch of the subnet to false",
        types=(SUBNET,),
        check=no_public_address_by_default,
    ),
    Control(
        id="EC2.16",
        title="No network ACL is left unused",
        severity=Severity.LOW,
        remedy="give the network ACL its subnets, or remove it",
        types=(ACL,),
        check=acl_is_used,
    ),
    Control(
        id="EC2.18",
        title="Only ports 80 and 443 are open to the world",
        severity=Severity.HIGH,
        remedy="name the networks that need the port instead of 0.0.0.0/0 and ::/0",
        types=(INGRESS_RULE, GROUP),
        check=only_web_ports_for_all,
    ),
    Control(
        id="EC2.19",
        title="No high-risk port is open to the world",
        severity=Severity.CRITICAL,
        remedy="name the networks that need the port instead of 0.0.0.0/0 and ::/0",
        types=(INGRESS_RULE, GROUP),
        check=no_risky_port_for_all,
    ),
    Control(
        id="EC2.21",
        title="Network ACLs keep the world from ports 22 and 3389",
        severity=Severity.MEDIUM,
        remedy="deny both ports with a lower rule number than the rule that allows them",
        types=(DEFAULT_ACL, ACL),
        check=acl_keeps_administration_out,
    ),
    _endpoint("55", "ecr.api"),
    _endpoint("56", "ecr.dkr"),
    _endpoint("57", "ssm"),
    _endpoint("58", "ssm-contacts"),
    _endpoint("60", "ssm-incidents"),
)
