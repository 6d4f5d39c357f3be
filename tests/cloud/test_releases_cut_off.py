"""Releases whose process is killed, or told to end, on the embedded cloud: all of them find their way."""

import signal
from dataclasses import dataclass

import pytest

from tests.cloud.releases import (
    COMPLETED,
    INTERRUPTED,
    ROLLED_BACK,
    Checkout,
    phases,
    shares,
    wait_for,
)
from tests.cloud.releasing import CANARY, CANARY_PERCENT, live, settled

pytestmark = [pytest.mark.cloud, pytest.mark.usefixtures("tidy")]

ACCOUNT = "100000000072"
SHORT_BAKE_SECONDS = 3


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


# A terminal's Ctrl-C reaches the whole group; CI ends the process that it knows.
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "a cancelled job"])
def test_a_release_told_to_end_in_the_middle_of_its_shift_frees_the_lock_and_is_resumed(
    checkout: Checkout, number: signal.Signals
) -> None:
    old, new = live(checkout)
    _, image = checkout.image()
    share = {new: CANARY_PERCENT, old: 100 - CANARY_PERCENT}
    with checkout.load(50) as traffic:
        release = checkout.start(image, *CANARY)
        checkout.wait_for_phase("SHIFTING", release)
        wait_for(lambda: checkout.weights() == share or None, "the first step has its traffic")
        release.tell(number, group=number is signal.SIGINT)
        said = release.end()
        assert said.status == INTERRUPTED, said.text
        assert (said.json["outcome"], said.json["exit_status"]) == ("interrupted", INTERRUPTED)
        assert "`resume` goes on, `abort` goes back" in said.json["reason"]
        assert release.left() == [], "nothing of it may go on"
        assert checkout.item("lock", "stack")["held"] == {"BOOL": False}, "nobody has to wait for a lease"
        assert checkout.current()["phase"] == "SHIFTING"
        assert checkout.weights() == share
        resumed = checkout.release("resume", "--json")
    assert resumed.status == COMPLETED, resumed.text
    assert traffic.lost == {}
    shown = checkout.shown(resumed.json["release"]["number"])
    assert "Interrupted" in [entry["event"] for entry in shown["entries"]]
    assert shares(shown, new) == [CANARY_PERCENT, 100, 100], "each step is gone once; the end says it again"
    assert phases(shown).count("SHIFTING") == 1
    settled(checkout, new)
