"""Serves the API: `python -m api`."""

import asyncio
import sys

from aiohttp import web

from api import items
from api.serving import application, behaviour, serve, version

LONGEST_SECONDS = 30.0


async def about(_: web.Request) -> web.Response:
    """Who answers."""
    return web.json_response({"service": "api", "version": version(), "status": "ok"})


async def slow(request: web.Request) -> web.Response:
    """Takes as many seconds as it is asked to."""
    asked = request.query.get("seconds", "2")
    try:
        seconds = float(asked)
    except ValueError:
        seconds = -1
    if not 0 <= seconds <= LONGEST_SECONDS:
        text = f"seconds is {asked!r}: it may be 0 to {LONGEST_SECONDS:g}"
        return web.json_response({"error": text}, status=400)
    await asyncio.sleep(seconds)
    return web.json_response({"slept_seconds": seconds, "version": version()})


def main() -> int:
    """Returns the exit status."""
    app = application(behaviour())
    app.router.add_get("/api/", about)
    app.router.add_get("/api/slow", slow)
    items.add_to(app)
    return serve(app, "api", 8080)


if __name__ == "__main__":
    sys.exit(main())
