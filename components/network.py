"""The network: a VPC in two or three zones, closed except for the flows that the platform needs.

Creates:
- a VPC with DNS, an internet gateway, and a public, a private and a data subnet in each zone
- NAT gateways with fixed addresses, one per zone or a single one
- one public route table, one private route table per zone, one data route table without a way out
- gateway endpoints for S3 and DynamoDB, interface endpoints for the AWS services named
- the tiers' security groups, and closed defaults for what belongs to none (components/firewall.py)
- a flow log of all traffic (components/flow_log.py)
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Literal

import pulumi
from pulumi_aws import ec2

from components.cidr import parse_network, plan_subnets
from components.firewall import ANYWHERE, Firewall, FirewallArgs, check_ports
from components.flow_log import FlowLog, FlowLogArgs


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """What a network is made from. All ports are TCP, all ranges IPv4.

    cidr: range of the VPC, RFC 1918, /16 to /22 (components/cidr.py says how it is cut).
    zones: two or three availability zones, such as eu-west-1a; append only, their order is the address plan.
    region: region that the zones are in.
    nat: a NAT gateway "per-zone", or a "single" one: then all zones lose their way out with the first.
    interface_endpoints: short names of AWS services to reach privately, such as "ecr.api"; may be empty.
    flow_log_retention_days: days that flow logs are kept, one of the numbers that CloudWatch Logs takes.
    kms_key_arn: key that encrypts the flow logs; its policy has to admit CloudWatch Logs.
    service_ports: ports that the load balancer may reach on services.
    database_port: port that services may reach on databases.
    edge_ingress_cidrs: who may reach `edge_ports`.
    edge_ports: ports of the production listener; beyond 80 and 443 none may be open to 0.0.0.0/0.
    test_port: port of the test listener; not 80, 443 or one of `edge_ports`.
    test_ingress_cidrs: who may reach the test listener besides the platform's own NAT addresses; never
        0.0.0.0/0, may be empty.
    account_id: account that the network belongs to.
    name_tag_prefix: what the Name tags and the flow log's group begin with, such as switchyard-prod.
    role_path: IAM path of the flow log's role, such as `/switchyard/prod/`.
    permissions_boundary_arn: policy that the flow log's role can never go beyond; `None` for none.
    """

    cidr: str | IPv4Network
    zones: Sequence[str]
    region: str
    nat: Literal["per-zone", "single"]
    interface_endpoints: Sequence[str]
    flow_log_retention_days: pulumi.Input[int]
    kms_key_arn: pulumi.Input[str]
    service_ports: Sequence[int]
    database_port: int
    edge_ingress_cidrs: Sequence[str]
    edge_ports: Sequence[int]
    test_port: int
    test_ingress_cidrs: Sequence[str]
    account_id: pulumi.Input[str]
    name_tag_prefix: str
    role_path: str
    permissions_boundary_arn: str | None


class Network(pulumi.ComponentResource):
    """A VPC in two or three zones. A subnet's id is given out once its routes are in place."""

    vpc_id: pulumi.Output[str]
    public_subnet_ids: list[pulumi.Output[str]]
    private_subnet_ids: list[pulumi.Output[str]]
    data_subnet_ids: list[pulumi.Output[str]]
    edge_security_group_id: pulumi.Output[str]
    service_security_group_id: pulumi.Output[str]
    data_security_group_id: pulumi.Output[str]
    nat_public_ips: list[pulumi.Output[str]]
    flow_log_group_name: pulumi.Output[str]

    def __init__(self, name: str, args: NetworkArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        network = parse_network(args.cidr)
        plans = plan_subnets(network, args.zones)
        check_ports(args.edge_ports, args.edge_ingress_cidrs, args.test_port, args.test_ingress_cidrs)
        super().__init__("switchyard:network:Network", name, None, opts)

        vpc = self._vpc(name, network, args)
        internet = self._internet_gateway(name, vpc, args)
        public_table = self._routes(name, "public", vpc, args, gateway_id=internet.id)
        public = self._subnets(
            name,
            "public",
            {p.zone: p.public for p in plans},
            dict.fromkeys(args.zones, public_table),
            vpc,
            args,
        )
        addresses = self._nat_addresses(name, internet, args)
        nat = self._nat_gateways(name, addresses, public, args)
        private_tables = {
            zone: self._routes(name, f"private-{zone}", vpc, args, nat_gateway_id=nat[zone].id)
            for zone in args.zones
        }
        private = self._subnets(
            name, "private", {p.zone: p.private for p in plans}, private_tables, vpc, args
        )
        data_table = self._routes(name, "data", vpc, args)
        data = self._subnets(
            name, "data", {p.zone: p.data for p in plans}, dict.fromkeys(args.zones, data_table), vpc, args
        )
        firewall = self._firewall(name, vpc, [public, private, data], addresses, args)
        self._gateway_endpoints(name, vpc, [*private_tables.values(), data_table], args)
        self._interface_endpoints(name, vpc, private, firewall, args)
        flow_log = self._flow_log(name, vpc, args)

        self.vpc_id = vpc.id
        self.public_subnet_ids = list(public.values())
        self.private_subnet_ids = list(private.values())
        self.data_subnet_ids = list(data.values())
        self.edge_security_group_id = firewall.edge_security_group_id
        self.service_security_group_id = firewall.service_security_group_id
        self.data_security_group_id = firewall.data_security_group_id
        self.nat_public_ips = [address.public_ip for address in addresses.values()]
        self.flow_log_group_name = flow_log.log_group_name
        self.register_outputs(
            {
                "vpc_id": self.vpc_id,
                "public_subnet_ids": self.public_subnet_ids,
                "private_subnet_ids": self.private_subnet_ids,
                "data_subnet_ids": self.data_subnet_ids,
                "edge_security_group_id": self.edge_security_group_id,
                "service_security_group_id": self.service_security_group_id,
                "data_security_group_id": self.data_security_group_id,
                "nat_public_ips": self.nat_public_ips,
                "flow_log_group_name": self.flow_log_group_name,
            }
        )

    def _vpc(self, name: str, network: IPv4Network, args: NetworkArgs) -> ec2.Vpc:
        return ec2.Vpc(
            f"{name}-vpc",
            cidr_block=str(network),
            # Interface endpoints answer under the services' own names only with both on.
            enable_dns_support=True,
            enable_dns_hostnames=True,
            tags={"Name": args.name_tag_prefix},
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _internet_gateway(self, name: str, vpc: ec2.Vpc, args: NetworkArgs) -> ec2.InternetGateway:
        return ec2.InternetGateway(
            f"{name}-internet",
            vpc_id=vpc.id,
            tags={"Name": args.name_tag_prefix},
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _routes(
        self,
        name: str,
        label: str,
        vpc: ec2.Vpc,
        args: NetworkArgs,
        *,
        gateway_id: pulumi.Input[str] | None = None,
        nat_gateway_id: pulumi.Input[str] | None = None,
    ) -> pulumi.Output[str]:
        """The id of a route table, once it has its default route; without a gateway it has none."""
        table = ec2.RouteTable(
            f"{name}-{label}-routes",
            vpc_id=vpc.id,
            tags={"Name": f"{args.name_tag_prefix}-{label}"},
            opts=pulumi.ResourceOptions(parent=self),
        )
        if gateway_id is None and nat_gateway_id is None:
            return table.id
        route = ec2.Route(
            f"{name}-{label}-default-route",
            route_table_id=table.id,
            destination_cidr_block=ANYWHERE,
            gateway_id=gateway_id,
            nat_gateway_id=nat_gateway_id,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return _after(route, table.id)

    def _subnets(
        self,
        name: str,
        tier: str,
        blocks: Mapping[str, IPv4Network],
        route_table_ids: Mapping[str, pulumi.Output[str]],
        vpc: ec2.Vpc,
        args: NetworkArgs,
    ) -> dict[str, pulumi.Output[str]]:
        """The ids of a tier's subnets by zone, once they have their routes."""
        ids = {}
        for zone, block in blocks.items():
            subnet = ec2.Subnet(
                f"{name}-{tier}-{zone}",
                vpc_id=vpc.id,
                availability_zone=zone,
                cidr_block=str(block),
                map_public_ip_on_launch=False,  # FSBP EC2.15, which spares no tier
                tags={"Name": f"{args.name_tag_prefix}-{tier}-{zone}"},
                opts=pulumi.ResourceOptions(parent=self),
            )
            association = ec2.RouteTableAssociation(
                f"{name}-{tier}-{zone}-association",
                subnet_id=subnet.id,
                route_table_id=route_table_ids[zone],
                opts=pulumi.ResourceOptions(parent=self),
            )
            ids[zone] = _after(association, subnet.id)
        return ids

    def _nat_addresses(
        self, name: str, internet: ec2.InternetGateway, args: NetworkArgs
    ) -> dict[str, ec2.Eip]:
        zones = args.zones if args.nat == "per-zone" else args.zones[:1]
        return {
            zone: ec2.Eip(
                f"{name}-nat-address-{zone}",
                domain="vpc",
                tags={"Name": f"{args.name_tag_prefix}-nat-{zone}"},
                opts=pulumi.ResourceOptions(parent=self, depends_on=[internet]),
            )
            for zone in zones
        }

    def _nat_gateways(
        self,
        name: str,
        addresses: Mapping[str, ec2.Eip],
        public: Mapping[str, pulumi.Output[str]],
        args: NetworkArgs,
    ) -> dict[str, ec2.NatGateway]:
        """The gateway that each zone leaves through: its own, or the first zone's."""
        gateways = {
            zone: ec2.NatGateway(
                f"{name}-nat-{zone}",
                allocation_id=address.id,
                subnet_id=public[zone],
                tags={"Name": f"{args.name_tag_prefix}-nat-{zone}"},
                opts=pulumi.ResourceOptions(parent=self),
            )
            for zone, address in addresses.items()
        }
        return {zone: gateways.get(zone, gateways[args.zones[0]]) for zone in args.zones}

    def _firewall(
        self,
        name: str,
        vpc: ec2.Vpc,
        tiers: Sequence[Mapping[str, pulumi.Output[str]]],
        addresses: Mapping[str, ec2.Eip],
        args: NetworkArgs,
    ) -> Firewall:
        return Firewall(
            f"{name}-firewall",
            FirewallArgs(
                vpc_id=vpc.id,
                default_network_acl_id=vpc.default_network_acl_id,
                subnet_ids=[subnet_id for tier in tiers for subnet_id in tier.values()],
                edge_ingress_cidrs=args.edge_ingress_cidrs,
                edge_ports=args.edge_ports,
                test_port=args.test_port,
                test_ingress_cidrs=args.test_ingress_cidrs,
                nat_public_ips={zone: address.public_ip for zone, address in addresses.items()},
                service_ports=args.service_ports,
                database_port=args.database_port,
                name_tag_prefix=args.name_tag_prefix,
            ),
            pulumi.ResourceOptions(parent=self),
        )

    def _gateway_endpoints(
        self, name: str, vpc: ec2.Vpc, table_ids: Sequence[pulumi.Input[str]], args: NetworkArgs
    ) -> None:
        for service in ("s3", "dynamodb"):
            ec2.VpcEndpoint(
                f"{name}-gateway-{service}",
                vpc_id=vpc.id,
                service_name=f"com.amazonaws.{args.region}.{service}",
                vpc_endpoint_type="Gateway",
                route_table_ids=table_ids,
                tags={"Name": f"{args.name_tag_prefix}-{service}"},
                opts=pulumi.ResourceOptions(parent=self),
            )

    def _interface_endpoints(
        self,
        name: str,
        vpc: ec2.Vpc,
        private: Mapping[str, pulumi.Output[str]],
        firewall: Firewall,
        args: NetworkArgs,
    ) -> None:
        for service in sorted(set(args.interface_endpoints)):
            ec2.VpcEndpoint(
                f"{name}-interface-{service}",
                vpc_id=vpc.id,
                service_name=f"com.amazonaws.{args.region}.{service}",
                vpc_endpoint_type="Interface",
                private_dns_enabled=True,
                subnet_ids=list(private.values()),
                security_group_ids=[firewall.endpoint_security_group_id],
                tags={"Name": f"{args.name_tag_prefix}-{service}"},
                opts=pulumi.ResourceOptions(parent=self),
            )

    def _flow_log(self, name: str, vpc: ec2.Vpc, args: NetworkArgs) -> FlowLog:
        return FlowLog(
            f"{name}-flow",
            FlowLogArgs(
                vpc_id=vpc.id,
                # Services, whose groups are beside it, have no slash in their names.
                log_group_name=f"/{args.name_tag_prefix}/network/flow",
                retention_days=args.flow_log_retention_days,
                kms_key_arn=args.kms_key_arn,
                account_id=args.account_id,
                region=args.region,
                role_path=args.role_path,
                permissions_boundary_arn=args.permissions_boundary_arn,
            ),
            pulumi.ResourceOptions(parent=self),
        )


def _after(needed: pulumi.CustomResource, value: pulumi.Output[str]) -> pulumi.Output[str]:
    """`value`, known once `needed` exists.

    A subnet without its routes is a trap: AWS refuses a load balancer in it, a task can't reach the
    registry from it, and a destroy would cut the routes from under both.
    """
    return pulumi.Output.all(value, needed.id).apply(lambda known: known[0])
