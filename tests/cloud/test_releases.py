"""Releases on the embedded cloud: the real command, the real engine, real traffic, real processes."""

import getpass
import json
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest

from tests.cloud.commands import Said
from tests.cloud.releases import (
    COMPLETED,
    FAILED,
    NEEDS_PERSON,
    REFUSED,
    ROLLED_BACK,
    SERVICE,
    Checkout,
    phases,
    shares,
    wait_for,
)
from tests.cloud.releasing import AT_ONCE, CANARY, LONG_BAKE, NONE_SUSPENDED, live, settings, settled

pytestmark = [pytest.mark.cloud, pytest.mark.usefixtures("tidy")]

ACCOUNT = "100000000005"
ROUNDS = 10
# More than the tasks of both colours have, fewer than the server takes.
MOST_CONNECTIONS = 100


def adjusted(found: dict[str, Any]) -> None:
    """No alarm on latency: what is asked here is whether a request is lost, also on a busy machine."""
    settings(found)
    found["switchyard:monitoring"]["alarms"]["latency_p99_seconds"] = 25
    found["switchyard:databases"]["main"]["max_connections_alarm"] = MOST_CONNECTIONS


def test_ten_cutovers_and_ten_rollbacks_lose_no_request(checkout: Checkout) -> None:
    old, new = live(checkout)
    published = [checkout.image() for _ in range(ROUNDS)]
    with checkout.load(300, slow_share=0.02) as traffic:
        ended = checkout.rounds([image for _, image in published])
    assert traffic.lost == {}, "nobody may notice a release, nor its way back"
    assert [(one["started"], one["aborted"]) for one in ended] == [("ROLLED_BACK", "ROLLED_BACK")] * ROUNDS
    for one in ended:
        assert one["reason"] == "rolled back: aborted by another: seen enough"
        assert shares(checkout.stored(one["number"]), new) == [100, 0, 0], (
            "all of it there, and all of it back"
        )
    figures = traffic.figures
    assert figures["sent"] == figures["ok"]
    assert figures["sent"] >= 300 * ROUNDS, "there was load all the time"
    assert {version for version, _ in published} <= set(figures["versions"]), "each of them had traffic"
    settled(checkout, old)


def test_of_two_releases_at_once_one_goes_on_and_the_other_is_refused(checkout: Checkout) -> None:
    _, new = live(checkout)
    before = len(checkout.release("history", "--json").json)
    both = [checkout.image()[1] for _ in range(2)]
    ended = [command.end() for command in [checkout.start(image, *AT_ONCE, "--bake", "0") for image in both]]
    won, lost = sorted(ended, key=lambda said: said.status)
    assert (won.status, lost.status) == (COMPLETED, REFUSED), won.text + lost.text
    assert getpass.getuser() in lost.json["reason"], "who is in the way has to be said"
    assert lost.json["release"] is None
    assert len(checkout.release("history", "--json").json) == before + 1, "the other one was never begun"
    assert sorted(checkout.weights().values()) == [0, 100]
    settled(checkout, new)


@dataclass(frozen=True, kw_only=True)
class Bake:
    """What was seen of a long bake, and what came of the commands in it."""

    old: str
    new: str
    number: int
    weights_before: dict[str, int]
    weights_after: dict[str, int]
    phase_after: str
    suspended: dict[str, dict[str, bool]]
    second: Said
    planned: Said
    history: Said
    watched: Said
    rollback: Said
    started: Said
    lost: Any


@pytest.fixture(scope="module")
def bake(checkout: Checkout) -> Bake:
    """A release that bakes while the stack is updated and others ask for things; then it is taken back."""
    old, new = live(checkout)
    (_, image), (_, other) = checkout.image(), checkout.image()
    with checkout.load(50) as traffic:
        started = checkout.start(image, *AT_ONCE, *LONG_BAKE)
        number = checkout.wait_for_phase("BAKING", started)["number"]
        before = checkout.weights()
        watching = checkout.begin("release", "watch", "--stack", "local")
        second = checkout.released(other, *AT_ONCE)
        planned = checkout.release("plan", "--service", SERVICE, "--image", other, "--json")
        history = checkout.release("history", "--json")
        # A change that reaches the rule and the tasks' definition.
        checkout.stack.change(lambda all_: all_["switchyard:tags"].update({"team": "checkout"}))
        checkout.stack.up()
        after, phase = checkout.weights(), checkout.current()["phase"]
        suspended = checkout.suspended()
        rollback = checkout.release("rollback", "--reason", "seen enough", "--json")
        assert rollback.status == ROLLED_BACK, rollback.text
        ended, watched = started.end(), watching.end()
    return Bake(
        old=old,
        new=new,
        number=number,
        weights_before=before,
        weights_after=after,
        phase_after=phase,
        suspended=suspended,
        second=second,
        planned=planned,
        history=history,
        watched=watched,
        rollback=rollback,
        started=ended,
        lost=traffic.lost,
    )


def test_an_update_of_the_stack_in_the_middle_of_a_bake_moves_no_weight(bake: Bake) -> None:
    assert bake.phase_after == "BAKING", "the update has to be over before the bake is"
    assert bake.weights_before == {bake.new: 100, bake.old: 0}
    assert bake.weights_after == bake.weights_before
    assert bake.lost == {}


def test_in_a_bake_neither_colour_shrinks_and_an_update_changes_nothing_of_that(bake: Bake) -> None:
    shrinks_not = {**NONE_SUSPENDED, "DynamicScalingInSuspended": True, "ScheduledScalingSuspended": True}
    assert bake.suspended == {bake.old: shrinks_not, bake.new: shrinks_not}


def test_a_second_release_is_refused_while_one_bakes(bake: Bake) -> None:
    assert bake.second.status == REFUSED, bake.second.text
    assert (
        f"local-{bake.number} is in progress (BAKING, by {getpass.getuser()})" in bake.second.json["reason"]
    )


def test_what_is_known_of_a_release_in_progress_is_told_to_everybody(bake: Bake) -> None:
    newest = bake.history.json[0]
    assert (newest["number"], newest["phase"]) == (bake.number, "BAKING")
    assert bake.watched.status == ROLLED_BACK, bake.watched.text
    assert "ROLLED_BACK" in bake.watched.out


def test_a_rollback_in_the_bake_is_heard_by_the_process_that_owns_the_release(
    bake: Bake, checkout: Checkout
) -> None:
    assert bake.started.status == ROLLED_BACK, bake.started.text
    assert bake.rollback.json["release"]["number"] == bake.number
    settled(checkout, bake.old)


def test_no_release_begins_while_a_database_has_too_many_connections(checkout: Checkout) -> None:
    old, _ = live(checkout)
    _, image = checkout.image()
    arguments = ["--service", SERVICE, "--json", "--image", image]
    with ExitStack() as connections:
        for _ in range(MOST_CONNECTIONS + 1):
            connections.enter_context(connection_of(checkout))
        refusal = wait_for(lambda: alarmed(checkout.release("plan", *arguments)), "the alarm fires")
    assert "-main-connections" in refusal
    settled(checkout, old)
    wait_for(lambda: alarmed(checkout.release("plan", *arguments)) is None or None, "it is quiet again")


def connection_of(checkout: Checkout) -> "psycopg.Connection[Any]":
    """A connection to the stack's database, by what the API says of it."""
    identifier = checkout.outputs["databases"]["main"]
    rds, secrets = checkout.stack.aws("rds"), checkout.stack.aws("secretsmanager")
    (instance,) = rds.describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"]
    secret = secrets.get_secret_value(SecretId=instance["MasterUserSecret"]["SecretArn"])
    login = json.loads(secret["SecretString"])
    return psycopg.connect(
        host=instance["Endpoint"]["Address"],
        port=instance["Endpoint"]["Port"],
        dbname=instance["DBName"],
        user=login["username"],
        password=login["password"],
    )


def alarmed(planned: Said) -> str | None:
    """What the gate on alarms says where it refuses."""
    gates = {gate["name"]: gate for gate in planned.json["gates"]}
    return None if planned.status == COMPLETED else str(gates["alarms"]["reason"])


def test_a_plan_says_what_it_would_do_and_does_nothing(checkout: Checkout) -> None:
    old, _ = live(checkout)
    _, image = checkout.image()
    arguments = ["--service", SERVICE, "--json", "--image"]
    planned = checkout.release("plan", *arguments, image, *CANARY)
    assert planned.status == COMPLETED, planned.text
    assert planned.json["gates"], "a plan tells its gates"
    assert [step["percent"] for step in planned.json["steps"]] == [20, 100]
    tag = image.partition("@")[0] + ":latest"
    refused = checkout.release("plan", *arguments, tag)
    assert refused.status == REFUSED, refused.text
    assert "@sha256:" in refused.text, "what is wrong with a tag, and what to give instead"
    settled(checkout, old)


def test_weights_that_somebody_moved_are_a_case_for_a_person(checkout: Checkout) -> None:
    old, new = live(checkout)
    _, image = checkout.image()
    release = checkout.start(image, *AT_ONCE, *LONG_BAKE)
    checkout.wait_for_phase("BAKING", release)
    checkout.move({old: 30, new: 70})
    said = release.end()
    assert said.status == NEEDS_PERSON, said.text
    assert "somebody else moved them" in said.json["reason"]
    assert checkout.weights() == {old: 30, new: 70}, "nothing is written over what a person did"
    checkout.move({old: 0, new: 100})
    aborted = checkout.release("abort", "--json")
    assert aborted.status == ROLLED_BACK, aborted.text
    settled(checkout, old)


def test_a_record_that_was_tampered_with_is_found_and_the_entry_named(checkout: Checkout) -> None:
    number = checkout.release("history", "--json").json[0]["number"]
    shown = checkout.shown(number)
    seq = len(shown["entries"]) // 2
    assert phases(shown)[0] == "PLANNED"
    with checkout.tampered(number, seq, "reason", "nothing to see here"):
        said = checkout.release("show", str(number), "--json")
    assert said.status == FAILED, said.text
    assert f"entry {seq}" in said.err
    assert set(said.json) == {"error", "exit_status"}, (
        "a record that is not to be trusted is not shown as one"
    )
    assert checkout.shown(number) == shown
