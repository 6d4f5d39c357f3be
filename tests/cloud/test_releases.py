"""Releases on the embedded cloud: the real command, the real engine, real traffic, real processes."""

import getpass
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from localcloud.cloud import Cloud
from tests.cloud.releases import (
    COLOURS,
    COMPLETED,
    FAILED,
    NEEDS_PERSON,
    NEXT_SCHEMA,
    REFUSED,
    ROLLED_BACK,
    SERVICE,
    Checkout,
    Said,
    phases,
    shares,
)

pytestmark = pytest.mark.cloud

ACCOUNT = "100000000005"
ROUNDS = 10
AT_ONCE = ("--strategy", "all-at-once")
# Long enough for everything that a test does in it; nobody waits for its end.
LONG_BAKE = ("--bake", "600")
SHORT_BAKE_SECONDS = 3
CANARY_PERCENT = 20
CANARY = ("--strategy", "canary", "--step", str(CANARY_PERCENT), "--every", "30", "--bake", "5")
ALL_SUSPENDED = {
    "DynamicScalingInSuspended": True,
    "DynamicScalingOutSuspended": True,
    "ScheduledScalingSuspended": True,
}
NONE_SUSPENDED = dict.fromkeys(ALL_SUSPENDED, False)


def settings(found: dict[str, Any]) -> None:
    """The stack's own settings, but for what would make these tests long or their traffic an alarm."""
    # A fiftieth of the requests takes two seconds on purpose.
    found["switchyard:monitoring"]["alarms"]["latency_p99_seconds"] = 4
    api = found["switchyard:services"][SERVICE]
    api["smoke"] = [{"path": "/api/", "body_contains": '"status": "ok"', "max_seconds": 20}]
    # A fixed number of tasks: one that follows the load would make every release another one.
    api["count"] = {"minimum": 2, "maximum": 2}
    api["longest_request_seconds"] = api["deregistration_delay_seconds"] = 10


@pytest.fixture(scope="module")
def checkout(embedded_cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:  # noqa: ARG001
    checkout = Checkout.create(tmp_path_factory.mktemp("releases") / "project", ACCOUNT, settings)
    _, image = checkout.image()
    said = checkout.released(image, *AT_ONCE, "--bake", "0")
    assert said.status == COMPLETED, said.text
    yield checkout
    checkout.close()


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(checkout: Checkout) -> Iterator[None]:
    yield
    checkout.close()


def live(checkout: Checkout) -> tuple[str, str]:
    """The colour that has the traffic, and the one that has none."""
    weights = checkout.weights()
    assert sorted(weights.values()) == [0, 100], f"between releases one colour has it all: {weights}"
    new, old = sorted(COLOURS, key=lambda colour: weights[colour])
    return old, new


def settled(checkout: Checkout, colour: str) -> None:
    """Everything as it has to be between two releases, with the traffic on that colour."""
    idle = next(each for each in COLOURS if each != colour)
    assert checkout.weights() == {colour: 100, idle: 0}
    assert checkout.weights("test") == {colour: 0, idle: 100}, "the test listener reaches the idle colour"
    assert checkout.desired() == {colour: 2, idle: 0}
    suspended = checkout.suspended()
    assert suspended[colour] == NONE_SUSPENDED, "the live colour scales by itself again"
    assert suspended[idle] == ALL_SUSPENDED, "no policy may start tasks in the idle colour"
    assert checkout.current() is None
    assert checkout.item("lock", "stack")["held"] == {"BOOL": False}, "the next release must find it free"


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


@dataclass(frozen=True, kw_only=True)
class Bad:
    """A version that must not get through.

    reason: what its release has to say. share: the most of the traffic that it may ever have, in percent.
    healthy_timeout_seconds: short for what never gets healthy, long where something else has to find it.
    """

    reason: str
    share: int
    healthy_timeout_seconds: int = 120
    schema: str | None = None
    behaviour: dict[str, Any] = field(default_factory=dict)


UNHEALTHY = "api in .* has 0 of 2 healthy targets.*, after 15 s"
BAD = {
    "errors": Bad(
        behaviour={"error_rate": 0.5}, share=CANARY_PERCENT, reason=r"alarm of api in \w+: .*error"
    ),
    "slow": Bad(
        behaviour={"latency_seconds": 8},
        share=CANARY_PERCENT,
        reason=r"alarm of api in \w+: .*(latency|slow)",
    ),
    "crash after a while": Bad(
        # Well after it has become healthy, and within the canary's 30 seconds.
        behaviour={"crash_after_seconds": 25},
        share=CANARY_PERCENT,
        reason=r"api in \w+ has no healthy target left|alarm of api in \w+: ",
    ),
    "crash loop": Bad(
        behaviour={"crash_at_start": True}, share=0, reason="api does not start in .*circuit breaker"
    ),
    "never healthy": Bad(
        behaviour={"never_healthy": True}, share=0, healthy_timeout_seconds=15, reason=UNHEALTHY
    ),
    "wrong port": Bad(behaviour={"wrong_port": True}, share=0, healthy_timeout_seconds=15, reason=UNHEALTHY),
    "failing migration": Bad(
        behaviour={"migration_fails": True},
        schema=NEXT_SCHEMA,
        share=0,
        reason="api.migrate up. .*ended with 1",
    ),
    "wrong answer": Bad(behaviour={"wrong_answer": True}, share=0, reason="smoke checks failed: .*status"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_version_never_takes_over_and_ends_rolled_back_with_the_reason(
    checkout: Checkout, kind: str
) -> None:
    bad, (old, new) = BAD[kind], live(checkout)
    checkout.set_healthy_timeout(bad.healthy_timeout_seconds)
    checkout.wait_for_quiet_alarms()
    version, image = checkout.image(**({"schema": bad.schema} if bad.schema else {}), **bad.behaviour)
    with checkout.load(40) as traffic:
        said = checkout.released(image, *CANARY)
    assert said.status == ROLLED_BACK, said.text
    assert said.json["outcome"] == "rolled-back"
    assert re.search(bad.reason, said.json["reason"], re.DOTALL), said.json["reason"]
    shown = checkout.shown(said.json["release"]["number"])
    assert max(shares(shown, new)) == bad.share, "no more than its share, ever"
    failed_by = {who for who, count in traffic.figures["errors"].items() if count}
    if bad.share == 0:
        assert version not in traffic.figures["versions"], "nobody may see a version that was not verified"
        assert traffic.lost == {}
    else:
        assert traffic.figures["versions"].get(version, 0) > 0, "it was found out by its traffic"
        assert failed_by <= {version, ""}, "the old version answers as ever"
    settled(checkout, old)


@dataclass(frozen=True, kw_only=True)
class Death:
    """Where a process dies, what is said next, and how that ends."""

    at: str
    then: str
    status: int


DEATHS = [
    Death(at="preparing", then="resume", status=COMPLETED),
    Death(at="scaling", then="abort", status=ROLLED_BACK),
    Death(at="intending", then="resume", status=COMPLETED),
    Death(at="baking", then="abort", status=ROLLED_BACK),
    Death(at="rolling-back", then="resume", status=ROLLED_BACK),
]


@pytest.mark.parametrize("death", DEATHS, ids=lambda death: f"{death.at}-{death.then}")
def test_a_release_whose_process_was_killed_ends_as_it_is_told(checkout: Checkout, death: Death) -> None:
    old, new = live(checkout)
    _, image = checkout.image()
    with checkout.load(100, slow_share=0.02) as traffic:
        checkout.start_and_die(image, death.at, strategy="all-at-once", bake_seconds=SHORT_BAKE_SECONDS)
        assert checkout.current() is not None, "what it was about to do is kept"
        assert sum(checkout.weights().values()) == 100
        if death.then == "resume":
            checkout.wait_for_the_lease()
        # An abort waits for the lease by itself.
        said = checkout.release(death.then, "--json")
    assert said.status == death.status, said.text
    assert traffic.lost == {}, "the load balancer goes on as it was told last"
    checkout.shown(said.json["release"]["number"])
    settled(checkout, new if death.status == COMPLETED else old)


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
    assert said.out == "", "a record that is not to be trusted is not shown as one"
    assert checkout.shown(number) == shown
