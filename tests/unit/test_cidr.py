from ipaddress import IPv4Network
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.cidr import CidrError, SubnetPlan, parse_network, plan_subnets

ZONES = ["eu-west-1a", "eu-west-1b", "eu-west-1c"]


@st.composite
def vpc_ranges(draw: st.DrawFn) -> IPv4Network:
    block = IPv4Network(draw(st.sampled_from(["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"])))
    prefix = draw(st.integers(16, 22))
    index = draw(st.integers(0, 2 ** (prefix - block.prefixlen) - 1))
    return IPv4Network((int(block.network_address) + index * 2 ** (32 - prefix), prefix))


def subnets(plan: list[SubnetPlan]) -> list[IPv4Network]:
    return [subnet for zone in plan for subnet in (zone.public, zone.private, zone.data)]


def test_the_plan_of_a_16_is_this_one_for_ever() -> None:
    assert plan_subnets(IPv4Network("10.20.0.0/16"), ZONES) == [
        SubnetPlan(
            zone="eu-west-1a",
            private=IPv4Network("10.20.0.0/19"),
            data=IPv4Network("10.20.32.0/20"),
            public=IPv4Network("10.20.48.0/21"),
        ),
        SubnetPlan(
            zone="eu-west-1b",
            private=IPv4Network("10.20.64.0/19"),
            data=IPv4Network("10.20.96.0/20"),
            public=IPv4Network("10.20.112.0/21"),
        ),
        SubnetPlan(
            zone="eu-west-1c",
            private=IPv4Network("10.20.128.0/19"),
            data=IPv4Network("10.20.160.0/20"),
            public=IPv4Network("10.20.176.0/21"),
        ),
    ], "a subnet's range can't be changed in place: another plan replaces every subnet of a running VPC"


@given(network=vpc_ranges(), count=st.integers(2, 3))
def test_subnets_stay_inside_the_range_and_never_overlap(network: IPv4Network, count: int) -> None:
    planned = subnets(plan_subnets(network, ZONES[:count]))
    assert len(planned) == 3 * count
    assert [s for s in planned if not s.subnet_of(network)] == []
    assert [pair for pair in combinations(planned, 2) if pair[0].overlaps(pair[1])] == []


@given(network=vpc_ranges())
def test_adding_a_zone_moves_nothing(network: IPv4Network) -> None:
    before, after = plan_subnets(network, ZONES[:2]), plan_subnets(network, ZONES)
    assert after[:2] == before, "a moved subnet would be replaced with everything in it"


@given(network=vpc_ranges())
def test_a_quarter_of_the_range_stays_spare_for_a_fourth_zone(network: IPv4Network) -> None:
    spare = list(network.subnets(2))[3]
    assert [s for s in subnets(plan_subnets(network, ZONES)) if s.overlaps(spare)] == []


@given(network=vpc_ranges())
def test_each_tier_has_its_share_of_its_zone(network: IPv4Network) -> None:
    for zone in plan_subnets(network, ZONES):
        lengths = (zone.private.prefixlen, zone.data.prefixlen, zone.public.prefixlen)
        assert lengths == (network.prefixlen + 3, network.prefixlen + 4, network.prefixlen + 5)
        assert zone.public.prefixlen <= 27, "a load balancer's subnet is a /27 at least"


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "10.0.0.0/22", "172.31.0.0/16", "192.168.252.0/22"])
def test_the_widest_and_narrowest_ranges_of_each_private_block_are_taken(cidr: str) -> None:
    assert len(plan_subnets(IPv4Network(cidr), ZONES)) == 3


@pytest.mark.parametrize(
    ("cidr", "said"),
    [
        ("10.0.0.0/15", ["10.0.0.0/15", "/16", "/22"]),
        ("10.0.0.0/23", ["10.0.0.0/23", "/16", "/22"]),
        ("11.0.0.0/16", ["11.0.0.0/16", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]),
        ("172.32.0.0/16", ["172.32.0.0/16", "RFC 1918"]),
        ("100.64.0.0/16", ["100.64.0.0/16", "RFC 1918"]),
    ],
)
def test_a_range_that_aws_or_the_plan_cannot_hold_is_refused(cidr: str, said: list[str]) -> None:
    with pytest.raises(CidrError) as refused:
        plan_subnets(IPv4Network(cidr), ZONES)
    assert [word for word in said if word not in str(refused.value)] == []


@pytest.mark.parametrize("zones", [[], ["a"], ["a", "a"], ["a", "b", "a"], ["a", "b", "c", "d"]])
def test_zones_are_two_or_three_different_ones(zones: list[str]) -> None:
    with pytest.raises(CidrError, match=f"the zones are {', '.join(zones) or 'none'}; list two or three"):
        plan_subnets(IPv4Network("10.0.0.0/16"), zones)


def test_a_range_is_read_from_text_or_taken_as_it_is() -> None:
    network = IPv4Network("10.20.0.0/16")
    assert parse_network("10.20.0.0/16") == network
    assert parse_network(network) == network


@pytest.mark.parametrize("text", ["10.20.0.1/16", "ten", "::/0", "10.20.0.0/33"])
def test_text_that_is_no_range_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(CidrError, match=r"for example 10\.20\.0\.0/16") as refused:
        parse_network(text)
    assert str(refused.value).startswith(f"{text} is not an IPv4 range")
