"""The canary analyst on live traffic: it lets a sound version pass, finds what no alarm finds, and waits."""

import re
import time
from typing import Any

import pytest

from tests.cloud.releases import COMPLETED, ROLLED_BACK, SERVICE, Checkout, shares, wait_for
from tests.cloud.releasing import live, settings, settled

pytestmark = [pytest.mark.cloud, pytest.mark.usefixtures("tidy")]

ACCOUNT = "100000000073"
RATE, TRICKLE = 60, 2
HALF = ("--strategy", "canary", "--step", "50", "--bake", "3")
# Latencies are compared from the fifth of the cloud's minutes on, which take five seconds each.
LONG_STEP, SHORT_STEP = ("--every", "45"), ("--every", "12")
# Two more of the cloud's minutes, with a look at each second.
HELD_SECONDS = 10
MINIMUM_REQUESTS = 300
ALARM_ERROR_PERCENT, NEW_ERROR_RATE = 30, 0.06
FIGURES = re.compile(r"\(([\d,]+) requests against ([\d,]+)\)")


def adjusted(found: dict[str, Any]) -> None:
    """Alarms that a few errors don't reach, and the analyst."""
    settings(found)
    found["switchyard:monitoring"]["alarms"]["error_rate_percent"] = ALARM_ERROR_PERCENT
    found["switchyard:release"]["analysis"] = {
        "minimum_requests": MINIMUM_REQUESTS,
        "confidence_percent": 95,
        "max_error_rate_increase_percent": 0.5,
        # Both colours share a busy machine: what is tolerated is far beyond its noise.
        "max_latency_increase_percent": 200,
    }


def verdicts(shown: Any, source: str) -> list[dict[str, str]]:
    """What one of the analyst's judges said in a release, the oldest first."""
    name = f"{SERVICE} {source}"
    return [
        said for entry in shown["entries"] for said in entry.get("verdicts", ()) if said["source"] == name
    ]


def compared(said: dict[str, str]) -> tuple[int, int]:
    """The numbers of requests of the new and of the old colour in a verdict."""
    found = FIGURES.search(said["reason"])
    assert found, said["reason"]
    new, old = (int(number.replace(",", "")) for number in found.groups())
    return new, old


def test_a_sound_version_passes_by_analysis_and_the_record_has_both_colours_figures(
    checkout: Checkout,
) -> None:
    _, new = live(checkout)
    _, image = checkout.image()
    with checkout.load(RATE) as traffic:
        said = checkout.released(image, *HALF, *LONG_STEP)
    assert said.status == COMPLETED, said.text
    assert traffic.lost == {}
    shown = checkout.shown(said.json["release"]["number"])
    assert shares(shown, new)[-1] == 100
    errors, latency = (verdicts(shown, source) for source in ("error rate", "latency"))
    passed = [one for one in errors if one["outcome"] == "pass"]
    assert passed, "a pass goes on record, not only what speaks against a version"
    assert min(compared(passed[0])) >= MINIMUM_REQUESTS
    assert "0.00% of the new colour's requests failed and 0.00% of the old one's" in passed[0]["reason"]
    assert re.search(r"p\d\d [\d,]+ ms against [\d,]+ ms", " ".join(one["reason"] for one in latency))
    settled(checkout, new)


def test_a_version_with_errors_that_no_alarm_sees_is_found_by_comparison_and_rolled_back(
    checkout: Checkout,
) -> None:
    old, new = live(checkout)
    version, image = checkout.image(error_rate=NEW_ERROR_RATE)
    with checkout.load(RATE) as traffic:
        said = checkout.released(image, *HALF, *LONG_STEP)
    assert said.status == ROLLED_BACK, said.text
    reason = said.json["reason"]
    assert "of the new colour's requests failed and 0.00% of the old one's" in reason
    assert "alarm" not in reason
    shown = checkout.shown(said.json["release"]["number"])
    assert max(shares(shown, new)) == 50, "it was found before it had all of the traffic"
    assert verdicts(shown, "error rate")[-1]["outcome"] == "fail"
    assert {who for who, count in traffic.figures["errors"].items() if count} == {version}
    settled(checkout, old)


def test_too_little_traffic_holds_and_never_passes_until_a_person_says_so(checkout: Checkout) -> None:
    old, new = live(checkout)
    _, image = checkout.image()
    with checkout.load(TRICKLE) as traffic:
        release = checkout.start(image, *HALF, *SHORT_STEP)

        def held() -> Any:
            assert not release.is_over, release.end().text
            found = checkout.current()
            return found if found and found["held"] else None

        found = wait_for(held, "the analyst has too little traffic")
        assert found["held"] == "traffic"
        assert "(minimum_requests)" in found["reason"]
        time.sleep(HELD_SECONDS)
        assert checkout.weights() == {new: 50, old: 50}
        assert checkout.current()["held"] == "traffic"
        approved = checkout.release("approve", "--json")
        assert approved.status == COMPLETED, approved.text
        said = release.end()
    assert said.status == COMPLETED, said.text
    assert traffic.lost == {}
    shown = checkout.shown(said.json["release"]["number"])
    outcomes = {one["outcome"] for one in verdicts(shown, "error rate")}
    assert outcomes == {"insufficient"}, "too little is no pass, at any look"
    settled(checkout, new)
