"""Finders of the network's things (see switchyard/finders/__init__.py)."""

from switchyard.finders.look import Look, Thing


def vpc(look: Look) -> str | None:
    """A VPC by range and tags."""
    return look.ec2("describe_vpcs", "Vpcs", "VpcId", cidr=look["cidrBlock"])


def subnet(look: Look) -> str | None:
    """A subnet by its range in the VPC."""
    return look.ec2(
        "describe_subnets", "Subnets", "SubnetId", vpc_id=look["vpcId"], cidr_block=look["cidrBlock"]
    )


def internet_gateway(look: Look) -> str | None:
    """An internet gateway by tags: it may not be attached yet."""
    return look.ec2("describe_internet_gateways", "InternetGateways", "InternetGatewayId")


def address(look: Look) -> str | None:
    """An elastic IP by tags."""
    return look.ec2("describe_addresses", "Addresses", "AllocationId")


def nat_gateway(look: Look) -> str | None:
    """A NAT gateway by subnet and tags; one that failed is none."""
    return look.ec2("describe_nat_gateways", "NatGateways", "NatGatewayId", subnet_id=look["subnetId"])


def route_table(look: Look) -> str | None:
    """A route table by VPC and tags."""
    return look.ec2("describe_route_tables", "RouteTables", "RouteTableId", vpc_id=look["vpcId"])


def route(look: Look) -> str | None:
    """A route by its destination in the table."""
    table, destination = look["routeTableId"], look["destinationCidrBlock"]
    for found in _route_tables(look, "route-table-id", table):
        if any(entry.get("DestinationCidrBlock") == destination for entry in found["Routes"]):
            return f"{table}_{destination}"
    return None


def route_table_association(look: Look) -> str | None:
    """A subnet's association, if it is with the table that was asked for."""
    subnet_id, table = look["subnetId"], look["routeTableId"]
    for found in _route_tables(look, "association.subnet-id", subnet_id):
        if found["RouteTableId"] == table:
            return f"{subnet_id}/{table}"
    return None


def vpc_endpoint(look: Look) -> str | None:
    """An endpoint by VPC, service and tags."""
    return look.ec2(
        "describe_vpc_endpoints",
        "VpcEndpoints",
        "VpcEndpointId",
        vpc_id=look["vpcId"],
        service_name=look["serviceName"],
    )


def flow_log(look: Look) -> str | None:
    """A flow log by VPC and tags."""
    return look.ec2("describe_flow_logs", "FlowLogs", "FlowLogId", resource_id=look["vpcId"])


def security_group(look: Look) -> str | None:
    """A security group by its name in the VPC."""
    return look.ec2(
        "describe_security_groups",
        "SecurityGroups",
        "GroupId",
        vpc_id=look["vpcId"],
        group_name=look["name"],
    )


def egress_rule(look: Look) -> str | None:
    """A rule of a security group by the flow that it lets out."""
    return _rule(look, egress=True)


def ingress_rule(look: Look) -> str | None:
    """A rule of a security group by the flow that it lets in."""
    return _rule(look, egress=False)


def _rule(look: Look, *, egress: bool) -> str | None:
    def is_it(rule: Thing) -> bool:
        # AWS refuses a second rule with these alike, whatever its description and tags.
        return (
            rule["IsEgress"] == egress
            and rule["IpProtocol"] == look["ipProtocol"]
            and _port(rule.get("FromPort")) == _port(look["fromPort"])
            and _port(rule.get("ToPort")) == _port(look["toPort"])
            and rule.get("CidrIpv4") == look["cidrIpv4"]
            and rule.get("CidrIpv6") == look["cidrIpv6"]
            and rule.get("PrefixListId") == look["prefixListId"]
            and rule.get("ReferencedGroupInfo", {}).get("GroupId") == look["referencedSecurityGroupId"]
        )

    filters = [{"Name": "group-id", "Values": [look["securityGroupId"]]}]
    rules = look.every("ec2", "describe_security_group_rules", "SecurityGroupRules", Filters=filters)
    return look.one(rule["SecurityGroupRuleId"] for rule in rules if is_it(rule))


def _port(value: float | None) -> int:
    """All ports are -1 to AWS and nothing to the program."""
    return -1 if value is None else int(value)


def _route_tables(look: Look, key: str, value: str) -> list[Thing]:
    filters = [{"Name": key, "Values": [value]}]
    return list(look.every("ec2", "describe_route_tables", "RouteTables", Filters=filters))
