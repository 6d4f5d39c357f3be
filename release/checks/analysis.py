"""The analysis of a release: the new colour against the old one over the same minutes, and own checks."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING

from components.colours import Colour
from infra.settings import AnalysisSettings, CheckSettings
from release.aws.outputs import StackParts
from release.checks.sources import own_check, read_pairs, window
from release.checks.statistics import judge_errors, judge_latency
from release.ports import Verdict

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

# The load balancer reports once a minute.
PERIOD_SECONDS = 60
# A period's figures come in for about that long after its end.
SETTLE_SECONDS = 60.0
# Older periods say little of how the new colour does now, and would hide that it has turned bad.
WINDOW_PERIODS = 30
CHECKS_AT_ONCE = 8


class Analysis:
    """The `Analyst` port over CloudWatch and the checks in the stack's settings.

    cloudwatch: with bounded retries, as `release.aws.session.Clients` makes it.
    limits: how the colours are compared; None: they are not, alarms and own checks decide.
    checks: own checks by service.
    period_seconds: how often the load balancer reports.
    settle_seconds: how long after its end a period may still be filled.
    began: when the release in progress began, None outside of one. Known, a comparison goes over all stages
        that this object was asked about, not only the newest: each minute makes it surer, and the chance of
        a false alarm is spent once for the release and not again at each step.
    """

    def __init__(
        self,
        cloudwatch: "CloudWatchClient",
        parts: StackParts,
        *,
        limits: AnalysisSettings | None,
        checks: Mapping[str, Sequence[CheckSettings]],
        period_seconds: int = PERIOD_SECONDS,
        settle_seconds: float = SETTLE_SECONDS,
        began: Callable[[], datetime | None] = lambda: None,
    ) -> None:
        self._cloudwatch = cloudwatch
        self._parts = parts
        self._limits = limits
        self._checks = checks
        self._period = period_seconds
        self._settle = settle_seconds
        self._began = began
        self._first_stage: dict[tuple[datetime, str, Colour], datetime] = {}

    def judge(
        self, service: str, new: Colour, old: Colour, since: datetime, until: datetime
    ) -> Sequence[Verdict]:
        """One verdict on errors, one on latency, one for each own check.

        Raises Unavailable if CloudWatch does not answer, unless an own check has failed already: what is
        known to be bad needs no further witness.
        """
        with ThreadPoolExecutor(CHECKS_AT_ONCE, thread_name_prefix="check") as pool:
            opinions = pool.submit(self.ask, service, new)
            try:
                compared = self.compare(service, new, old, since, until)
            except Exception:
                failed = [verdict for verdict in opinions.result() if verdict.outcome == "fail"]
                if failed:
                    return failed
                raise
            return [*compared, *opinions.result()]

    def compare(
        self, service: str, new: Colour, old: Colour, since: datetime, until: datetime
    ) -> Sequence[Verdict]:
        """The verdicts on errors and latency alone; none where the settings want no comparison."""
        if self._limits is None:
            return []
        seen = window(
            self._comparison_began(service, new, since),
            until,
            period_seconds=self._period,
            settle_seconds=self._settle,
            at_most=WINDOW_PERIODS,
        )
        pairs = read_pairs(self._cloudwatch, self._parts.service(service), new, old, seen, self._period)
        look = max(1, seen.look)
        return [judge_errors(pairs, look, self._limits), judge_latency(pairs, look, self._limits)]

    def _comparison_began(self, service: str, new: Colour, since: datetime) -> datetime:
        began = self._began()
        if began is None:
            return since
        first = self._first_stage.get((began, service, new), since)
        self._first_stage[began, service, new] = min(first, since)
        return min(first, since)

    def ask(self, service: str, new: Colour) -> Sequence[Verdict]:
        """What the user's own checks say of the new colour, asked side by side, in the settings' order."""
        checks = self._checks.get(service, ())
        if not checks:
            return []
        variables = {
            "SERVICE": service,
            "COLOUR": new,
            "TEST_URL": self._parts.test_url,
            "PRODUCTION_URL": self._parts.production_url,
        }
        with ThreadPoolExecutor(min(len(checks), CHECKS_AT_ONCE), thread_name_prefix="check") as pool:
            return list(pool.map(lambda check: own_check(check, variables), checks))
