"""Items in the database: GET and POST /api/items.

The API runs without a database; only what needs one is answered with 503. A health check that asks the
database would take every task out of service with it.
"""

from typing import TYPE_CHECKING

from aiohttp import web

from api import database

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool

# The column that this version of the application uses.
COLUMN = "title"
NEWEST = 50
WAIT_SECONDS = 3.0
CONNECTIONS = 4
LONGEST_TITLE = 200


class Items:
    """The table, through a few connections that are made when they are first needed."""

    def __init__(self) -> None:
        self._pool: AsyncConnectionPool | None = None

    async def newest(self) -> list[dict[str, object]]:
        """The newest items. Raises what psycopg raises, and NoDatabase."""
        query = f"SELECT id, {COLUMN} FROM items ORDER BY id DESC LIMIT %s"  # noqa: S608 - our own constant
        pool = await self._connected()
        async with pool.connection() as connection:
            rows = await (await connection.execute(query.encode(), [NEWEST])).fetchall()
        return [{"id": row[0], "title": row[1]} for row in rows]

    async def add(self, title: str) -> dict[str, object]:
        """The item that was added. Raises what psycopg raises, and NoDatabase."""
        query = f"INSERT INTO items ({COLUMN}) VALUES (%s) RETURNING id"  # noqa: S608 - our own constant
        pool = await self._connected()
        async with pool.connection() as connection:
            row = await (await connection.execute(query.encode(), [title])).fetchone()
        return {"id": row[0] if row else None, "title": title}

    async def close(self) -> None:
        """Gives the connections back."""
        if self._pool is not None:
            await self._pool.close()

    async def _connected(self) -> "AsyncConnectionPool":
        if self._pool is None:
            # Here, so that an API without a database starts without its driver.
            from psycopg_pool import AsyncConnectionPool

            self._pool = AsyncConnectionPool(
                database.url(), min_size=0, max_size=CONNECTIONS, timeout=WAIT_SECONDS, open=False
            )
            await self._pool.open()
        return self._pool


ITEMS = web.AppKey("items", Items)


async def _answer(request: web.Request) -> web.Response:
    items = request.app[ITEMS]
    if request.method == "GET":
        return web.json_response({"items": await items.newest()})
    try:
        title = (await request.json())["title"]
    except (ValueError, KeyError, TypeError):
        title = None
    if not isinstance(title, str) or not 0 < len(title) <= LONGEST_TITLE:
        text = f'send {{"title": "…"}} with 1 to {LONGEST_TITLE} characters'
        return web.json_response({"error": text}, status=400)
    return web.json_response(await items.add(title), status=201)


async def _answer_or_503(request: web.Request) -> web.Response:
    try:
        return await _answer(request)
    except database.NoDatabase as error:
        return web.json_response({"error": str(error)}, status=503)
    except Exception as error:
        # psycopg is there: without it there was no connection to fail. Its messages may name the user.
        from psycopg import Error

        if not isinstance(error, Error):
            raise
        return web.json_response({"error": f"the database: {type(error).__name__}"}, status=503)


def add_to(app: web.Application) -> None:
    """Adds the paths."""
    app[ITEMS] = Items()
    app.router.add_get("/api/items", _answer_or_503)
    app.router.add_post("/api/items", _answer_or_503)

    async def close(app: web.Application) -> None:
        await app[ITEMS].close()

    app.on_cleanup.append(close)
