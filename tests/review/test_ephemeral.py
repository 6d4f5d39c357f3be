"""Review stacks: names, records, times and networks."""

import json
from datetime import UTC, datetime, timedelta, timezone
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.cidr import NARROWEST_PREFIX, plan_subnets
from review.ephemeral import (
    HIGHEST_NUMBER,
    HIGHEST_TTL_HOURS,
    POOLS,
    NotReviewable,
    Phase,
    Record,
    choose_cidr,
    expiry,
    number_of,
    parse,
    stack_name,
)

NOW = datetime(2026, 11, 21, 12, 30, 15, 999, tzinfo=UTC)
NUMBERS = st.integers(1, HIGHEST_NUMBER)
PRIVATE = st.one_of(
    st.builds(
        lambda bits, length: IPv4Network((0x0A000000 | bits, length), strict=False),
        st.integers(0, 2**24 - 1),
        st.integers(9, 28),
    ),
    st.builds(
        lambda bits, length: IPv4Network((0xAC100000 | bits, length), strict=False),
        st.integers(0, 2**20 - 1),
        st.integers(12, 28),
    ),
)


# --- names


@settings(deadline=None)
@given(NUMBERS)
def test_a_number_and_its_stack_name_each_other(number: int) -> None:
    assert number_of(stack_name(number)) == number


@pytest.mark.parametrize(
    "stack",
    [
        "prod",
        "pr-",
        "pr-0",
        "pr-042",
        "pr-1000000",
        "pr-4 2",
        "pr-42-db",
        "xpr-42",
        "PR-42",
        "pr-42\n",
        "pr--1",
    ],
)
def test_no_other_stack_is_taken_for_a_review_stack(stack: str) -> None:
    assert number_of(stack) is None


@pytest.mark.parametrize("number", [0, -1, HIGHEST_NUMBER + 1])
def test_what_is_no_pull_request_has_no_stack(number: int) -> None:
    with pytest.raises(NotReviewable, match=r"allowed are 1 to"):
        stack_name(number)


def test_the_longest_name_fits_a_load_balancer() -> None:
    assert len(f"switchyard-{stack_name(HIGHEST_NUMBER)}") <= 32, "ELB's limit"


# --- times


@settings(deadline=None)
@given(st.integers(1, HIGHEST_TTL_HOURS))
def test_a_stack_expires_when_its_time_is_over_and_not_before(hours: int) -> None:
    end = expiry(NOW, hours)
    record = Record(number=1, base="dev", cidr=IPv4Network("10.128.0.0/22"), expires=end)
    assert not record.expired(end - timedelta(seconds=1))
    assert record.expired(end)
    assert abs(end - NOW - timedelta(hours=hours)) < timedelta(seconds=1)


@pytest.mark.parametrize("hours", [0, -3, HIGHEST_TTL_HOURS + 1])
def test_nothing_lives_for_ever_or_not_at_all(hours: int) -> None:
    with pytest.raises(NotReviewable, match=f"1 to {HIGHEST_TTL_HOURS}"):
        expiry(NOW, hours)


# --- records


@settings(deadline=None)
@given(NUMBERS, st.sampled_from(Phase), st.integers(-12, 14))
def test_a_record_is_read_as_it_was_written(number: int, phase: Phase, zone: int) -> None:
    expires = datetime(2026, 11, 23, 12, tzinfo=timezone(timedelta(hours=zone)))
    record = Record(
        number=number, base="dev", cidr=IPv4Network("10.128.8.0/22"), expires=expires, phase=phase
    )
    assert parse(record.stack, record.text()) == record


WRITTEN = {
    "number": 42,
    "base": "dev",
    "cidr": "10.128.0.0/22",
    "expires": "2026-11-23T12:00:00+00:00",
    "phase": "begun",
}
MISTAKES: list[dict[str, Any]] = [
    {"cidr": "10.128.0.1/22"},
    {"expires": "2026-11-23T12:00:00"},
    {"number": 43},
    {"number": 0},
    {"phase": "x"},
]


@pytest.mark.parametrize(
    "text", ["", "[]", "null", "{}", *(json.dumps(WRITTEN | mistake) for mistake in MISTAKES)]
)
def test_a_record_that_is_none_is_refused_with_its_text(text: str) -> None:
    assert parse("pr-42", json.dumps(WRITTEN)).phase is Phase.BEGUN, "without the mistake it is read"
    with pytest.raises(NotReviewable, match="pr-42 can't be read"):
        parse("pr-42", text)


# --- networks


@settings(deadline=None)
@given(NUMBERS, st.lists(PRIVATE, max_size=12))
def test_a_network_overlaps_none_that_is_taken(number: int, taken: list[IPv4Network]) -> None:
    cidr = choose_cidr(number, taken)
    assert [str(other) for other in taken if other.overlaps(cidr)] == []
    assert any(cidr.subnet_of(pool) for pool in POOLS)
    assert len(plan_subnets(cidr, ("a", "b"))) == 2
    assert choose_cidr(number, taken) == cidr, "the same again for the same question"


@settings(deadline=None)
@given(st.lists(NUMBERS, min_size=2, max_size=40))
def test_stacks_that_come_one_after_the_other_never_overlap(numbers: list[int]) -> None:
    chosen: list[IPv4Network] = []
    for number in numbers:
        chosen.append(choose_cidr(number, chosen))
    pairs = [(a, b) for i, a in enumerate(chosen) for b in chosen[:i]]
    assert pairs
    assert not any(a.overlaps(b) for a, b in pairs)


def test_numbers_of_one_place_are_moved_apart() -> None:
    first, second = choose_cidr(42, []), choose_cidr(42 + 8192, [])
    assert first == second == IPv4Network("10.128.168.0/22")
    assert choose_cidr(42 + 8192, [first]) == IPv4Network("10.128.172.0/22")


def test_a_company_that_reserves_all_of_10_still_has_review_stacks() -> None:
    assert choose_cidr(42, [IPv4Network("10.0.0.0/8")]) == IPv4Network("172.16.0.0/22")


def test_the_last_place_of_all_pools_is_used_before_anything_is_refused() -> None:
    free = IPv4Network("192.168.252.0/22")
    taken = [*POOLS[:2], *POOLS[2].address_exclude(free)]
    assert choose_cidr(HIGHEST_NUMBER, taken) == free
    with pytest.raises(NotReviewable, match=f"no /{NARROWEST_PREFIX} of"):
        choose_cidr(42, [*taken, free])
