"""Releases that are killed, or told to end, with the engine that they run: `pulumi up` of the idle colour."""

import signal

import pytest

from tests.cloud import cutting_off
from tests.cloud.commands import Said
from tests.cloud.releases import (
    COMPLETED,
    INTERRUPTED,
    NEEDS_PERSON,
    ROLLED_BACK,
    STACK,
    Checkout,
)
from tests.cloud.releasing import AT_ONCE, live, settled

pytestmark = [pytest.mark.cloud, pytest.mark.usefixtures("tidy")]

ACCOUNT = "100000000074"
# Without any bake the old colour goes in the second in which its last requests come.
QUICK = (*AT_ONCE, "--bake", "3")


def is_mended(checkout: Checkout) -> None:
    """One update does again what was cut off; then nothing is open, and a second one changes nothing."""
    checkout.stack.up()
    assert (cutting_off.locks(checkout), cutting_off.pending(checkout)) == ([], [])
    assert set(checkout.stack.up().changes) == {"unchanged"}


RECOVER = f"switchyard recover --stack {STACK}"


def recovered(checkout: Checkout) -> Said:
    """`switchyard recover`, which has to succeed."""
    said = checkout.switchyard("recover", "--stack", STACK)
    assert said.status == 0, said.text
    return said


def test_a_release_killed_while_its_engine_creates_waits_until_that_is_looked_for(checkout: Checkout) -> None:
    old, new = live(checkout)
    _, image = checkout.image()
    with checkout.load(50) as traffic:
        cutting_off.kill_in_its_update(checkout, image, *QUICK, kind="creating")
        assert checkout.weights() == {old: 100, new: 0}
        assert len(cutting_off.locks(checkout)) == 1, "the engine was to be killed with its lock"
        left = [one for one in cutting_off.pending(checkout) if one.startswith("creating")]
        assert left, "the engine was to be killed in the middle of a create"
        checkout.end_the_lease()
        told = checkout.release("resume", "--json")
        assert told.status == NEEDS_PERSON, told.text
        assert left[0].split()[-1] in told.json["reason"]
        assert RECOVER in told.json["reason"]
        assert checkout.weights() == {old: 100, new: 0}
        assert "1 locks cleared" in recovered(checkout).out
        resumed = checkout.release("resume", "--json")
    assert resumed.status == COMPLETED, resumed.text
    assert traffic.lost == {}
    settled(checkout, new)
    is_mended(checkout)


def test_a_resume_that_meets_a_dead_lock_says_how_to_clear_it_and_goes_on_then(checkout: Checkout) -> None:
    _, new = live(checkout)
    _, image = checkout.image()
    with checkout.load(50) as traffic:
        cutting_off.kill_in_its_update(checkout, image, *QUICK, kind="updating")
        checkout.end_the_lease()
        resumed = checkout.begin("release", "resume", "--stack", STACK)
        resumed.wait_for_word(RECOVER)
        assert "1 locks cleared" in recovered(checkout).out
        said = resumed.end()
    assert said.status == COMPLETED, said.text
    assert traffic.lost == {}
    settled(checkout, new)
    is_mended(checkout)


def test_a_release_killed_in_its_update_is_aborted_without_the_engine(checkout: Checkout) -> None:
    old, _ = live(checkout)
    _, image = checkout.image()
    with checkout.load(50) as traffic:
        cutting_off.kill_in_its_update(checkout, image, *QUICK)
        checkout.end_the_lease()
        aborted = checkout.release("abort", "--json")
    assert aborted.status == ROLLED_BACK, aborted.text
    assert traffic.lost == {}
    settled(checkout, old)
    recovered(checkout)
    is_mended(checkout)


def test_ctrl_c_in_the_update_lets_the_engine_end_what_it_has_begun(checkout: Checkout) -> None:
    _, new = live(checkout)
    _, image = checkout.image()
    with cutting_off.held(checkout) as update:
        release = checkout.start(image, *QUICK, state_by=update.address)
        update.wait(release)
        release.tell(signal.SIGINT)
        update.let_go()
        said = release.end()
    assert said.status == INTERRUPTED, said.text
    assert release.left() == []
    assert (cutting_off.locks(checkout), cutting_off.pending(checkout)) == ([], [])
    resumed = checkout.release("resume", "--json")
    assert resumed.status == COMPLETED, resumed.text
    settled(checkout, new)
