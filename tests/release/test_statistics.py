"""The judges' arithmetic: against known values, against chance, and against versions that are worse."""

import math
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats  # type: ignore[import-untyped]

from infra.settings import AnalysisSettings
from release.checks.statistics import (
    Pair,
    Period,
    chance,
    chance_of_errors,
    chance_of_pairs,
    chance_of_ranks,
    difference,
    fewest_periods,
    judge_errors,
    judge_latency,
)
from release.ports import Outcome, Verdict

STEADY = {"p50": 0.05, "p90": 0.12, "p99": 0.3}
Judge = Callable[[Sequence[Pair], int, AnalysisSettings], Verdict]


def limits(
    *, requests: int = 200, confidence: float = 95, points: float = 0.5, percent: float = 20
) -> AnalysisSettings:
    return AnalysisSettings(
        minimum_requests=requests,
        confidence_percent=confidence,
        max_error_rate_increase_percent=points,
        max_latency_increase_percent=percent,
    )


def period(requests: int, errors: int = 0, factor: float = 1.0) -> Period:
    latency = {name: seconds * factor for name, seconds in STEADY.items()} if requests else {}
    return Period(requests=requests, errors=errors, latency=latency)


def errors_of(new: tuple[int, int], old: tuple[int, int]) -> Pair:
    return Pair(new=period(*new), old=period(*old))


# --- known values


def test_one_period_is_fishers_exact_test() -> None:
    pair = errors_of((300, 7), (2700, 20))
    expected = stats.fisher_exact([[7, 293], [20, 2680]], alternative="greater").pvalue
    assert chance_of_errors([pair]) == pytest.approx(expected)


def test_several_periods_are_added_up_each_by_itself() -> None:
    pairs = [errors_of((3, 1), (3, 1)), errors_of((2, 1), (4, 1))]
    told = 0.0
    for first in combinations(range(6), 3):
        for second in combinations(range(6), 2):
            # Failures are requests 0 and 1 of each period; the new colour has those that were drawn.
            failures = sum(n < 2 for n in first) + sum(n < 2 for n in second)
            told += failures >= 2
    assert chance_of_errors(pairs) == pytest.approx(told / (math.comb(6, 3) * math.comb(6, 2)))


def test_many_errors_give_what_few_would() -> None:
    few = [errors_of((1000, 55), (9000, 400)), errors_of((5000, 260), (5000, 240))]
    exact = chance_of_errors(few)
    many = [errors_of((100_000, 5200), (900_000, 45_500))]
    assert sum(pair.new.errors + pair.old.errors for pair in many) > 2000, "the other way is taken"
    expected = stats.hypergeom.sf(5199, 1_000_000, 50_700, 100_000)
    assert chance_of_errors(many) == pytest.approx(expected, rel=0.02)
    assert 0 < exact < 1


def test_the_bounds_are_exact_ones_joined_by_square_and_add() -> None:
    found = difference([errors_of((70, 56), (80, 48))], 0.025)
    new, old = stats.binomtest(56, 70).proportion_ci(), stats.binomtest(48, 80).proportion_ci()
    lower = 0.2 - math.hypot(0.8 - new.low, old.high - 0.6)
    upper = 0.2 + math.hypot(new.high - 0.8, 0.6 - old.low)
    assert [found.lower, found.upper] == pytest.approx([lower, upper])


def test_several_periods_of_one_share_are_as_one() -> None:
    one = difference([errors_of((100, 9), (900, 27))], 0.05)
    three = difference(
        [errors_of((20, 4), (180, 7)), errors_of((30, 0), (270, 20)), errors_of((50, 5), (450, 0))], 0.05
    )
    assert [three.lower, three.upper] == pytest.approx([one.lower, one.upper])


def test_no_errors_at_all_still_leave_doubt() -> None:
    found = difference([errors_of((100, 0), (100, 0))], 0.05)
    assert found.lower < 0 < found.upper


@pytest.mark.parametrize(("alarm", "periods"), [(0.05, 3), (0.0499, 4), (0.004, 5), (0.0011, 6)])
def test_fewest_periods_are_where_the_ranks_can_be_that_certain(alarm: float, periods: int) -> None:
    assert fewest_periods(alarm) == periods
    surest = chance_of_ranks(range(periods, 2 * periods), range(periods))
    assert surest <= alarm
    assert chance_of_ranks(range(periods - 1, 2 * periods - 2), range(periods - 1)) > alarm


def test_equal_values_are_not_taken_for_certainty() -> None:
    # 3 of 4 new values tie with old ones: of the 70 ways to draw 4 of 8, 35 rank as high or higher.
    assert chance_of_ranks([2.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]) == pytest.approx(0.5)


def test_pairs_that_all_point_one_way_are_a_power_of_two() -> None:
    new = [1.3 + 0.01 * n for n in range(8)]
    assert chance_of_pairs(new, [1.0] * 8) == pytest.approx(2**-8)
    assert chance_of_pairs([1.0] * 8, new) == 1.0, "faster is never a fault"


def test_all_looks_together_spend_no_more_than_there_is() -> None:
    assert sum(chance(0.05, look) for look in range(1, 100_000)) < 0.05


# --- outcomes


@pytest.mark.parametrize("judge", [judge_errors, judge_latency])
@pytest.mark.parametrize(("new", "old"), [(199, 5000), (5000, 199), (0, 0)])
def test_too_few_requests_of_either_colour_conclude_nothing(judge: Judge, new: int, old: int) -> None:
    pairs = [errors_of((new, new), (old, 0))]
    verdict = judge(pairs, 1, limits(requests=200))
    assert verdict.outcome is Outcome.INSUFFICIENT, "not even when everything failed"
    assert f"{new:,} requests of the new colour" in verdict.reason
    assert "minimum_requests" in verdict.reason


@pytest.mark.parametrize("judge", [judge_errors, judge_latency])
def test_no_period_at_all_concludes_nothing(judge: Judge) -> None:
    assert judge([], 1, limits(requests=1)).outcome is Outcome.INSUFFICIENT


@pytest.mark.parametrize("judge", [judge_errors, judge_latency])
def test_traffic_in_other_minutes_compares_nothing(judge: Judge) -> None:
    pairs = [errors_of((500, 500), (0, 0)), errors_of((0, 0), (500, 0))] * 10
    assert judge(pairs, 20, limits()).outcome is Outcome.INSUFFICIENT


def test_plainly_more_errors_fail_at_the_first_look() -> None:
    verdict = judge_errors([errors_of((300, 30), (2700, 3))], 1, limits())
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason.startswith("10.00% of the new colour's requests failed and 0.11% of the old one's")
    assert "tolerated +0.50" in verdict.reason


def test_a_certain_difference_that_is_tolerated_passes() -> None:
    pairs = [errors_of((100_000, 1400), (100_000, 1000))]
    assert chance_of_errors(pairs) < 1e-10
    assert judge_errors(pairs, 1, limits(points=0.5)).outcome is Outcome.PASS
    assert judge_errors(pairs, 1, limits(points=0.2)).outcome is Outcome.FAIL


def test_a_large_difference_that_may_be_chance_passes() -> None:
    verdict = judge_errors([errors_of((200, 2), (200, 0))], 1, limits(points=0))
    assert verdict.outcome is Outcome.PASS


def test_fewer_errors_never_fail() -> None:
    assert judge_errors([errors_of((5000, 0), (5000, 2500))], 1, limits(points=0)).outcome is Outcome.PASS


def test_everything_failing_on_both_colours_is_no_difference() -> None:
    assert judge_errors([errors_of((500, 500), (4500, 4500))], 1, limits(points=0)).outcome is Outcome.PASS


def test_a_bad_minute_of_both_colours_is_no_difference_whatever_the_weights_were() -> None:
    # Added up over the hour, the new colour has 9 % of failures and the old one 1 %: Simpson's paradox.
    pairs = [errors_of((100, 0), (900, 0)), errors_of((900, 90), (100, 10))]
    assert judge_errors(pairs, 2, limits(points=0)).outcome is Outcome.PASS


def test_a_later_look_needs_a_larger_difference() -> None:
    pairs = [errors_of((1000, 11), (1000, 1))]
    assert judge_errors(pairs, 1, limits(points=0)).outcome is Outcome.FAIL
    assert judge_errors(pairs, 30, limits(points=0)).outcome is Outcome.PASS


def wavering(factor: float, count: int, requests: tuple[int, int] = (1000, 1000)) -> list[Pair]:
    """Periods whose latency goes up and down a little, the new colour's by another rhythm."""
    return [
        Pair(
            new=period(requests[0], factor=factor * (1 + 0.01 * (n * 7 % 5))),
            old=period(requests[1], factor=1 + 0.01 * (n * 3 % 5)),
        )
        for n in range(count)
    ]


def test_a_slower_colour_fails_as_soon_as_that_can_be_certain() -> None:
    assert judge_latency(wavering(2, 4), 4, limits()).outcome is Outcome.INSUFFICIENT
    verdict = judge_latency(wavering(2, 5), 5, limits())
    assert verdict.outcome is Outcome.FAIL
    assert "p99 and p50 rose by more than the tolerated 20 %" in verdict.reason
    assert "ms against" in verdict.reason


def test_more_confidence_needs_more_periods() -> None:
    assert judge_latency(wavering(2, 5), 5, limits(confidence=99)).outcome is Outcome.INSUFFICIENT
    assert judge_latency(wavering(2, 7), 7, limits(confidence=99)).outcome is Outcome.FAIL


def test_a_tolerated_rise_of_latency_passes() -> None:
    assert judge_latency(wavering(1.15, 20), 20, limits(percent=20)).outcome is Outcome.PASS
    assert judge_latency(wavering(1.15, 20), 20, limits(percent=5)).outcome is Outcome.FAIL


def test_faster_never_fails() -> None:
    assert judge_latency(wavering(0.3, 30), 30, limits(percent=0)).outcome is Outcome.PASS


def test_a_slow_tail_alone_fails() -> None:
    pairs = [
        Pair(
            new=Period(requests=1000, errors=0, latency={**STEADY, "p99": 1.5 + 0.01 * n}),
            old=Period(requests=1000, errors=0, latency={**STEADY, "p99": 0.3 + 0.01 * n}),
        )
        for n in range(6)
    ]
    assert "p99 rose by more than" in judge_latency(pairs, 6, limits()).reason


def test_a_slow_median_alone_fails() -> None:
    pairs = [
        Pair(
            new=Period(requests=1000, errors=0, latency={**STEADY, "p50": 0.1 + 0.001 * n}),
            old=Period(requests=1000, errors=0, latency={**STEADY, "p50": 0.05 + 0.001 * n}),
        )
        for n in range(6)
    ]
    assert "p50 rose by more than" in judge_latency(pairs, 6, limits()).reason


def test_with_few_requests_a_lower_percentile_is_judged_and_named() -> None:
    verdict = judge_latency(wavering(2, 6, requests=(60, 540)), 6, limits())
    assert verdict.outcome is Outcome.FAIL
    assert "p90" in verdict.reason
    assert "p99" not in verdict.reason


def test_with_too_few_requests_in_each_period_latency_concludes_nothing() -> None:
    verdict = judge_latency(wavering(3, 30, requests=(29, 900)), 30, limits())
    assert verdict.outcome is Outcome.INSUFFICIENT
    assert "0 periods have 30 requests" in verdict.reason


def test_gaps_do_not_make_a_verdict_of_too_few_periods() -> None:
    # At the fortieth look each test may spend little, which six periods can't reach.
    assert judge_latency(wavering(3, 6), 40, limits()).outcome is Outcome.INSUFFICIENT


def test_a_slower_colour_is_seen_through_ups_and_downs_of_both() -> None:
    waves = [1, 4, 2, 8, 1.5, 6, 3, 10]
    pairs = [
        Pair(new=period(1000, factor=1.5 * wave * (1 + 0.01 * n)), old=period(1000, factor=wave))
        for n, wave in enumerate(waves)
    ]
    assert chance_of_ranks([p.new.latency["p99"] for p in pairs], [p.old.latency["p99"] for p in pairs]) > 0.1
    assert judge_latency(pairs, 8, limits()).outcome is Outcome.FAIL


counts = st.integers(0, 5000)


@st.composite
def periods(draw: st.DrawFn) -> Period:
    requests = draw(counts)
    seconds = sorted(draw(st.lists(st.floats(0, 60), min_size=3, max_size=3)))
    return Period(
        requests=requests,
        errors=draw(st.integers(0, requests)),
        latency=dict(zip(STEADY, seconds, strict=True)) if requests and draw(st.booleans()) else {},
    )


@given(
    pairs=st.lists(st.builds(lambda new, old: Pair(new=new, old=old), periods(), periods()), max_size=12),
    more=st.integers(0, 500),
    judge=st.sampled_from([judge_errors, judge_latency]),
    points=st.floats(0, 100),
    percent=st.floats(0, 500),
)
@settings(max_examples=400, deadline=None)
def test_whatever_the_figures_are_there_is_a_verdict_and_thin_traffic_is_never_a_pass(
    pairs: list[Pair], more: int, judge: Judge, points: float, percent: float
) -> None:
    asked = limits(requests=100, points=points, percent=percent)
    verdict = judge(pairs, max(1, len(pairs) + more), asked)
    assert verdict.reason
    thin = min(sum(p.new.requests for p in pairs), sum(p.old.requests for p in pairs)) < 100
    if thin:
        assert verdict.outcome is Outcome.INSUFFICIENT
    for pair in pairs:
        for one in (pair.new, pair.old):
            assert one.errors <= one.requests


@given(
    pairs=st.lists(st.builds(lambda new, old: Pair(new=new, old=old), periods(), periods()), max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_never_do_both_colours_have_more_errors_than_the_other(pairs: list[Pair]) -> None:
    swapped = [Pair(new=pair.old, old=pair.new) for pair in pairs]
    asked = limits(requests=1, points=0)
    both = {judge_errors(pairs, 1, asked).outcome, judge_errors(swapped, 1, asked).outcome}
    assert both != {Outcome.FAIL}


# --- simulated releases

RELEASES = 2000
PERIODS = 14


class Releases:
    """Releases by chance: shares in steps, latency and errors that also have bad minutes for both colours."""

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def one(
        self, judges: Sequence[Judge], asked: AnalysisSettings, *, errors: float = 1, slower: float = 1
    ) -> dict[str, Outcome]:
        """How a release ends that asks at every period, stopping at the first failure, by judge."""
        found: dict[str, Outcome] = {}
        pairs: list[Pair] = []
        for look in range(1, PERIODS + 1):
            pairs.append(self._pair((0.1, 0.25, 0.5)[(look - 1) * 3 // PERIODS], errors, slower))
            for judge in judges:
                verdict = judge(pairs, look, asked)
                if found.get(verdict.source) is not Outcome.FAIL:
                    found[verdict.source] = verdict.outcome
        return found

    def _pair(self, share: float, errors: float, slower: float) -> Pair:
        total = int(self._random.poisson(1500))
        new = int(self._random.binomial(total, share))
        rate = 0.002 * (30 if self._random.random() < 0.05 else 1)
        wave = math.exp(0.3 * self._random.standard_normal())
        return Pair(
            new=self._period(new, min(1.0, rate * errors), wave * slower),
            old=self._period(total - new, rate, wave),
        )

    def _period(self, requests: int, rate: float, middle: float) -> Period:
        errors = int(self._random.binomial(requests, rate))
        seconds = 0.1 * middle * np.exp(0.6 * self._random.standard_normal(requests))
        at = np.percentile(seconds, [50, 90, 99])
        return Period(
            requests=requests,
            errors=errors,
            latency={name: float(value) for name, value in zip(STEADY, at, strict=True)},
        )


def test_equal_colours_are_seldom_called_unequal() -> None:
    # The strictest settings there are: nothing is tolerated, so that chance alone decides.
    asked = limits(points=0, percent=0, confidence=95)
    world = Releases(seed=4)
    ends = [world.one([judge_errors, judge_latency], asked) for _ in range(RELEASES)]
    alarms = sum(Outcome.FAIL in end.values() for end in ends)
    assert alarms / RELEASES <= 0.05, f"{alarms} false alarms in {RELEASES} releases"
    assert all(end["error rate"] is not Outcome.INSUFFICIENT for end in ends), "they were really judged"
    assert all(end["latency"] is not Outcome.INSUFFICIENT for end in ends), "they were really judged"


def test_as_many_errors_as_are_tolerated_are_seldom_too_many() -> None:
    # 0.2 % of the old colour's requests fail and 1.2 % of the new one's: exactly the point that is allowed.
    random = np.random.default_rng(5)
    asked = limits(points=1.0, confidence=95)
    alarms = 0
    for _ in range(RELEASES):
        pairs: list[Pair] = []
        for look in range(1, PERIODS + 1):
            pairs.append(
                errors_of(
                    (200, int(random.binomial(200, 0.012))),
                    (1800, int(random.binomial(1800, 0.002))),
                )
            )
            if judge_errors(pairs, look, asked).outcome is Outcome.FAIL:
                alarms += 1
                break
    assert alarms / RELEASES <= 0.05 / 3, f"{alarms} false alarms in {RELEASES} releases"


def test_a_version_with_plainly_more_errors_is_found() -> None:
    world = Releases(seed=6)
    ends = [world.one([judge_errors], limits(), errors=12) for _ in range(400)]
    found = sum(end["error rate"] is Outcome.FAIL for end in ends)
    assert found / len(ends) > 0.95, f"{found} of {len(ends)}"


def test_a_version_that_is_plainly_slower_is_found() -> None:
    world = Releases(seed=7)
    ends = [world.one([judge_latency], limits(), slower=1.6) for _ in range(400)]
    found = sum(end["latency"] is Outcome.FAIL for end in ends)
    assert found / len(ends) > 0.95, f"{found} of {len(ends)}"
