"""Serves an application as a load balancer expects it, or misbehaves as `behaviour.json` says.

The file is the same in every example: each folder is an image of its own.
"""

import asyncio
import json
import os
import signal
import sys
from dataclasses import dataclass, fields
from pathlib import Path

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

HEALTH = "/healthz"
BEHAVIOUR = Path("behaviour.json")
# A server that closes an idle connection first may cut off a request that is under way. The idle timeout
# of an Application Load Balancer is 4,000 seconds at most.
KEEP_ALIVE_SECONDS = 4100
# How long requests may go on after SIGTERM; below the service's stop timeout.
FINISH_SECONDS = float(os.environ.get("FINISH_SECONDS", "55"))


@dataclass(frozen=True, kw_only=True)
class Behaviour:
    """What goes wrong; nothing, unless it is asked for.

    error_rate: share of requests that are answered with 500, 0 to 1; evenly spread, not by chance.
    latency_seconds: added to each answer.
    crash_at_start: ends with status 1 before it listens.
    crash_after_seconds: ends with status 1 after so long.
    never_healthy: the health check is answered with 503, everything else is well.
    wrong_port: listens on a port that nobody asked for.
    wrong_answer: answers 200, with an empty JSON object.
    ignores_sigterm: has to be killed.
    migration_fails: migrations end with status 1.
    """

    error_rate: float = 0
    latency_seconds: float = 0
    crash_at_start: bool = False
    crash_after_seconds: float | None = None
    never_healthy: bool = False
    wrong_port: bool = False
    wrong_answer: bool = False
    ignores_sigterm: bool = False
    migration_fails: bool = False


def behaviour(path: Path = BEHAVIOUR) -> Behaviour:
    """What the file says; good behaviour where there is none. Ends the program for a key it doesn't know."""
    if not path.exists():
        return Behaviour()
    wanted = json.loads(path.read_text())
    known = [field.name for field in fields(Behaviour)]
    unknown = sorted(set(wanted) - set(known))
    if unknown:
        sys.exit(f"{path.name} has {', '.join(unknown)}: it may have {', '.join(known)}")
    return Behaviour(**wanted)


def version() -> str:
    """The version that the image says it is."""
    return os.environ.get("VERSION", "0")


async def _tell_version(_: web.Request, response: web.StreamResponse) -> None:
    response.headers["X-Version"] = version()


async def _health(request: web.Request) -> web.Response:
    return web.Response(status=503 if request.app[HOW].never_healthy else 200, text="ok\n")


HOW = web.AppKey("how", Behaviour)


def _chaos(how: Behaviour) -> Middleware:
    """A middleware that breaks every answer but the health check's."""
    seen = 0

    @web.middleware
    async def misbehave(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal seen
        if request.path == HEALTH:
            return await handler(request)
        seen += 1
        fails = int(seen * how.error_rate) > int((seen - 1) * how.error_rate)
        await asyncio.sleep(how.latency_seconds)
        if fails:
            return web.json_response({"error": "broken on purpose"}, status=500)
        return web.json_response({}) if how.wrong_answer else await handler(request)

    return misbehave


def application(how: Behaviour) -> web.Application:
    """An application with a health check, which names its version in every answer."""
    broken = how.error_rate or how.latency_seconds or how.wrong_answer
    app = web.Application(middlewares=[_chaos(how)] if broken else [])
    app[HOW] = how
    app.on_response_prepare.append(_tell_version)
    app.router.add_get(HEALTH, _health)
    return app


async def _serve(app: web.Application, name: str, default_port: int) -> int:
    how = app[HOW]
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, (lambda: None) if how.ignores_sigterm else ended.set)
    runner = web.AppRunner(
        app, access_log=None, keepalive_timeout=KEEP_ALIVE_SECONDS, shutdown_timeout=FINISH_SECONDS
    )
    await runner.setup()
    host = os.environ.get("HOST", "0.0.0.0")  # noqa: S104 - inside a container, behind a load balancer
    port = int(os.environ.get("PORT", str(default_port)))
    await web.TCPSite(runner, host, 0 if how.wrong_port else port, backlog=1024).start()
    _say(f"{name} {version()} listens on {runner.addresses[0][0]}:{runner.addresses[0][1]}")
    try:
        await asyncio.wait_for(ended.wait(), how.crash_after_seconds)
    except TimeoutError:
        _say(f"{name} {version()} crashes on purpose")
        # As a crash does it: what is under way is lost.
        os._exit(1)
    _say(f"{name} {version()} finishes what is under way")
    await runner.cleanup()
    _say(f"{name} {version()} has ended")
    return 0


def serve(app: web.Application, name: str, default_port: int) -> int:
    """Serves on HOST and PORT until SIGTERM, finishes what is under way, and returns the exit status."""
    if app[HOW].crash_at_start:
        _say(f"{name} {version()} crashes on purpose")
        return 1
    return asyncio.run(_serve(app, name, default_port))


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201 - the container's log
