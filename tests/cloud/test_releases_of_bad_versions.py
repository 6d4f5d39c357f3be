"""Versions that must not get through, each in its own way, on the embedded cloud under load."""

import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.cloud.releases import NEXT_SCHEMA, ROLLED_BACK, Checkout, shares
from tests.cloud.releasing import CANARY, CANARY_PERCENT, live, settled

pytestmark = [pytest.mark.cloud, pytest.mark.usefixtures("tidy")]

ACCOUNT = "100000000071"


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
