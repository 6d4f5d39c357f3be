"""Health of targets: what results mean, and real checks of real servers."""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import aiohttp
import pytest

from localcloud.dataplane.balancers import (
    Check,
    Forward,
    Listener,
    LoadBalancer,
    Rule,
    Snapshot,
    Target,
    TargetGroup,
    code_ranges,
)
from localcloud.dataplane.targets import CHECKING, Record, Result, Targets, ask, judge, observe
from tests.unit.edge import Server

WELL = Result(well=True)
ILL = Result(well=False, reason="Target.Timeout", description="Request timed out")
T = TypeVar("T")
GROUP = "arn:aws:elasticloadbalancing:eu-west-1:1:targetgroup/blue/2"
BALANCER = "arn:aws:elasticloadbalancing:eu-west-1:1:loadbalancer/app/edge/1"


def check(**changes: Any) -> Check:
    settings: dict[str, Any] = {
        "enabled": True,
        "tls": False,
        "path": "/health",
        "port": None,
        "interval_seconds": 10.0,
        "timeout_seconds": 2.0,
        "healthy_threshold": 3,
        "unhealthy_threshold": 2,
        "codes": code_ranges("200-299"),
    }
    return Check(**(settings | changes))


def after(results: Sequence[Result], record: Record | None = None) -> Record:
    found = record or Record()
    for result in results:
        found = observe(found, result, check())
    return found


def states(results: Sequence[Result]) -> list[str]:
    record, found = Record(), []
    for result in results:
        record = observe(record, result, check())
        found.append(record.health.state)
    return found


def snapshot(
    *targets: Target, draining: Sequence[Target] = (), used: bool = True, **changes: Any
) -> Snapshot:
    """One target group with these targets, which a rule uses or not."""
    group = TargetGroup(
        arn=GROUP,
        account="1",
        region="eu-west-1",
        check=check(**changes),
        deregistration_delay_seconds=30,
        slow_start_seconds=0,
        least_requests=False,
        targets=targets,
        draining=tuple(draining),
    )
    rule = Rule(arn="rule", conditions=(), action=Forward(groups=((GROUP, 1),), sticky_seconds=None))
    listener = Listener(
        arn="listener",
        port=80,
        tls=False,
        certificate=None,
        tls13_only=False,
        rules=(rule,) if used else (),
    )
    balancer = LoadBalancer(
        arn=BALANCER,
        account="1",
        region="eu-west-1",
        address="127.77.0.1",
        idle_seconds=60,
        keep_alive_seconds=3600,
        drop_invalid_headers=False,
        forwarded_for="append",
        http2=True,
        listeners=(listener,),
    )
    return Snapshot(balancers=(balancer,), groups=(group,))


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def asked(server: Server, **changes: Any) -> Result:
    async def once() -> Result:
        async with aiohttp.ClientSession() as session:
            target = Target(host="127.0.0.1", port=server.port)
            return await ask(session, target, check(**changes), changes.get("timeout_seconds", 2.0))

    return run(once())


def test_a_new_target_is_healthy_after_one_good_answer() -> None:
    assert states([WELL]) == ["healthy"]


def test_a_new_target_is_unhealthy_after_as_many_failures_as_the_threshold_says() -> None:
    assert states([ILL, ILL, ILL]) == ["initial", "unhealthy", "unhealthy"]


def test_a_healthy_target_survives_failures_that_do_not_follow_each_other() -> None:
    assert states([WELL, ILL, WELL, ILL, WELL]) == ["healthy"] * 5


def test_an_unhealthy_target_comes_back_after_its_threshold_in_a_row() -> None:
    results = [ILL, ILL, WELL, WELL, ILL, WELL, WELL, WELL]
    assert states(results)[2:] == ["unhealthy"] * 5 + ["healthy"]


def test_an_unhealthy_target_tells_its_newest_reason() -> None:
    other = Result(well=False, reason="Target.ResponseCodeMismatch", description="[500]")
    assert after([ILL, ILL]).health.reason == "Target.Timeout"
    assert after([ILL, ILL, other]).health.reason == "Target.ResponseCodeMismatch"


def test_a_new_target_says_that_it_is_being_checked() -> None:
    assert Record().health == CHECKING
    assert CHECKING.reason == "Elb.InitialHealthChecking"


@pytest.mark.parametrize(("status", "well"), [(199, False), (200, True), (299, True), (300, False)])
def test_codes_count_up_to_both_ends_of_their_range(status: int, well: bool) -> None:
    assert judge(status, check()).well is well


def test_answers_and_silence_have_the_reasons_of_aws() -> None:
    with Server("x") as server:
        assert asked(server) == WELL
        server.health = 503
        mismatch = asked(server)
        assert mismatch.reason == "Target.ResponseCodeMismatch"
        assert mismatch.description == "Health checks failed with these codes: [503]"
        server.health = None
        assert asked(server, timeout_seconds=0.2).reason == "Target.Timeout"
        server.close()
        assert asked(server).reason == "Target.FailedHealthChecks"


def test_a_redirect_is_not_followed() -> None:
    with Server("x") as server:
        assert asked(server, path="/status/302").description == "Health checks failed with these codes: [302]"


def test_a_check_goes_to_its_own_port_if_it_has_one() -> None:
    with Server("traffic") as traffic, Server("checked") as checked:
        traffic.health = 500
        assert asked(traffic, port=checked.port) == WELL


def test_nothing_but_this_machine_is_ever_asked() -> None:
    async def once(host: str) -> Result:
        # No session: an attempt to connect would be an error of its own.
        return await ask(None, Target(host=host, port=80), check(), 1.0)  # type: ignore[arg-type]

    for host in ("192.0.2.1", "i-1234567890abcdef0", "example.com"):
        found = run(once(host))
        assert (found.well, found.reason) == (False, "Target.FailedHealthChecks")
        assert host in (found.description or "")


async def followed(targets: Targets, found: Snapshot, state: str, seconds: float = 10.0) -> None:
    """Follows, and waits until the only target has the state."""
    targets.follow(found)
    deadline = time.monotonic() + seconds
    while [health.state for health in targets.health(found.groups[0], used=True).values()] != [state]:
        assert time.monotonic() < deadline, f"never {state}"
        await asyncio.sleep(0.01)


def test_a_new_target_is_asked_at_once_and_not_a_whole_interval_later() -> None:
    async def scenario(server: Server) -> int:
        told: list[int] = []
        targets = Targets(lambda: told.append(1), speed=1)
        target = Target(host="127.0.0.1", port=server.port)
        try:
            await followed(targets, snapshot(target, interval_seconds=300.0), "healthy")
        finally:
            await targets.stop()
        return len(told)

    with Server("x") as server:
        assert run(scenario(server)) == 1, "the change was not told"


def test_a_target_that_starts_slowly_is_found_long_before_its_next_interval() -> None:
    async def scenario() -> None:
        targets = Targets(lambda: None, speed=1)
        with Server("x") as server:
            server.health = 503
            found = snapshot(Target(host="127.0.0.1", port=server.port), interval_seconds=300.0)
            try:
                await followed(targets, found, "initial")
                while server.health_checks < 4:
                    await asyncio.sleep(0.01)
                assert await _state(targets, found) == "initial", "early failures must not count"
                server.health = 200
                await followed(targets, found, "healthy")
            finally:
                await targets.stop()

    run(scenario())


async def _state(targets: Targets, found: Snapshot) -> str:
    (health,) = targets.health(found.groups[0], used=True).values()
    return health.state


def test_speed_divides_the_interval() -> None:
    async def scenario() -> None:
        targets = Targets(lambda: None, speed=100)
        with Server("x") as server:
            found = snapshot(Target(host="127.0.0.1", port=server.port), interval_seconds=10.0)
            try:
                await followed(targets, found, "healthy")
                server.health = 500
                await followed(targets, found, "unhealthy", 5)
            finally:
                await targets.stop()

    run(scenario())


def test_a_target_of_a_group_that_no_rule_uses_is_unused_and_not_asked() -> None:
    async def scenario() -> None:
        targets = Targets(lambda: None, speed=100)
        with Server("x") as server:
            found = snapshot(Target(host="127.0.0.1", port=server.port), used=False)
            targets.follow(found)
            await asyncio.sleep(0.3)
            (health,) = targets.health(found.groups[0], used=False).values()
            assert (health.state, health.reason) == ("unused", "Target.NotInUse")
            assert server.health_checks == 0
            assert targets.standing(found.groups[0], used=False) == {}
            await targets.stop()

    run(scenario())


def test_only_healthy_targets_are_offered_to_the_proxy() -> None:
    async def scenario() -> None:
        targets = Targets(lambda: None, speed=100)
        with Server("x") as server:
            target = Target(host="127.0.0.1", port=server.port)
            found = snapshot(target, interval_seconds=10.0)
            try:
                targets.follow(found)
                assert targets.standing(found.groups[0], used=True) == {}, "a new target gets no traffic"
                await followed(targets, found, "healthy")
                assert targets.standing(found.groups[0], used=True) == {target: "HEALTHY"}
                server.health = 500
                await followed(targets, found, "unhealthy")
                assert targets.standing(found.groups[0], used=True) == {target: "UNHEALTHY"}
            finally:
                await targets.stop()

    run(scenario())


def test_a_drain_ends_after_two_looks_without_a_request_and_not_before() -> None:
    async def scenario() -> None:
        targets = Targets(lambda: None, speed=100)
        with Server("x") as server:
            target = Target(host="127.0.0.1", port=server.port)
            await followed(targets, snapshot(target, interval_seconds=10.0), "healthy")
            leaving = snapshot(draining=[target])
            targets.follow(leaving)
            assert targets.standing(leaving.groups[0], used=True) == {target: "DRAINING"}
            place = (GROUP, "127.0.0.1", server.port)
            looks = [(False, 0), (True, 1), (True, 0), (True, 2), (True, 0)]
            for look in looks:
                assert targets.drained(leaving, [GROUP], {place: look}) == {}, look
            assert targets.drained(leaving, [GROUP], {place: (True, 0)}) == {GROUP: [target]}
            await targets.stop()

    run(scenario())


def test_a_target_that_never_had_traffic_leaves_at_once() -> None:
    async def scenario() -> None:
        targets = Targets(lambda: None, speed=1)
        target = Target(host="127.0.0.1", port=9)
        leaving = snapshot(draining=[target])
        targets.follow(leaving)
        assert targets.standing(leaving.groups[0], used=True) == {}
        assert targets.drained(leaving, [GROUP], {}) == {GROUP: [target]}
        await targets.stop()

    run(scenario())
