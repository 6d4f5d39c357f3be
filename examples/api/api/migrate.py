"""The schema's one-off task: `python -m api.migrate plan` and `python -m api.migrate up`.

Both print one line of JSON: {"current", "target", "kind", "floor", "runs", "revisions": [{"id", "kind",
"floor", "title"}]}. `plan` says what `up` would do, `up` what it has done. `up --expand-only`, or the
variable SWITCHYARD_MIGRATE=expand, stops before the first contract.

One at a time, under an advisory lock; each revision in a transaction of its own. The table
`switchyard_schema` keeps the kind and the floor of what was applied, so that an older version, which does
not know the newest revisions, can still tell whether it runs on the schema.
"""

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, NullPool, create_engine, inspect, text
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from api import database, kinds
from api.serving import behaviour

MIGRATIONS = Path(__file__).parents[1] / "migrations"
TABLE = "switchyard_schema"
# Any number will do, as long as it is the same in all versions: "switchya" in ASCII.
LOCK = 0x7377697463687961
LOCK_SECONDS = 60.0
# A database that was made or restarted a moment ago does not answer yet.
CONNECT_SECONDS = 30.0
# A change of a table waits for everyone who uses it, and everyone else waits for the change.
TABLE_LOCK_SECONDS = 5


class Failed(Exception):
    """One sentence for a person: what is wrong, and what to do."""


@dataclass(frozen=True, kw_only=True)
class Revision:
    """One revision: its number, "expand" or "contract", and the lowest that runs on the result."""

    id: str
    kind: str
    floor: str | None
    title: str


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What would be, or was, done.

    current: the newest revision before that. floor: that of the result. runs: whether this version can run
    on the result: it has to know the floor.
    """

    current: str | None
    target: str | None
    floor: str | None
    runs: bool
    revisions: Sequence[Revision]

    @property
    def kind(self) -> str:
        """none, expand, or contract if any of them is one."""
        found = {revision.kind for revision in self.revisions}
        return "none" if not found else "contract" if "contract" in found else "expand"

    def as_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self) | {"kind": self.kind})


def history(directory: Path = MIGRATIONS) -> list[Revision]:
    """The revisions of this version, oldest first. Raises Failed for what is no straight line of them."""
    scripts = ScriptDirectory(str(directory))
    heads = scripts.get_heads()
    if len(heads) > 1:
        raise Failed(
            f"the history has the ends {', '.join(heads)}: give one of them the other as down_revision"
        )
    found = [_revision(script) for script in scripts.walk_revisions()][::-1]
    known: list[str] = []
    for revision in found:
        # What compares these numbers elsewhere does it by their text.
        if not re.fullmatch(r"\d{4}", revision.id) or (known and revision.id <= known[-1]):
            before = f" after {known[-1]}" if known else ""
            raise Failed(f"revision {revision.id!r}{before}: number revisions 0001, 0002 and so on, upwards")
        known.append(revision.id)
        if revision.floor is not None and revision.floor not in known:
            raise Failed(
                f"revision {revision.id} has the floor {revision.floor!r}: it may be {', '.join(known)}"
            )
        if revision.kind == "contract" and revision.floor is None:
            raise Failed(f"revision {revision.id} is a contract: name its floor, the lowest that runs on it")
    return found


def _revision(script: Any) -> Revision:
    kind = getattr(script.module, "switchyard", None)
    wrong = kinds.check(Path(script.path), str(kind))
    if wrong:
        raise Failed(wrong)
    floor = getattr(script.module, "floor", None)
    return Revision(id=script.revision, kind=str(kind), floor=floor, title=script.doc.splitlines()[0])


def plan(connection: Connection, known: Sequence[Revision], *, to: str | None, expand_only: bool) -> Plan:
    """What is to be done to reach `to`, or the newest. Raises Failed."""
    newest = known[-1].id if known else None
    if to is not None and to not in {revision.id for revision in known}:
        raise Failed(
            f"--to {to}: this version knows {', '.join(revision.id for revision in known) or 'none'}"
        )
    current = MigrationContext.configure(connection).get_current_revision()
    wanted = [r for r in known if (current is None or r.id > current) and r.id <= (to or r.id)]
    if expand_only:
        first = next((n for n, r in enumerate(wanted) if r.kind == "contract"), len(wanted))
        wanted = wanted[:first]
    applied = [*_floors(connection), *(r.floor for r in known if current is not None and r.id <= current)]
    floor = max(
        [floor for floor in [*applied, *(r.floor for r in wanted)] if floor is not None], default=None
    )
    return Plan(
        current=current,
        target=wanted[-1].id if expand_only and wanted else current if expand_only else to or newest,
        floor=floor,
        runs=floor is None or floor in {revision.id for revision in known},
        revisions=wanted,
    )


def _floors(connection: Connection) -> list[str | None]:
    if not inspect(connection).has_table(TABLE):
        return []
    return list(connection.execute(text(f"SELECT floor FROM {TABLE}")).scalars())  # noqa: S608 - ours


def remember(*, ctx: MigrationContext, step: Any, **_: Any) -> None:
    """Keeps the kind and floor of a revision, in its own transaction; Alembic calls it for each."""
    connection = ctx.connection
    if connection is None:
        raise Failed("revisions can't be written out as SQL: what was applied is kept in the database")
    module = step.up_revision.module
    values = {"id": step.up_revision_id, "kind": module.switchyard, "floor": getattr(module, "floor", None)}
    connection.execute(
        text(
            f"CREATE TABLE IF NOT EXISTS {TABLE} (revision text PRIMARY KEY, kind text NOT NULL, "
            "floor text, applied_at timestamptz NOT NULL DEFAULT now())"
        )
    )
    connection.execute(text(f"DELETE FROM {TABLE} WHERE revision = :id"), values)  # noqa: S608 - ours
    if step.is_upgrade:
        connection.execute(text(f"INSERT INTO {TABLE} VALUES (:id, :kind, :floor)"), values)  # noqa: S608 - ours


@contextmanager
def connected() -> Iterator[Connection]:
    """A connection to the database, waited for. Raises Failed and NoDatabase."""
    url = re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", database.url())
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5})
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            connection = engine.connect()
            break
        except OperationalError as error:
            # A wrong password stays wrong.
            if time.monotonic() > deadline or "authentication" in str(error.orig):
                said = str(error.orig).strip().splitlines()[0]
                raise Failed(f"the database does not let us in: {said}") from error
            time.sleep(0.5)
    with connection:
        yield connection


@contextmanager
def locked(connection: Connection) -> Iterator[None]:
    """Nobody else migrates meanwhile. PostgreSQL gives the lock back if the connection is lost.

    Raises Failed if another one does for longer than LOCK_SECONDS.
    """
    deadline = time.monotonic() + LOCK_SECONDS
    while not connection.execute(text("SELECT pg_try_advisory_lock(:lock)"), {"lock": LOCK}).scalar():
        connection.rollback()
        if time.monotonic() > deadline:
            raise Failed(
                f"another migration has been running for {LOCK_SECONDS:g} seconds: try again after it"
            )
        time.sleep(0.5)
    connection.commit()
    try:
        yield
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:lock)"), {"lock": LOCK})
        connection.commit()


def up(connection: Connection, known: Sequence[Revision], *, to: str | None, expand_only: bool) -> Plan:
    """Does what the plan says once the lock is held, and returns it. Raises Failed."""
    with locked(connection):
        wanted = plan(connection, known, to=to, expand_only=expand_only)
        connection.execute(text(f"SET lock_timeout = '{TABLE_LOCK_SECONDS}s'"))
        connection.commit()
        if wanted.revisions:
            config = Config(attributes={"connection": connection})
            config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            command.upgrade(config, wanted.revisions[-1].id)
        return wanted


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m api.migrate", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("what", choices=["plan", "up"])
    parser.add_argument("--to", help="the revision to stop at; the newest if none is named")
    parser.add_argument("--expand-only", action="store_true", help="stop before the first contract")
    given = parser.parse_args()
    only = os.environ.get("SWITCHYARD_MIGRATE", "all")
    if only not in ("all", "expand"):
        parser.error(f"SWITCHYARD_MIGRATE is {only!r}: it may be all or expand")
    given.expand_only |= only == "expand"
    return given


def main() -> int:
    """Returns the exit status: 0, or 1 with one line of what is wrong."""
    given = _arguments()
    if given.what == "up" and behaviour().migration_fails:
        return _refuse("fails on purpose")
    try:
        known = history()
        with connected() as connection:
            do = up if given.what == "up" else plan
            done = do(connection, known, to=given.to, expand_only=given.expand_only)
    except (Failed, database.NoDatabase) as error:
        return _refuse(str(error))
    except SQLAlchemyError as error:
        # The database's own words; the rest of the message repeats the statement and its values.
        return _refuse(str(getattr(error, "orig", None) or error).strip().splitlines()[0])
    print(done.as_json(), flush=True)  # noqa: T201 - the answer
    return 0


def _refuse(reason: str) -> int:
    print(f"migration: {reason}", file=sys.stderr, flush=True)  # noqa: T201 - for a person
    return 1


if __name__ == "__main__":
    sys.exit(main())
