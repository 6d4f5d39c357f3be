"""Health of targets: real HTTP checks as the target group says, and how long a leaving target drains.

What a check's result means is pure (`observe`). `Targets` runs one task per target in the event loop of the
data plane. Rules and words are those of "Health checks for Application Load Balancer target groups".
"""

import asyncio
import ipaddress
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import aiohttp

from localcloud.aws.elbv2 import REGISTERING, Health
from localcloud.dataplane.balancers import Check, Snapshot, Target, TargetGroup

# While a target has never been well, it is asked this often besides the interval: AWS waits a whole interval,
# but nothing is gained by waiting here. Only answers that are well count then.
EAGER_SECONDS = 0.25
# However fast the schedule runs, a target gets this long to answer.
SHORTEST_TIMEOUT_SECONDS = 1.0
SHORTEST_INTERVAL_SECONDS = 0.05
AGENT = "ELB-HealthChecker/2.0"

HEALTHY = Health(state="healthy")
CHECKING = Health(
    state="initial", reason="Elb.InitialHealthChecking", description="Initial health checks in progress"
)
NOT_IN_USE = Health(
    state="unused",
    reason="Target.NotInUse",
    description="Target group is not configured to receive traffic from the load balancer",
)
NOT_CHECKED = Health(
    state="unavailable",
    reason="Target.HealthCheckDisabled",
    description="Health checks are not enabled for this target",
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """What one check found; reason and description say why it is not well, as AWS says it."""

    well: bool
    reason: str | None = None
    description: str | None = None


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is known of a target: its health, and how many equal results came in a row."""

    health: Health = CHECKING
    well_in_row: int = 0
    ill_in_row: int = 0


def observe(record: Record, result: Result, check: Check) -> Record:
    """The record after one more result.

    A new target is healthy after one good answer; all else takes as many in a row as the thresholds say.
    """
    if result.well:
        well = record.well_in_row + 1
        enough = 1 if record.health.state == "initial" else check.healthy_threshold
        health = HEALTHY if well >= enough else record.health
        return Record(health=health, well_in_row=well)
    ill = record.ill_in_row + 1
    found = Health(state="unhealthy", reason=result.reason, description=result.description)
    turns = ill >= check.unhealthy_threshold or record.health.state == "unhealthy"
    return Record(health=found if turns else record.health, ill_in_row=ill)


def judge(status: int, check: Check) -> Result:
    """What a status code means to a target group."""
    if any(first <= status <= last for first, last in check.codes):
        return Result(well=True)
    return Result(
        well=False,
        reason="Target.ResponseCodeMismatch",
        description=f"Health checks failed with these codes: [{status}]",
    )


async def ask(session: aiohttp.ClientSession, target: Target, check: Check, timeout_seconds: float) -> Result:
    """Asks a target once. Only this machine is ever asked: the embedded cloud has no other network."""
    if not _is_loopback(target.host):
        return Result(
            well=False,
            reason="Target.FailedHealthChecks",
            description=f"Health checks failed: {target.host} is not an address of this machine",
        )
    scheme = "https" if check.tls else "http"
    url = f"{scheme}://{target.host}:{check.port or target.port}{check.path}"
    limit = aiohttp.ClientTimeout(total=timeout_seconds)
    try:
        async with session.get(url, timeout=limit, allow_redirects=False, ssl=False) as answer:
            return judge(answer.status, check)
    except TimeoutError:
        return Result(well=False, reason="Target.Timeout", description="Request timed out")
    except (aiohttp.ClientError, OSError, ValueError):
        return Result(well=False, reason="Target.FailedHealthChecks", description="Health checks failed")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


Key = tuple[str, Target]


@dataclass(kw_only=True)
class _Drain:
    """A target that leaves. `seen_idle` counts the looks in a row that found it without a request."""

    since: float
    had_traffic: bool
    seen_idle: int = 0


# Two looks: a request that was on its way at the first one shows at the second.
IDLE_LOOKS = 2


class Targets:
    """The health of every target. `changed` is called whenever the health of one has changed.

    speed: divides intervals and timeouts. Deregistration delays stay as they are: a request that is under way
        does not become faster.
    """

    def __init__(self, changed: Callable[[], None], *, speed: float) -> None:
        self._changed = changed
        self._speed = speed
        self._records: dict[Key, Record] = {}
        self._tasks: dict[Key, tuple[Check, asyncio.Task[None]]] = {}
        self._drains: dict[Key, _Drain] = {}
        self._session: aiohttp.ClientSession | None = None

    def follow(self, snapshot: Snapshot) -> None:
        """Starts checks for what is new, and ends them for what is gone or in no use."""
        used = snapshot.users()
        wanted = {
            (group.arn, target): group.check
            for group in snapshot.groups
            if group.arn in used and group.check.enabled
            for target in group.targets
        }
        self._follow_drains(snapshot)
        for key, (check, task) in list(self._tasks.items()):
            if wanted.get(key) != check:
                task.cancel()
                del self._tasks[key]
        for key in [key for key in self._records if key not in wanted]:
            del self._records[key]
        for key, check in wanted.items():
            if key not in self._tasks:
                self._records.setdefault(key, Record())
                self._tasks[key] = check, asyncio.create_task(self._watch(key, check))

    def _follow_drains(self, snapshot: Snapshot) -> None:
        leaving = {(group.arn, target) for group in snapshot.groups for target in group.draining}
        for key in leaving - self._drains.keys():
            had_traffic = key in self._records and self._records[key].health.state != "initial"
            self._drains[key] = _Drain(since=time.monotonic(), had_traffic=had_traffic)
        for key in self._drains.keys() - leaving:
            del self._drains[key]

    async def _watch(self, key: Key, check: Check) -> None:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True, limit=0), headers={"User-Agent": AGENT}
            )
        interval = max(check.interval_seconds / self._speed, SHORTEST_INTERVAL_SECONDS)
        timeout = max(
            check.timeout_seconds / self._speed, min(check.timeout_seconds, SHORTEST_TIMEOUT_SECONDS)
        )
        due = time.monotonic()
        while True:
            result = await ask(self._session, key[1], check, timeout)
            now = time.monotonic()
            eager = self._records[key].health.state == "initial"
            if result.well or now >= due or not eager:
                self._learn(key, observe(self._records[key], result, check))
            if now >= due:
                due = max(due + interval, now)
            eager = self._records[key].health.state == "initial"
            await asyncio.sleep(min(EAGER_SECONDS, due - now) if eager else due - now)

    def _learn(self, key: Key, record: Record) -> None:
        before, self._records[key] = self._records[key], record
        if before.health != record.health:
            self._changed()

    def health(self, group: TargetGroup, *, used: bool) -> Mapping[Target, Health]:
        """What DescribeTargetHealth is to say of a group's registered targets."""
        if not used:
            return dict.fromkeys(group.targets, NOT_IN_USE)
        if not group.check.enabled:
            return dict.fromkeys(group.targets, NOT_CHECKED)
        known = {target: self._records.get((group.arn, target)) for target in group.targets}
        return {target: record.health if record else REGISTERING for target, record in known.items()}

    def standing(self, group: TargetGroup, *, used: bool) -> Mapping[Target, str]:
        """The same for Envoy: only healthy targets get new requests, draining ones keep those they have."""
        words = {"healthy": "HEALTHY", "unavailable": "HEALTHY", "unhealthy": "UNHEALTHY"}
        found = {
            target: words[health.state]
            for target, health in self.health(group, used=used).items()
            if health.state in words
        }
        leaving = [target for target in group.draining if self._had_traffic((group.arn, target))]
        return found | dict.fromkeys(leaving, "DRAINING")

    def _had_traffic(self, key: Key) -> bool:
        return key in self._drains and self._drains[key].had_traffic

    def draining(self) -> bool:
        """Whether any target is leaving."""
        return bool(self._drains)

    def drained(
        self,
        snapshot: Snapshot,
        served: Collection[str],
        in_flight: Mapping[tuple[str, str, int], tuple[bool, int]],
    ) -> dict[str, list[Target]]:
        """The targets that may go, by target group: nothing is under way there, or their delay is over.

        served: ARNs of the target groups that Envoy has at all.
        in_flight: what Envoy says of each target: whether it drains it, and its requests at this moment.
        """
        done: dict[str, list[Target]] = {}
        for group in snapshot.groups:
            for target in group.draining:
                drain = self._drains.get((group.arn, target))
                if drain is None:
                    continue
                known, active = in_flight.get((group.arn, target.host, target.port), (False, 0))
                drain.seen_idle = drain.seen_idle + 1 if known and active == 0 else 0
                over = time.monotonic() - drain.since >= group.deregistration_delay_seconds
                quiet = not drain.had_traffic or group.arn not in served
                if over or quiet or drain.seen_idle >= IDLE_LOOKS:
                    done.setdefault(group.arn, []).append(target)
        return done

    async def stop(self) -> None:
        """Ends all checks."""
        tasks = [task for _, task in self._tasks.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
