"""Load that does not wait for answers: so many requests per second, whatever becomes of them.

For tests, demonstrations and measurements of the embedded cloud. Nothing is tried twice: a connection that is
closed under a request is a failure, also where a client could hide it.
"""

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp

# Who answered, as the sample applications say it.
VERSION_HEADER = "X-Version"
SAMPLES = 20


@dataclass(kw_only=True)
class Second:
    """What was sent in one second, and what became of it.

    failed: by kind: `status` (400 and above), `refused`, `reset`, `timeout`.
    versions: by version, the answers; errors: by version, those of them that failed, and under "" what
        nobody answered.
    latencies: seconds until the whole answer was there, for the requests that went well.
    """

    sent: int = 0
    ok: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    versions: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)

    def percentile(self, percent: float) -> float | None:
        """The latency in seconds that so many percent of the requests stay within; None without any."""
        return percentile(self.latencies, percent)


@dataclass(kw_only=True)
class Report:
    """All seconds since the start, in their order; it grows while the load runs.

    samples: the first failures in words.
    late_seconds: how far behind its pace a request was sent, at worst: the sender's own machine was busy.
    """

    seconds: list[Second] = field(default_factory=list)
    samples: list[str] = field(default_factory=list)
    late_seconds: float = 0.0

    @property
    def total(self) -> Second:
        """The sum of all seconds."""
        total = Second()
        for second in list(self.seconds):
            total.sent += second.sent
            total.ok += second.ok
            total.failed.update(second.failed)
            total.versions.update(second.versions)
            total.errors.update(second.errors)
            total.latencies += second.latencies
        return total

    def of(self, index: int) -> Second:
        """The second with this number, made if it is not there yet."""
        while len(self.seconds) <= index:
            self.seconds.append(Second())
        return self.seconds[index]


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The nearest rank; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


class Load:
    """Requests at an even pace over connections that are kept alive.

    url: what most requests ask for.
    rate_per_second: requests sent per second, without waiting for answers.
    connections: most connections at a time; a request waits for one, and that time counts.
    slow_share: share of the requests, 0 to 1, that go to `slow_path` instead, evenly spread.
    timeout_seconds: after this a request has failed.
    headers: sent with every request, such as a Host.
    """

    def __init__(
        self,
        url: str,
        *,
        rate_per_second: float,
        connections: int = 50,
        slow_share: float = 0.0,
        slow_path: str = "/",
        timeout_seconds: float = 30.0,
        headers: dict[str, str] | None = None,
    ) -> None:
        if rate_per_second <= 0 or connections < 1 or not 0 <= slow_share <= 1:
            raise ValueError(
                f"rate_per_second={rate_per_second:g}, connections={connections}, slow_share={slow_share:g}; "
                "give a rate above 0, at least one connection, and a share from 0 to 1"
            )
        self.report = Report()
        self._url = url
        self._slow_url = url.rstrip("/") + slow_path if slow_share else url
        self._rate = rate_per_second
        self._connections = connections
        self._slow_share = slow_share
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._headers = headers
        self._running: set[asyncio.Task[None]] = set()
        self._pacer: asyncio.Task[None] | None = None
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        connector = aiohttp.TCPConnector(limit=self._connections)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=self._timeout,
            headers=self._headers,
            # No cookies kept: every request is a client of its own.
            cookie_jar=aiohttp.DummyCookieJar(),
        )
        # aiohttp would send a GET again when a kept connection was closed under it, and nobody would know.
        self._session._retry_connection = False
        self._pacer = asyncio.create_task(self._pace())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._pacer is not None and self._session is not None  # noqa: S101, PT018 - entered
        self._pacer.cancel()
        await asyncio.gather(self._pacer, return_exceptions=True)
        # What is under way still counts.
        await asyncio.gather(*self._running, return_exceptions=True)
        await self._session.close()

    def run(self, seconds: float) -> Report:
        """Sends for so long, waits for the last answers and returns what came of it."""

        async def sending() -> None:
            async with self:
                await asyncio.sleep(seconds)

        asyncio.run(sending())
        return self.report

    @contextmanager
    def background(self) -> Iterator[Report]:
        """Sends from a thread of its own while the block runs; the report is complete after the block."""
        loop = asyncio.new_event_loop()
        ended = asyncio.Event()

        async def sending() -> None:
            async with self:
                await ended.wait()

        thread = threading.Thread(target=loop.run_until_complete, args=(sending(),), name="load", daemon=True)
        thread.start()
        try:
            yield self.report
        finally:
            loop.call_soon_threadsafe(ended.set)
            thread.join()
            loop.close()

    async def _pace(self) -> None:
        start = time.monotonic()
        sent = 0
        while True:
            now = time.monotonic()
            due = int((now - start) * self._rate) + 1
            self.report.late_seconds = max(self.report.late_seconds, now - start - sent / self._rate)
            for number in range(sent, due):
                task = asyncio.create_task(self._send(number, int(now - start)))
                self._running.add(task)
                task.add_done_callback(self._running.discard)
            sent = due
            await asyncio.sleep(max(0.0, start + sent / self._rate - time.monotonic()))

    async def _send(self, number: int, index: int) -> None:
        assert self._session is not None  # noqa: S101 - entered
        second = self.report.of(index)
        second.sent += 1
        slow = int((number + 1) * self._slow_share) > int(number * self._slow_share)
        begun = time.monotonic()
        try:
            async with self._session.get(self._slow_url if slow else self._url) as answer:
                await answer.read()
        except (aiohttp.ClientError, OSError) as error:
            self._fail(second, _kind(error), "", repr(error))
            return
        version = answer.headers.get(VERSION_HEADER, "")
        second.versions[version] += 1
        if answer.status >= 400:
            self._fail(second, "status", version, f"{answer.status} {answer.reason}")
            return
        second.ok += 1
        second.latencies.append(time.monotonic() - begun)

    def _fail(self, second: Second, kind: str, version: str, words: str) -> None:
        second.failed[kind] += 1
        second.errors[version] += 1
        if len(self.report.samples) < SAMPLES:
            self.report.samples.append(f"{kind}: {words}")


def _kind(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timeout"
    return "refused" if isinstance(error, aiohttp.ClientConnectorError) else "reset"
