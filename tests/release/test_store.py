"""The lock, the fencing token and the release in progress, on moto's DynamoDB."""

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta

import botocore.exceptions
import pytest

from release.errors import LostLock, ReleaseError, Unavailable
from release.model import Phase
from release.run import ExitCode
from release.store import LEASE_SECONDS, Locked, Order, Owner, Store
from release.table import DynamoTable, Key, Put
from tests.release.company import Company
from tests.release.dynamo import release_table, release_tables
from tests.release.samples import a_release, with_entries
from tests.release.world import START, World, image


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = START

    def __call__(self) -> datetime:
        return self.now

    def passes(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def table() -> Iterator[DynamoTable]:
    with release_table() as made:
        yield made


@pytest.fixture
def time() -> Time:
    return Time()


def store(table: DynamoTable, time: Time, who: str) -> Store:
    return Store(table, Owner(who=f"{who}@machine", pid=7, run=f"run of {who}"), time)


def test_a_living_lock_is_refused_with_its_owner_and_its_begin(table: DynamoTable, time: Time) -> None:
    store(table, time, "ann").acquire()
    time.passes(LEASE_SECONDS - 1)
    with pytest.raises(Locked, match=r"ann@machine, process 7, since 2026-03-02 09:00:00 UTC.* 1 s"):
        store(table, time, "bob").acquire()


def test_a_lapsed_lock_is_taken_over_with_a_higher_token(table: DynamoTable, time: Time) -> None:
    assert store(table, time, "ann").acquire() == 1
    time.passes(LEASE_SECONDS + 1)
    assert store(table, time, "bob").acquire() == 2


def test_a_renewed_lease_does_not_lapse(table: DynamoTable, time: Time) -> None:
    ann = store(table, time, "ann")
    ann.acquire()
    time.passes(LEASE_SECONDS - 1)
    ann.renew()
    time.passes(LEASE_SECONDS - 1)
    with pytest.raises(Locked):
        store(table, time, "bob").acquire()


def test_a_token_grows_even_if_the_lock_was_given_back(table: DynamoTable, time: Time) -> None:
    ann = store(table, time, "ann")
    ann.acquire()
    ann.give_back()
    assert store(table, time, "bob").acquire() == 2


def test_only_the_owner_gives_the_lock_back(table: DynamoTable, time: Time) -> None:
    store(table, time, "ann").acquire()
    bob = store(table, time, "bob")
    with pytest.raises(Locked):
        bob.acquire()
    bob.give_back()
    with pytest.raises(Locked):
        store(table, time, "bob").acquire()


def test_whoever_was_taken_over_can_neither_renew_nor_write(table: DynamoTable, time: Time) -> None:
    ann, bob = store(table, time, "ann"), store(table, time, "bob")
    ann.acquire()
    first, entries = with_entries(a_release(token=1), "planned")
    ann.save(first, entries)
    time.passes(LEASE_SECONDS + 1)
    bob.acquire()
    with pytest.raises(LostLock, match="bob@machine"):
        ann.renew()
    later, more = with_entries(replace(first, phase=Phase.BAKING), "planned", "bakes")
    with pytest.raises(LostLock, match="bob@machine"):
        ann.save(later, more[1:])
    assert bob.current() == first, "nothing of the refused write may be there"
    assert bob.entries(1) == entries


def test_a_lock_that_was_given_back_carries_no_write(table: DynamoTable, time: Time) -> None:
    ann = store(table, time, "ann")
    ann.acquire()
    ann.give_back()
    release, entries = with_entries(a_release(), "planned")
    with pytest.raises(LostLock):
        ann.save(release, entries)


def test_a_release_comes_back_as_it_was_kept(table: DynamoTable, time: Time) -> None:
    ann = store(table, time, "ann")
    ann.acquire()
    given = a_release(possible=(10, 100), overrides={"alarms": "it's the fix"}, known_alarms=("a",))
    release, entries = with_entries(given, "planned", "zwölf | ½")
    ann.save(release, entries)
    assert ann.current() == release
    assert ann.entries(1) == entries


def test_a_release_that_is_over_is_history_and_no_longer_in_progress(table: DynamoTable, time: Time) -> None:
    ann = store(table, time, "ann")
    ann.acquire()
    for number in (1, 2, 10):
        release, entries = with_entries(a_release(number=number, phase=Phase.COMPLETED), "done")
        ann.save(release, entries)
    assert ann.current() is None
    assert [release.number for release in ann.history()] == [10, 2, 1]


def test_an_entry_is_never_written_over(table: DynamoTable, time: Time) -> None:
    ann = store(table, time, "ann")
    ann.acquire()
    release, entries = with_entries(a_release(), "the truth")
    ann.save(release, entries)
    other, lies = with_entries(a_release(), "something else")
    with pytest.raises(ReleaseError, match="entry 1 of its record is there already"):
        ann.save(other, lies)
    assert ann.entries(1) == entries


def test_a_write_whose_answer_was_lost_may_be_made_again(table: DynamoTable, time: Time) -> None:
    ann = store(table, time, "ann")
    ann.acquire()
    release, entries = with_entries(a_release(), "planned")
    ann.save(release, entries)
    ann.save(release, entries)
    assert ann.entries(1) == entries


def test_an_order_to_approve_counts_for_the_hold_that_it_was_given_for(
    table: DynamoTable, time: Time
) -> None:
    ann = store(table, time, "ann")
    held, _ = with_entries(a_release(), "planned", "held")
    ann.order("approve", held, "bob")
    assert ann.ordered("approve", held, at_this_entry=True) == Order(by="bob")
    later = replace(held, entries=held.entries + 1)
    assert ann.ordered("approve", later, at_this_entry=True) is None
    assert ann.ordered("approve", later, at_this_entry=False) == Order(by="bob")
    assert ann.ordered("approve", replace(held, number=2), at_this_entry=False) is None


def test_of_two_starts_at_once_exactly_one_goes_on_a_hundred_times() -> None:
    with release_tables() as make:
        for attempt in range(100):
            world = World("api")
            world.running("v1")
            company = Company(world, make())
            ended = _both_start(company)
            codes = sorted(code.name for code in ended)
            assert codes == ["COMPLETED", "REFUSED"], f"attempt {attempt}: {codes}"
            assert world.live() == image("v2")
            assert [release.number for release in company.driver().history()] == [1]


def assert_heard(event: threading.Event) -> None:
    assert event.wait(timeout=10), "nobody was refused"


def _both_start(company: Company) -> list[ExitCode]:
    ended: list[ExitCode] = []
    together, refused = threading.Barrier(2), threading.Event()
    company.policy = replace(company.policy, strategy="all-at-once", bake_seconds=0)
    drivers = [company.driver(), company.driver()]
    # The one that wins is still at work when the other one looks.
    company.world.at_the_gates = lambda: assert_heard(refused)

    def start(place: int) -> None:
        together.wait(timeout=10)
        result = drivers[place].start(company.request("v2"))
        ended.append(result.code)
        if result.code is ExitCode.REFUSED:
            refused.set()

    threads = [threading.Thread(target=start, args=(place,)) for place in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return ended


@pytest.mark.parametrize(
    "code", ["ThrottlingException", "ProvisionedThroughputExceededException", "InternalServerError"]
)
def test_a_table_that_does_not_answer_is_unavailable_and_never_empty(code: str) -> None:
    with release_table() as table:
        error = botocore.exceptions.ClientError({"Error": {"Code": code, "Message": "busy"}}, "any")

        def fail(**_: object) -> None:
            raise error

        table._client.meta.events.register("before-call.dynamodb", fail)
        for call in (
            lambda: table.get(Key(pk="lock", sk="stack")),
            lambda: table.query("history"),
            lambda: table.write([Put(item={"pk": "a", "sk": "b"})]),
            lambda: table.write([Put(item={"pk": "a", "sk": "b"})] * 2),
        ):
            with pytest.raises(Unavailable, match=code):
                call()


def test_a_network_error_is_unavailable() -> None:
    with release_table() as table:

        def fail(**_: object) -> None:
            raise botocore.exceptions.ReadTimeoutError(endpoint_url="https://dynamodb.test")

        table._client.meta.events.register("before-call.dynamodb", fail)
        with pytest.raises(Unavailable, match="timeout"):
            table.get(Key(pk="lock", sk="stack"))


def test_a_mistake_is_said_and_not_tried_again() -> None:
    with release_table() as table:
        with pytest.raises(ReleaseError, match="ResourceNotFoundException") as raised:
            DynamoTable(table._client, "no-such-table").get(Key(pk="lock", sk="stack"))
        assert not isinstance(raised.value, Unavailable)
