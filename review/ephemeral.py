"""Review stacks: what they are called, how long they live, where their network goes. Pure.

A review stack is an ephemeral copy of a base stack for one pull request. What is known of it, before its
first resource and until after its last, is one record: an SSM parameter in the base stack's account. It says
when the stack expires. A tag of a Pulumi stack would not do: self-managed backends keep none.
"""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import IPv4Network
from itertools import accumulate

from components.cidr import NARROWEST_PREFIX
from review.errors import ReviewError

NAME = re.compile(r"pr-([1-9]\d{0,5})")
HIGHEST_NUMBER = 999_999
DEFAULT_TTL_HOURS = 48
# A month. What has to live longer is an environment, with a file that somebody reviews.
HIGHEST_TTL_HOURS = 720
# People number their own networks from below, so the upper half of 10.0.0.0/8 comes first. The others are
# for when that is taken, as by a company that reserves all of it.
POOLS = tuple(IPv4Network(block) for block in ("10.128.0.0/9", "172.16.0.0/12", "192.168.0.0/16"))


class NotReviewable(ReviewError):
    """What was asked for is no review stack, or can't become one."""


class Phase(StrEnum):
    """How far a review stack has come.

    RESERVED: name and network are taken, the engine has not begun.
    BEGUN: there may be resources, and there is a state that knows them.
    DESTROYED: there are no resources any more; what is left are the state and the record.
    """

    RESERVED = "reserved"
    BEGUN = "begun"
    DESTROYED = "destroyed"


@dataclass(frozen=True, kw_only=True)
class Record:
    """All that is known of a review stack without its state and its settings file.

    number: of the pull request.
    base: the stack that it is derived from.
    cidr: its network, its own until it is gone.
    expires: from when on it is to be destroyed.
    phase: how far it has come.
    """

    number: int
    base: str
    cidr: IPv4Network
    expires: datetime
    phase: Phase = Phase.RESERVED

    @property
    def stack(self) -> str:
        """The stack's name."""
        return stack_name(self.number)

    def expired(self, now: datetime) -> bool:
        """Whether its time is over."""
        return now >= self.expires

    def text(self) -> str:
        """The record as it is kept."""
        return json.dumps(
            {
                "number": self.number,
                "base": self.base,
                "cidr": str(self.cidr),
                "expires": self.expires.astimezone(UTC).isoformat(timespec="seconds"),
                "phase": self.phase.value,
            }
        )


def parse(stack: str, text: str) -> Record:
    """The record of a stack out of its text. Raises NotReviewable for a text that is not one."""
    record: Record | None
    try:
        found = json.loads(text)
        record = Record(
            number=int(found["number"]),
            base=str(found["base"]),
            cidr=IPv4Network(found["cidr"]),
            expires=datetime.fromisoformat(found["expires"]),
            phase=Phase(found["phase"]),
        )
        wrong = "" if record.stack == stack else f"it is of {record.stack}"
        wrong = wrong if record.expires.tzinfo else "a time without a zone"
    except (ValueError, KeyError, TypeError, ReviewError) as error:
        record, wrong = None, str(error)
    if record is None or wrong:
        raise NotReviewable(
            f"the record of {stack} can't be read ({wrong}): {text[:200]!r}; nothing of {stack} was touched. "
            "`switchyard review up --pr <number>` writes it anew"
        )
    return record


def stack_name(number: int) -> str:
    """The name of a pull request's stack. Raises NotReviewable for what is no pull request's number."""
    if not 1 <= number <= HIGHEST_NUMBER:
        raise NotReviewable(f"pull request {number}: allowed are 1 to {HIGHEST_NUMBER}")
    return f"pr-{number}"


def number_of(stack: str) -> int | None:
    """The pull request that a stack is for; None for every other stack, which nothing here may touch."""
    found = NAME.fullmatch(stack)
    return int(found[1]) if found else None


def expiry(now: datetime, ttl_hours: int) -> datetime:
    """When a stack that lives so long from now expires. Raises NotReviewable for another time to live."""
    if not 1 <= ttl_hours <= HIGHEST_TTL_HOURS:
        raise NotReviewable(f"a time to live of {ttl_hours} hours: allowed are 1 to {HIGHEST_TTL_HOURS}")
    return now.astimezone(UTC).replace(microsecond=0) + timedelta(hours=ttl_hours)


def choose_cidr(number: int, taken: Iterable[IPv4Network]) -> IPv4Network:
    """The network of a pull request: always the same one where it is free, else the next free one.

    Networks are /22, the smallest that the platform takes, so that 8192 stacks come before a collision.
    Raises NotReviewable where none is free.
    """
    others = list(taken)
    sizes = [1 << (NARROWEST_PREFIX - pool.prefixlen) for pool in POOLS]
    first, total = number % sizes[0], sum(sizes)
    for step in range(total):
        cidr = _slot((first + step) % total, sizes)
        if not any(cidr.overlaps(other) for other in others):
            return cidr
    raise NotReviewable(
        f"no /{NARROWEST_PREFIX} of {', '.join(map(str, POOLS))} is free beside {len(others)} networks that "
        "are in use or reserved; end other review stacks (switchyard review reap), or reserve less in "
        "switchyard:network.reserved_cidrs of the base stack"
    )


def _slot(place: int, sizes: Sequence[int]) -> IPv4Network:
    """The /22 at a place, counted through all pools."""
    ends = list(accumulate(sizes))
    pool = next(number for number, end in enumerate(ends) if place < end)
    within = place - (ends[pool] - sizes[pool])
    start = int(POOLS[pool].network_address) + (within << (32 - NARROWEST_PREFIX))
    return IPv4Network((start, NARROWEST_PREFIX))
