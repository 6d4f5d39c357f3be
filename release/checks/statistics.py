"""Is the new colour worse than the old one? Pure: figures in, a verdict out.

The rules, after Kayenta's canary analysis (https://github.com/spinnaker/kayenta):

1. **Same traffic, same time.** Figures are paired by period. Rates are compared, never counts, and each
   period weighs by what *both* colours had in it, so a bad minute of a shared database that falls into a
   step with other weights is no difference between the colours.
2. **One direction.** Only "worse" can fail: more errors, slower.
3. **Effect size.** A difference fails only if it is both certain and larger than what is tolerated.
4. **Too little traffic is a verdict of its own.** It is never a pass.

False alarms. With equal colours, a judge that looks often enough finds "certain" differences by chance. The
whole chance of a false alarm, `1 - confidence`, is therefore spent once over all looks and metrics: a third
each on errors, the tail and the median of the latency; and of each share, look number k gets 1/(k(k+1)),
which adds up to no more than 1 for ever (a union bound: it holds however the looks depend on each other).
A look is a complete period since the comparison began; polls between two periods see the same figures and
say the same. Early looks get the most, so a plain failure is caught at once.
"""

import importlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, median
from typing import Any

from infra.settings import AnalysisSettings
from release.ports import Outcome, Verdict

# Shares of the chance of a false alarm.
ERRORS_SHARE = 1 / 3
LATENCY_SHARE = 1 / 3
# The paired test can't be certain before the eighth period, and then gains a factor of 2 with each.
PAIRED_FIRST = 8
PAIRED_EVERY = 4
# Above this many failed requests the exact distribution is slow to add up and the normal one as good.
EXACT_ERRORS = 2000
# Below this many periods the rank test counts all orders one by one where values are equal.
ENUMERATED_PERIODS = 8
# A percentile of fewer requests than these is little more than their maximum, and grows with their number:
# the colour with more traffic would look slower. Three requests lie beyond each.
TAILS: Mapping[str, int] = {"p99": 300, "p90": 30}
MEDIAN = "p50"
# Percent. A percentile of few requests lies a little lower than that of many, so a colour with nine times
# the traffic looks up to this much slower. A smaller rise is never concluded from such figures.
SMALLEST_RISE = 3.0


@dataclass(frozen=True, kw_only=True)
class Period:
    """What one colour did in one period.

    errors: requests of these that failed.
    latency: seconds by percentile ("p50", "p90", "p99"); empty without a request.
    """

    requests: int
    errors: int
    latency: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The same period of both colours."""

    new: Period
    old: Period


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Failed requests of the new colour less those of the old one, as shares of 1.

    new, old: rates, each period weighing by what both colours had in it.
    lower, upper: one-sided bounds of the difference.
    """

    new: float
    old: float
    lower: float
    upper: float


def chance(total: float, look: int) -> float:
    """What the given look may spend of the chance of a false alarm; looks count from 1."""
    return total / (look * (look + 1))


def fewest_periods(chance_of_alarm: float) -> int:
    """The least number of periods with which a rank test can be that certain at all.

    With n periods of each colour there are (2n over n) orders, and just one has all of the new ones last.
    """
    periods = 1
    while 1 / math.comb(2 * periods, periods) > chance_of_alarm:
        periods += 1
    return periods


def judge_errors(pairs: Sequence[Pair], look: int, limits: AnalysisSettings) -> Verdict:
    """Whether the new colour fails more of its requests, by more than the tolerated percentage points.

    FAIL needs two things: the lower bound of the difference lies above the tolerance, and Fisher's exact
    test, period by period, does not take it for chance.
    """
    source = "error rate"
    if missing := too_few_requests(pairs, limits.minimum_requests):
        return _verdict(Outcome.INSUFFICIENT, source, missing)
    both = [pair for pair in pairs if pair.new.requests and pair.old.requests]
    if not both:
        return _verdict(
            Outcome.INSUFFICIENT,
            source,
            "the colours had no requests in the same minutes, so there is nothing to compare",
        )
    alarm = chance(ERRORS_SHARE * _alarm(limits), look)
    tolerated = limits.max_error_rate_increase_percent / 100
    found = difference(both, alarm)
    failed = found.lower > tolerated and chance_of_errors(both) <= alarm
    return _verdict(
        Outcome.FAIL if failed else Outcome.PASS,
        source,
        (
            f"{found.new:.2%} of the new colour's requests failed and {found.old:.2%} of the old one's; "
            f"the difference is {100 * found.lower:+.2f} to {100 * found.upper:+.2f} percentage points, "
            f"tolerated {100 * tolerated:+.2f} ({_requests(both)})"
        ),
    )


def difference(pairs: Sequence[Pair], alarm: float) -> Difference:
    """The difference of the error rates, with bounds that are each wrong with a chance of `alarm`.

    Mantel-Haenszel weights. The bounds of both rates are joined by Newcombe's method, square and add
    (https://doi.org/10.1002/(SICI)1097-0258(19980430)17:8<873::AID-SIM779>3.0.CO;2-I), with the numbers of
    requests that the weights leave. Every period has to have requests of both colours.
    """
    weights = [
        pair.new.requests * pair.old.requests / (pair.new.requests + pair.old.requests) for pair in pairs
    ]
    new, new_requests = _weighted([pair.new for pair in pairs], weights)
    old, old_requests = _weighted([pair.old for pair in pairs], weights)
    new_low, new_high = _bounds(new, new_requests, alarm)
    old_low, old_high = _bounds(old, old_requests, alarm)
    return Difference(
        new=new,
        old=old,
        lower=new - old - math.hypot(new - new_low, old_high - old),
        upper=new - old + math.hypot(new_high - new, old - old_low),
    )


def _weighted(periods: Sequence[Period], weights: Sequence[float]) -> tuple[float, float]:
    """The weighted rate, and how many requests an unweighted rate of the same certainty would have."""
    total = sum(weights)
    rate = sum(w * p.errors / p.requests for w, p in zip(weights, periods, strict=True)) / total
    return rate, total**2 / sum(w**2 / p.requests for w, p in zip(weights, periods, strict=True))


def _bounds(rate: float, requests: float, alarm: float) -> tuple[float, float]:
    """Clopper's and Pearson's bounds of a rate, for a number of requests that need not be whole.

    Wilson's are closer, and too sure where failures are few: simulated at 0.2 % against 1.2 %, they
    raised twice the false alarms that they promise.
    """
    _, stats = _libraries()
    failed = rate * requests
    low = stats.beta.ppf(alarm, failed, requests - failed + 1) if failed > 0 else 0.0
    high = stats.beta.ppf(1 - alarm, failed + 1, requests - failed) if failed < requests else 1.0
    return float(low), float(high)


def chance_of_errors(pairs: Sequence[Pair]) -> float:
    """The chance that equal colours give the new one this many failures or more.

    Fisher's exact test in each period, all added up: given a period's failures, how they fall on two equal
    colours is hypergeometric.
    """
    strata = [pair for pair in pairs if pair.new.errors + pair.old.errors]
    observed = sum(pair.new.errors for pair in strata)
    if not strata:
        return 1.0
    if sum(pair.new.errors + pair.old.errors for pair in strata) > EXACT_ERRORS:
        return _chance_of_many_errors(strata, observed)
    numpy, stats = _libraries()
    distribution = numpy.ones(1)
    for pair in strata:
        failed = pair.new.errors + pair.old.errors
        requests = pair.new.requests + pair.old.requests
        law = stats.hypergeom.pmf(range(failed + 1), requests, failed, pair.new.requests)
        distribution = numpy.convolve(distribution, law)
    return float(min(1.0, distribution[observed:].sum()))


def _chance_of_many_errors(strata: Sequence[Pair], observed: int) -> float:
    """The same by the normal law (Cochran, Mantel and Haenszel), with the correction for continuity."""
    expected = variance = 0.0
    for pair in strata:
        failed = pair.new.errors + pair.old.errors
        requests = pair.new.requests + pair.old.requests
        share = pair.new.requests / requests
        expected += failed * share
        variance += failed * share * (1 - share) * (requests - failed) / max(1, requests - 1)
    if variance == 0:
        return 1.0
    return NormalDist().cdf(-(observed - expected - 0.5) / math.sqrt(variance))


def judge_latency(pairs: Sequence[Pair], look: int, limits: AnalysisSettings) -> Verdict:
    """Whether the new colour is slower, by more than the tolerated percentage.

    The load balancer tells percentiles of each period, not single requests. So the percentiles of the
    periods are ranked, after the new colour's are divided by what is tolerated: only a rise beyond the
    tolerance can be significant. Judged are the tail (p99; p90 where a period has too few requests to know
    a p99) and the median, each by two tests that share its chance of a false alarm: Mann-Whitney, which is
    quick while traffic is steady, and Wilcoxon's signed ranks of the pairs, which see a difference under
    a latency that goes up and down for both colours.
    """
    source = "latency"
    if missing := too_few_requests(pairs, limits.minimum_requests):
        return _verdict(Outcome.INSUFFICIENT, source, missing)
    share = LATENCY_SHARE * _alarm(limits) / 2
    # Before a first verdict is possible no chance is spent.
    first = fewest_periods(chance(share, 1))
    needed = fewest_periods(chance(share, max(1, look - first + 1)))
    tail, usable = _tail(pairs, needed)
    if tail is None:
        return _verdict(Outcome.INSUFFICIENT, source, _too_few_periods(usable, needed))
    tolerated = max(SMALLEST_RISE, limits.max_latency_increase_percent)
    percentiles = (tail, MEDIAN)
    slower = [
        name for name in percentiles if _is_slower(usable, name, 1 + tolerated / 100, share, look - first + 1)
    ]
    figures = "; ".join(_compared(usable, name) for name in percentiles)
    verdict = f"{' and '.join(slower)} rose by more than" if slower else "no certain rise beyond"
    return _verdict(
        Outcome.FAIL if slower else Outcome.PASS,
        source,
        (f"{figures}; {verdict} the tolerated {tolerated:g} % ({len(usable)} periods, {_requests(usable)})"),
    )


def _verdict(outcome: Outcome, source: str, reason: str) -> Verdict:
    return Verdict(outcome=outcome, source=source, reason=reason, comparative=True)


def too_few_requests(pairs: Sequence[Pair], wanted: int) -> str | None:
    """Why nothing can be concluded from this traffic, or None."""
    new = sum(pair.new.requests for pair in pairs)
    old = sum(pair.old.requests for pair in pairs)
    if min(new, old) >= wanted:
        return None
    return (
        f"{new:,} requests of the new colour and {old:,} of the old one over {len(pairs)} complete periods; "
        f"{wanted:,} of each are needed (minimum_requests)"
    )


def _tail(pairs: Sequence[Pair], needed: int) -> tuple[str | None, Sequence[Pair]]:
    """The highest percentile that enough periods have requests for, and those periods."""
    usable: Sequence[Pair] = []
    for name, requests in TAILS.items():
        usable = [pair for pair in pairs if _knows(pair, name, requests)]
        if len(usable) >= needed:
            return name, usable
    return None, usable


def _knows(pair: Pair, name: str, requests: int) -> bool:
    return all(
        period.requests >= requests and {name, MEDIAN} <= period.latency.keys()
        for period in (pair.new, pair.old)
    )


def _too_few_periods(usable: Sequence[Pair], needed: int) -> str:
    return (
        f"{len(usable)} periods have {TAILS['p90']} requests of each colour or more; {needed} are needed "
        "to compare latencies (a longer step or a larger share of traffic gives them)"
    )


def _is_slower(pairs: Sequence[Pair], name: str, tolerated: float, share: float, look: int) -> bool:
    new = [pair.new.latency[name] / tolerated for pair in pairs]
    old = [pair.old.latency[name] for pair in pairs]
    if median(new) > median(old) and chance_of_ranks(new, old) <= chance(share, look):
        return True
    # The paired test looks at whole blocks of periods only: each further look would cost it certainty.
    blocks = (len(pairs) - PAIRED_FIRST) // PAIRED_EVERY
    if blocks < 0:
        return False
    seen = PAIRED_FIRST + PAIRED_EVERY * blocks
    return chance_of_pairs(new[:seen], old[:seen]) <= chance(share, 1 + max(blocks, look // PAIRED_EVERY - 1))


def chance_of_ranks(new: Sequence[float], old: Sequence[float]) -> float:
    """The chance that equal colours rank the new one's values this high or higher (Mann-Whitney)."""
    _, stats = _libraries()
    ties = len({*new, *old}) < len(new) + len(old)
    few = max(len(new), len(old)) <= ENUMERATED_PERIODS
    # The exact law knows no equal values; for a few, all orders can be tried.
    method: Any = stats.PermutationMethod(n_resamples=math.inf) if ties and few else "auto"
    return float(stats.mannwhitneyu(new, old, alternative="greater", method=method).pvalue)


def chance_of_pairs(new: Sequence[float], old: Sequence[float]) -> float:
    """The chance that equal colours differ this much or more in the same periods (Wilcoxon)."""
    ratios = [math.log(n / o) for n, o in zip(new, old, strict=True) if n > 0 and o > 0 and n != o]
    if not ratios or median(ratios) <= 0:
        return 1.0
    _, stats = _libraries()
    return float(stats.wilcoxon(ratios, alternative="greater").pvalue)


def _compared(pairs: Sequence[Pair], name: str) -> str:
    new = median(pair.new.latency[name] for pair in pairs)
    old = median(pair.old.latency[name] for pair in pairs)
    rise = f" ({100 * (new / old - 1):+.0f} %)" if old > 0 else ""
    return f"{name} {1000 * new:.0f} ms against {1000 * old:.0f} ms{rise}"


def _requests(pairs: Sequence[Pair]) -> str:
    new = sum(pair.new.requests for pair in pairs)
    old = sum(pair.old.requests for pair in pairs)
    return f"{new:,} requests against {old:,}"


def _alarm(limits: AnalysisSettings) -> float:
    return 1 - limits.confidence_percent / 100


def _libraries() -> tuple[Any, Any]:
    """numpy and scipy.stats. Loading them takes a second, which a command without a verdict need not pay."""
    return importlib.import_module("numpy"), importlib.import_module("scipy.stats")
