"""EC2: the description of every security group rule; what goes with a NAT gateway and with a VPC."""

from collections.abc import Callable
from typing import Any


def with_prefix_list_description(create: Callable[..., None]) -> Callable[..., None]:
    """SecurityGroupRule's constructor; moto keeps no more than the id of a prefix list."""

    def constructor(self: Any, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **kwargs)
        # The eighth argument, which moto gives by its place.
        prefix_list = args[7] if len(args) > 7 else kwargs.get("prefix_list_id")
        self.prefix_list_description = (prefix_list or {}).get("Description")

    return constructor


def rule_description(rule: Any) -> str | None:
    """What the rule was given as its description; moto looks at address ranges alone."""
    given = (rule.ip_range.get("Description"), rule.source_group.get("Description"))
    found: str | None = next((text for text in given if text is not None), rule.prefix_list_description)
    return found


def with_its_interface(delete: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """EC2Backend.delete_nat_gateway; moto leaves the network interface behind."""

    def delete_nat_gateway(self: Any, nat_gateway_id: str) -> Any:
        gateway = delete(self, nat_gateway_id)
        interface = gateway._eni
        if interface.id in self.enis:
            for address in self.addresses:
                if address.eni is interface:
                    self.disassociate_address(address=address.public_ip)
            self.delete_network_interface(interface.id)
        return gateway

    return delete_nat_gateway


def with_its_network_acl(delete: Callable[[Any, str], Any]) -> Callable[[Any, str], Any]:
    """EC2Backend.delete_vpc; moto leaves the default network ACL behind."""

    def delete_vpc(self: Any, vpc_id: str) -> Any:
        vpc = delete(self, vpc_id)
        for acl in list(self.network_acls.values()):
            if acl.vpc_id == vpc_id and acl.default:
                del self.network_acls[acl.id]
        return vpc

    return delete_vpc
