"""Serves the page: `python -m web`."""

import sys
from pathlib import Path

from aiohttp import web

from web.serving import application, behaviour, serve, version

PAGE = Path(__file__).with_name("index.html")


def main() -> int:
    """Returns the exit status."""
    page = PAGE.read_text().replace("{{version}}", version())

    async def index(_: web.Request) -> web.Response:
        # A browser has to ask again after a release.
        return web.Response(text=page, content_type="text/html", headers={"Cache-Control": "no-cache"})

    app = application(behaviour())
    app.router.add_get("/", index)
    return serve(app, "web", 3000)


if __name__ == "__main__":
    sys.exit(main())
