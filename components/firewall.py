"""Who may talk to whom inside the network.

Creates: four security groups without inline rules (edge, services, data, endpoints) and one rule
resource for each permitted flow. Nothing else is permitted; the data tier may open no connection.
Also the VPC's default security group, without rules, and its default network ACL, without SSH and RDP.

    internet -> edge -> services -> data
                          |-------> endpoints
                          '-------> 443 and the test listener anywhere, through NAT
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import ec2, vpc

from components.cidr import parse_network

ANYWHERE = "0.0.0.0/0"
HTTPS = 443
SSH = 22
RDP = 3389
# The only ports that FSBP EC2.18 lets the whole internet reach.
WEB_PORTS = frozenset({80, HTTPS})


@dataclass(frozen=True, kw_only=True)
class FirewallArgs:
    """What a firewall is made from. All ports are TCP, all ranges IPv4.

    vpc_id: the VPC that the groups belong to.
    default_network_acl_id: the network ACL that AWS made with the VPC.
    subnet_ids: all subnets of the VPC; they use that ACL.
    edge_ingress_cidrs: who may reach `edge_ports`.
    edge_ports: ports of the production listener; beyond 80 and 443 none may be open to 0.0.0.0/0.
    test_port: port of the test listener; not 80, 443 or one of `edge_ports`.
    test_ingress_cidrs: who may reach the test listener besides the platform itself; never 0.0.0.0/0.
    nat_public_ips: public address of each NAT gateway, by zone; they may reach the test listener.
    service_ports: ports that the load balancer may reach on the services.
    database_port: port that the services may reach on the data tier.
    name_tag_prefix: what the Name tags begin with.
    """

    vpc_id: pulumi.Input[str]
    default_network_acl_id: pulumi.Input[str]
    subnet_ids: Sequence[pulumi.Input[str]]
    edge_ingress_cidrs: Sequence[str]
    edge_ports: Sequence[int]
    test_port: int
    test_ingress_cidrs: Sequence[str]
    nat_public_ips: Mapping[str, pulumi.Input[str]]
    service_ports: Sequence[int]
    database_port: int
    name_tag_prefix: str


class Firewall(pulumi.ComponentResource):
    """Four security groups, one for each tier, and the flows between them."""

    edge_security_group_id: pulumi.Output[str]
    service_security_group_id: pulumi.Output[str]
    data_security_group_id: pulumi.Output[str]
    endpoint_security_group_id: pulumi.Output[str]

    def __init__(self, name: str, args: FirewallArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        check_ports(args.edge_ports, args.edge_ingress_cidrs, args.test_port, args.test_ingress_cidrs)
        super().__init__("switchyard:network:Firewall", name, None, opts)
        # A description can't be changed: another wording replaces the group and all that uses it.
        edge = self._group(f"{name}-edge", "Load balancer: the way in from outside", args, "edge")
        services = self._group(f"{name}-services", "Services: tasks of every colour", args, "services")
        data = self._group(f"{name}-data", "Data: databases, reached by services only", args, "data")
        endpoints = self._group(f"{name}-endpoints", "Interface endpoints of AWS services", args, "endpoints")

        self._outside_to_edge(f"{name}-edge-from", edge, args)
        for port in sorted(set(args.service_ports)):
            self._flow(f"{name}-edge-to-services-{port}", "Requests to services", edge, services, port)
        self._flow(f"{name}-services-to-data", "Queries to databases", services, data, args.database_port)
        self._flow(f"{name}-services-to-endpoints", "Calls to AWS APIs", services, endpoints, HTTPS)
        self._services_to_outside(f"{name}-services-to", services, args)
        self._close_defaults(f"{name}-default", args)

        self.edge_security_group_id = edge.id
        self.service_security_group_id = services.id
        self.data_security_group_id = data.id
        self.endpoint_security_group_id = endpoints.id
        self.register_outputs(
            {
                "edge_security_group_id": self.edge_security_group_id,
                "service_security_group_id": self.service_security_group_id,
                "data_security_group_id": self.data_security_group_id,
                "endpoint_security_group_id": self.endpoint_security_group_id,
            }
        )

    def _outside_to_edge(self, name: str, edge: ec2.SecurityGroup, args: FirewallArgs) -> None:
        for cidr in ranges(args.edge_ingress_cidrs):
            for port in sorted(set(args.edge_ports)):
                self._let_in(f"{name}-{slug(cidr)}-{port}", "Production listener", cidr, edge, port)
        for cidr in ranges(args.test_ingress_cidrs):
            self._let_in(f"{name}-{slug(cidr)}-test", "Test listener", cidr, edge, args.test_port)
        # Who releases from within the network leaves through NAT and comes back to the load balancer's public
        # addresses, so that the edge sees the NAT gateway and not the services' security group.
        for zone, address in args.nat_public_ips.items():
            self._let_in(
                f"{name}-nat-{zone}-test",
                "Test listener, for smoke checks behind NAT",
                pulumi.Output.concat(address, "/32"),
                edge,
                args.test_port,
            )

    def _services_to_outside(self, name: str, services: ec2.SecurityGroup, args: FirewallArgs) -> None:
        # Third parties and AWS APIs without an interface endpoint have no fixed addresses. This covers
        # the S3 and DynamoDB gateway endpoints too: those are public addresses that a route diverts.
        self._let_out(f"{name}-anywhere-https", "HTTPS to third parties and AWS APIs", services, HTTPS)
        # A load balancer's public addresses change, and its security group stands for its private ones only.
        self._let_out(f"{name}-anywhere-test", "Smoke checks to the test listener", services, args.test_port)

    def _close_defaults(self, name: str, args: FirewallArgs) -> None:
        tags = {"Name": f"{args.name_tag_prefix}-default"}
        # FSBP EC2.2: what is started without a security group reaches nothing and is reached by nothing.
        # Empty lists, not absent ones: a rule that somebody adds by hand is drift and goes again.
        ec2.DefaultSecurityGroup(
            name,
            vpc_id=args.vpc_id,
            ingress=[],
            egress=[],
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )
        ec2.DefaultNetworkAcl(
            name,
            default_network_acl_id=args.default_network_acl_id,
            subnet_ids=args.subnet_ids,
            # FSBP EC2.21. An ACL keeps no state: of the 64,000 ports that a NAT gateway or a load balancer
            # may take for a connection of its own, 3389 doesn't work.
            ingress=[
                _acl_rule(10, "deny", "tcp", SSH),
                _acl_rule(20, "deny", "tcp", RDP),
                _acl_rule(100, "allow", "-1", 0),
            ],
            egress=[_acl_rule(100, "allow", "-1", 0)],
            tags=tags,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _group(self, name: str, description: str, args: FirewallArgs, tier: str) -> ec2.SecurityGroup:
        return ec2.SecurityGroup(
            name,
            vpc_id=args.vpc_id,
            description=description,
            tags={"Name": f"{args.name_tag_prefix}-{tier}"},
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _flow(
        self, name: str, description: str, source: ec2.SecurityGroup, target: ec2.SecurityGroup, port: int
    ) -> None:
        """Both ends of a permitted flow: out of `source`, into `target`."""
        vpc.SecurityGroupEgressRule(
            name,
            security_group_id=source.id,
            description=description,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            referenced_security_group_id=target.id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        vpc.SecurityGroupIngressRule(
            name,
            security_group_id=target.id,
            description=description,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            referenced_security_group_id=source.id,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _let_in(
        self, name: str, description: str, cidr: pulumi.Input[str], target: ec2.SecurityGroup, port: int
    ) -> None:
        """A flow from addresses outside into `target`."""
        vpc.SecurityGroupIngressRule(
            name,
            security_group_id=target.id,
            description=description,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            cidr_ipv4=cidr,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _let_out(self, name: str, description: str, source: ec2.SecurityGroup, port: int) -> None:
        """A flow from `source` to anywhere."""
        vpc.SecurityGroupEgressRule(
            name,
            security_group_id=source.id,
            description=description,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            cidr_ipv4=ANYWHERE,
            opts=pulumi.ResourceOptions(parent=self),
        )


def check_ports(
    edge_ports: Sequence[int],
    edge_ingress_cidrs: Sequence[str],
    test_port: int,
    test_ingress_cidrs: Sequence[str],
) -> None:
    """Raises ValueError if the edge would let the world in where it must not (FSBP EC2.18, EC2.19)."""
    for cidr in test_ingress_cidrs:
        # The first half also catches ::/0, which is no IPv4 range.
        if cidr.endswith("/0") or parse_network(cidr).prefixlen == 0:
            raise ValueError(
                f"test_ingress_cidrs holds {cidr}: the test listener serves what nobody has checked yet; "
                "list the ranges of the people who check it, or none (the platform's own tasks always may)"
            )
    if test_port in WEB_PORTS | set(edge_ports):
        raise ValueError(
            f"test_port is {test_port}, which production uses (80, 443 and edge_ports "
            f"{sorted(edge_ports)}); choose another one, for example 8443"
        )
    other_ports = sorted(set(edge_ports) - WEB_PORTS)
    if other_ports and ANYWHERE in ranges(edge_ingress_cidrs):
        raise ValueError(
            f"edge_ports {other_ports} would be open to {ANYWHERE}; only 80 and 443 may be (FSBP EC2.18); "
            "drop the ports or narrow edge_ingress_cidrs"
        )


def ranges(cidrs: Sequence[str]) -> list[str]:
    """The distinct ranges in a stable order. Raises CidrError for one that is not IPv4."""
    return [str(network) for network in sorted({parse_network(cidr) for cidr in cidrs})]


def slug(cidr: str) -> str:
    """The range as a part of a resource's name."""
    return cidr.replace("/", "-")


def _acl_rule(number: int, action: str, protocol: str, port: int) -> ec2.DefaultNetworkAclIngressArgsDict:
    return {
        "rule_no": number,
        "action": action,
        "protocol": protocol,
        "from_port": port,
        "to_port": port,
        "cidr_block": ANYWHERE,
    }
