"""Address plans: which part of a VPC's range belongs to which zone and tier. Pure, nothing is created."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network

# A VPC may be /16 at most. An eighth of a quarter of a /22 is a /27, the least that an Application
# Load Balancer takes for a subnet.
WIDEST_PREFIX = 16
NARROWEST_PREFIX = 22
ZONE_COUNTS = (2, 3)
PRIVATE_RANGES = tuple(IPv4Network(block) for block in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


class CidrError(ValueError):
    """A range that can't be planned; the message says what was given, what is allowed and how to fix it."""


@dataclass(frozen=True, kw_only=True)
class SubnetPlan:
    """The three subnets of one zone."""

    zone: str
    public: IPv4Network
    private: IPv4Network
    data: IPv4Network


def parse_network(cidr: str | IPv4Network) -> IPv4Network:
    """The range that `cidr` names. Raises CidrError if it is not an IPv4 range or has host bits set."""
    try:
        return IPv4Network(cidr)
    except ValueError as error:
        raise CidrError(
            f"{cidr} is not an IPv4 range ({error}); write the first address of the range and its length, "
            "for example 10.20.0.0/16"
        ) from error


def plan_subnets(network: IPv4Network, zones: Sequence[str]) -> list[SubnetPlan]:
    """Cuts `network` into four slots, one for each zone in the order given, the rest spare.

    In a slot the private subnet has half, the data subnet a quarter, the public subnet an eighth, and an
    eighth is spare. A slot depends only on the zone's place in `zones`: appending a zone moves nothing.

    Raises CidrError for a range that is not RFC 1918, a prefix outside 16..22, or zones that are not two
    or three different ones.
    """
    _check_network(network)
    _check_zones(zones)
    return [_plan_zone(zone, slot) for zone, slot in zip(zones, network.subnets(2), strict=False)]


def _plan_zone(zone: str, slot: IPv4Network) -> SubnetPlan:
    private, upper_half = slot.subnets(1)
    data, last_quarter = upper_half.subnets(1)
    public, _spare = last_quarter.subnets(1)
    return SubnetPlan(zone=zone, public=public, private=private, data=data)


def _check_network(network: IPv4Network) -> None:
    if not any(network.subnet_of(private) for private in PRIVATE_RANGES):
        raise CidrError(
            f"the VPC range {network} is not private; choose it from {', '.join(map(str, PRIVATE_RANGES))} "
            "(RFC 1918), because other addresses belong to somebody else"
        )
    if not WIDEST_PREFIX <= network.prefixlen <= NARROWEST_PREFIX:
        raise CidrError(
            f"the VPC range {network} has a prefix of /{network.prefixlen}; allowed is /{WIDEST_PREFIX} (the "
            f"largest VPC) to /{NARROWEST_PREFIX} (public subnets of /27, the smallest that a load balancer "
            "takes); change the number after the slash"
        )


def _check_zones(zones: Sequence[str]) -> None:
    if len(set(zones)) != len(zones) or len(zones) not in ZONE_COUNTS:
        raise CidrError(
            f"the zones are {', '.join(zones) or 'none'}; list two or three different availability zones, "
            "for example eu-west-1a, eu-west-1b: a single one takes the platform down with it"
        )
