"""The data plane of the load balancers: one thread that ties moto's state to Envoy, and Envoy back to moto.

Several times a second it looks at moto's load balancers. What changed goes to Envoy as files; the health of
targets, requests and times go back: DescribeTargetHealth, CloudWatch's metrics, the state of alarms, and the
desired count of services that scale.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

import aiohttp

from localcloud.aws import cloudwatch, elbv2
from localcloud.dataplane import alarms, metrics
from localcloud.dataplane.balancers import Snapshot, Target, moto_group, read
from localcloud.dataplane.bindings import ListenerAddress, addresses, bind
from localcloud.dataplane.envoy import Envoy
from localcloud.dataplane.listeners import Binding, render
from localcloud.dataplane.routes import not_understood
from localcloud.dataplane.scaling import Scaling
from localcloud.dataplane.targets import Targets
from localcloud.errors import CloudError

LOOK_SECONDS = 0.05
DRAIN_LOOK_SECONDS = 0.1
# A metric's period in AWS; no period is cut into less than half a second.
PERIOD_SECONDS = 60.0
SHORTEST_PERIOD_SECONDS = 0.5
# A target group without a rule stays this long with Envoy: requests may still be on their way to it.
KEEP_UNUSED_SECONDS = 30.0
START_SECONDS = 30.0
RESTART_SECONDS = 0.5

log = logging.getLogger(__name__)

Step = Callable[[], Awaitable[None]]


def no_usage() -> Sequence[metrics.ServiceUsage]:
    """Nothing is known of what tasks use."""
    return ()


def no_databases() -> Sequence[metrics.DatabaseUsage]:
    """No database has a server that could be measured."""
    return ()


class TrafficPlane:
    """Real HTTP for every application load balancer in this process's moto.

    directory: for Envoy's files, among them keys of certificates; made if need be.
    speed: divides the intervals of health checks, the periods of metrics and alarms, and the cooldowns of
        scaling. Timestamps stay real, and so do deregistration delays and idle timeouts. At most 120.
    usage, databases: what the tasks of ECS services and the servers of RDS instances use; asked once in each
        period, from the plane's thread.

    To be made before the first load balancer: moto is given addresses for their DNS names then.
    """

    def __init__(
        self,
        directory: Path,
        *,
        speed: float = 1.0,
        usage: metrics.Usage = no_usage,
        databases: metrics.Databases = no_databases,
    ) -> None:
        fastest = PERIOD_SECONDS / SHORTEST_PERIOD_SECONDS
        if not 1 <= speed <= fastest:
            raise ValueError(f"speed is {speed:g}; it can be 1 (as AWS) to {fastest:g}")
        elbv2.add()
        cloudwatch.add()
        self._speed = speed
        self._usage = usage
        self._databases = databases
        self._envoy = Envoy(directory)
        self._requests = metrics.Requests()
        self._scaling = Scaling(speed=speed)
        self._snapshot = Snapshot()
        self._bindings: dict[str, Binding] = {}
        self._last_used: dict[str, float] = {}
        self._told: set[str] = set()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None

    def start(self) -> None:
        """Returns when Envoy serves what moto has. Raises CloudError."""
        self._ready.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._main, name="traffic", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            self.stop()
            raise CloudError(f"the load balancer did not start within {START_SECONDS:g} s")
        if self._failure is not None:
            raise CloudError(f"the load balancer did not start: {self._failure}") from self._failure

    def stop(self) -> None:
        """Ends Envoy and the thread. Requests under way are cut off."""
        if self._loop is not None and self._ended is not None:
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ended.set)
        if self._thread is not None:
            self._thread.join(START_SECONDS)
            self._thread = None

    def where(self) -> list[ListenerAddress]:
        """Where each listener is reached at this moment."""
        return addresses(self._snapshot, self._bindings)

    def _main(self) -> None:
        try:
            asyncio.run(self._run())
        except Exception as error:
            if self._ready.is_set():
                log.exception("the load balancer has ended")
            self._failure = error
        finally:
            elbv2.watched(False)
            self._ready.set()

    async def _run(self) -> None:
        self._loop, self._ended = asyncio.get_running_loop(), asyncio.Event()
        self._changed = asyncio.Event()
        self._targets = Targets(self._changed.set, speed=self._speed)
        self._snapshot = read()
        try:
            await self._envoy.start(self._files())
            elbv2.watched(True)
            self._ready.set()
            tasks = [
                asyncio.create_task(self._forever(step))
                for step in (self._follow, self._serve, self._drain, self._measure)
            ]
            await self._ended.wait()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        finally:
            await self._targets.stop()
            await self._envoy.stop()

    async def _forever(self, step: Step) -> None:
        """One fault, in moto's state or in Envoy's answer, must not end what the whole cloud needs."""
        while True:
            try:
                await step()
            except asyncio.CancelledError:
                raise
            except Exception:
                log.exception("the load balancer goes on after a fault")
                await asyncio.sleep(RESTART_SECONDS)

    async def _follow(self) -> None:
        """One look at moto, and what follows from it."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), LOOK_SECONDS)
        fresh = read()
        if fresh == self._snapshot and not self._changed.is_set():
            return
        self._changed.clear()
        self._snapshot = fresh
        self._targets.follow(fresh)
        self._tell_health()
        self._warn()
        await self._envoy.write(self._files())

    def _files(self) -> dict[str, str]:
        now = time.monotonic()
        used = self._snapshot.users()
        self._last_used = {
            arn: seen for arn, seen in self._last_used.items() if now - seen < KEEP_UNUSED_SECONDS
        } | dict.fromkeys(used, now)
        self._bindings = bind(self._snapshot, self._bindings)
        standing = {
            group.arn: self._targets.standing(group, used=group.arn in used)
            for group in self._snapshot.groups
        }
        return render(self._snapshot, standing, self._bindings, self._envoy.files, self._last_used)

    def _tell_health(self, drained: Mapping[str, Sequence[Target]] | None = None) -> None:
        used = self._snapshot.users()
        for group in self._snapshot.groups:
            theirs = moto_group(group.account, group.region, group.arn)
            if theirs is not None:
                health = self._targets.health(group, used=group.arn in used)
                done = (drained or {}).get(group.arn, ())
                elbv2.set_health(
                    theirs,
                    {_key(target): found for target, found in health.items()},
                    [_key(target) for target in done],
                )

    def _warn(self) -> None:
        """Says once what of the rules can't be followed, and where a listener is that is elsewhere."""
        said = [
            sentence
            for balancer in self._snapshot.balancers
            for listener in balancer.listeners
            for sentence in not_understood(listener)
        ]
        said += [
            f"{found.arn} could not have its own port; it is reached at {found.url}"
            for found in self.where()
            if not found.bound_as_asked
        ]
        for sentence in set(said) - self._told:
            log.warning("%s", sentence)
        self._told |= set(said)

    async def _serve(self) -> None:
        """Reads the access log until Envoy ends, which it should not; then it starts again."""
        async for line in self._envoy.lines():
            self._requests.add(line)
        log.warning("the load balancer's proxy has ended by itself and is started again")
        await self._envoy.stop()
        await asyncio.sleep(RESTART_SECONDS)
        await self._envoy.start(self._files())

    async def _drain(self) -> None:
        """Lets targets go that have nothing under way any more."""
        await asyncio.sleep(DRAIN_LOOK_SECONDS)
        if not self._targets.draining():
            return
        try:
            in_flight = await self._envoy.in_flight()
        except (aiohttp.ClientError, OSError):
            # Envoy is being started again: nothing is known, and only the delay lets a target go.
            in_flight = {}
        drained = self._targets.drained(self._snapshot, self._last_used, in_flight)
        if drained:
            self._tell_health(drained)

    async def _measure(self) -> None:
        """Waits for the end of a period, publishes it, and acts on what the alarms make of it."""
        period = PERIOD_SECONDS / self._speed
        now = time.time()
        ends = (now // period + 1) * period
        await asyncio.sleep(ends - now)
        end = datetime.fromtimestamp(ends, UTC)
        used = self._snapshot.users()
        states = {
            group.arn: {
                target: found.state
                for target, found in self._targets.health(group, used=group.arn in used).items()
            }
            for group in self._snapshot.groups
        }
        points = metrics.merged(
            metrics.of_balancers(self._snapshot, self._requests.take(), states),
            metrics.of_services(self._usage()),
            metrics.of_counts(),
            metrics.of_databases(self._databases()),
        )
        metrics.publish(points, end - timedelta(seconds=period))
        self._scaling.correct()
        alarms.evaluate_all(end, self._speed)
        self._scaling.act(end)


def _key(target: Target) -> str:
    return f"{target.host}:{target.port}"
