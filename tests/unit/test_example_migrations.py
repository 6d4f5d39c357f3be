"""The migrations of the example on a real PostgreSQL."""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from examples.variants import variant
from localcloud.dataplane.postgres import Wanted
from tests.unit.applications import migrate, migration, rows, running
from tests.unit.databases import a_server, new_database, url, variables

# The number that the example locks.
LOCK = 0x7377697463687961


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wanted]:
    with a_server(tmp_path_factory.mktemp("postgres")) as (_, wanted):
        yield wanted


@pytest.fixture
def database(server: Wanted, request: pytest.FixtureRequest) -> dict[str, str]:
    return variables(server, new_database(server, str(abs(hash(request.node.name)))))


# ---- migrations


def test_the_plan_of_an_empty_database_has_all_revisions(tmp_path: Path, database: dict[str, str]) -> None:
    plan = migrate(variant(tmp_path), database, "plan")
    assert [(r["id"], r["kind"], r["floor"]) for r in plan["revisions"]] == [
        ("0001", "expand", None),
        ("0002", "expand", None),
        ("0003", "contract", "0002"),
    ]
    assert (plan["current"], plan["target"], plan["kind"], plan["floor"]) == (
        None,
        "0003",
        "contract",
        "0002",
    )


def test_planning_changes_nothing(tmp_path: Path, server: Wanted, database: dict[str, str]) -> None:
    migrate(variant(tmp_path), database, "plan")
    assert rows(server, database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []


def test_expand_only_stops_before_the_contract(tmp_path: Path, database: dict[str, str]) -> None:
    folder = variant(tmp_path)
    done = migrate(folder, database, "up", SWITCHYARD_MIGRATE="expand")
    assert [r["id"] for r in done["revisions"]] == ["0001", "0002"]
    assert (done["kind"], done["target"], done["floor"]) == ("expand", "0002", None)
    rest = migrate(folder, database, "plan")
    assert ([r["id"] for r in rest["revisions"]], rest["current"], rest["kind"]) == (
        ["0003"],
        "0002",
        "contract",
    )
    assert migrate(folder, database, "plan", "--expand-only")["kind"] == "none"
    migrate(folder, database, "up")
    assert migrate(folder, database, "plan")["kind"] == "none"


def test_old_and_new_code_see_the_same_items_between_expand_and_contract(
    tmp_path: Path, database: dict[str, str]
) -> None:
    old, new = variant(tmp_path, version="1", schema="0001"), variant(tmp_path, version="2")
    assert migrate(old, database, "up")["target"] == "0001"
    with running(old, database) as api:
        assert api.get("/api/items", b'{"title": "before"}')[0] == 201
        migrate(new, database, "up", "--expand-only")
        with running(new, database) as newer:
            assert newer.get("/api/items", b'{"title": "by the new"}')[0] == 201
            assert api.get("/api/items", b'{"title": "by the old"}')[0] == 201
            seen = [[i["title"] for i in json.loads(of.get("/api/items")[1])["items"]] for of in (api, newer)]
            assert seen == [["by the old", "by the new", "before"]] * 2
            migrate(new, database, "up")
            assert api.get("/api/items")[0] == 503, "the old code is below the floor now"
            assert newer.get("/api/items")[0] == 200


def test_an_older_version_knows_the_floor_of_a_newer_schema(tmp_path: Path, database: dict[str, str]) -> None:
    migrate(variant(tmp_path, version="2"), database, "up")
    plan = migrate(variant(tmp_path, version="1", schema="0001"), database, "plan")
    assert (plan["kind"], plan["current"], plan["target"], plan["floor"]) == ("none", "0003", "0001", "0002")
    assert plan["runs"] is False
    assert migrate(variant(tmp_path, version="2", schema="0002"), database, "plan")["runs"] is True


def test_a_revision_that_fails_leaves_those_before_it_and_nothing_of_itself(
    tmp_path: Path, server: Wanted, database: dict[str, str]
) -> None:
    folder = variant(tmp_path)
    (folder / "migrations" / "versions" / "0004_breaks.py").write_text(
        '"""Breaks halfway."""\n\nfrom alembic import op\n\nrevision = "0004"\ndown_revision = "0003"\n'
        'switchyard = "expand"\nfloor = None\n\n\ndef upgrade() -> None:\n'
        '    op.execute("CREATE TABLE half (id int)")\n    op.execute("INSERT INTO nowhere VALUES (1)")\n'
    )
    done = migration(folder, database, "up")
    assert done.returncode == 1
    assert done.stderr.strip() == 'migration: relation "nowhere" does not exist'
    assert rows(server, database, "SELECT version_num FROM alembic_version") == [("0003",)]
    assert rows(server, database, "SELECT to_regclass('half')") == [(None,)]
    assert migrate(folder, database, "plan")["current"] == "0003"


def test_two_migrations_at_once_run_one_after_the_other(
    tmp_path: Path, server: Wanted, database: dict[str, str]
) -> None:
    folder = variant(tmp_path)
    done: list[subprocess.CompletedProcess[str]] = []
    both = [threading.Thread(target=lambda: done.append(migration(folder, database, "up"))) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert [one.returncode for one in done] == [0, 0], [one.stderr for one in done]
    assert sorted(json.loads(one.stdout)["kind"] for one in done) == ["contract", "none"]
    found = rows(server, database, "SELECT revision, kind, floor FROM switchyard_schema ORDER BY 1")
    assert found == [("0001", "expand", None), ("0002", "expand", None), ("0003", "contract", "0002")]


def test_a_migration_waits_for_the_lock_of_another(
    tmp_path: Path, server: Wanted, database: dict[str, str]
) -> None:
    done: list[subprocess.CompletedProcess[str]] = []
    waiting = threading.Thread(
        target=lambda: done.append(migration(variant(tmp_path), database, "up")), daemon=True
    )
    with psycopg.connect(url(server, database["DATABASE_NAME"]), autocommit=True) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        waiting.start()
        # Until it is seen to be there, and then some more.
        present = b"SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
        while other.execute(present).fetchone() == (1,):
            time.sleep(0.05)
        time.sleep(1.5)
        assert other.execute("SELECT to_regclass('alembic_version')").fetchone() == (None,)
        assert not done, "it has to wait"
    waiting.join()
    assert done[0].returncode == 0, done[0].stderr
    assert json.loads(done[0].stdout)["kind"] == "contract"


def test_a_table_in_use_is_waited_for_a_moment_only(
    tmp_path: Path, server: Wanted, database: dict[str, str]
) -> None:
    folder = variant(tmp_path)
    migrate(folder, database, "up", "--to", "0001")
    with psycopg.connect(url(server, database["DATABASE_NAME"])) as reader:
        reader.execute("SELECT * FROM items")
        done = migration(folder, database, "up")
    assert done.returncode == 1
    assert "lock timeout" in done.stderr
    assert rows(server, database, "SELECT version_num FROM alembic_version") == [("0001",)]


def test_a_migration_that_shall_fail_fails(tmp_path: Path, database: dict[str, str]) -> None:
    folder = variant(tmp_path, migration_fails=True)
    assert migration(folder, database, "plan").returncode == 0
    done = migration(folder, database, "up")
    assert (done.returncode, done.stderr.strip()) == (1, "migration: fails on purpose")


def test_a_wrong_password_is_told_at_once_and_not_written_out(
    tmp_path: Path, database: dict[str, str]
) -> None:
    done = migration(variant(tmp_path), database | {"DATABASE_PASSWORD": "not-the-one"}, "plan")
    assert done.returncode == 1
    assert "does not let us in" in done.stderr
    assert "not-the-one" not in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [(["up", "--to", "0009"], "0001, 0002, 0003"), (["down"], "plan"), ([], "what")],
)
def test_a_mistake_on_the_command_line_is_told(
    tmp_path: Path, database: dict[str, str], arguments: list[str], told: str
) -> None:
    done = migration(variant(tmp_path), database, *arguments)
    assert done.returncode != 0
    assert told in done.stderr


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        (
            'switchyard = "contract"',
            'switchyard = "expand"',
            "line 13 runs DROP; line 14 runs DROP; line 15 does drop_column",
        ),
        ('switchyard = "contract"', 'switchyard = "both"', 'it may be "expand" or "contract"'),
        ('switchyard = "contract"', "", 'it may be "expand" or "contract"'),
        ('floor = "0002"', "floor = None", "name its floor"),
        ('floor = "0002"', 'floor = "0009"', "it may be 0001, 0002, 0003"),
        ('revision = "0003"', 'revision = "abc"', "number revisions 0001"),
    ],
)
def test_a_history_that_does_not_hold_is_refused_before_anything_runs(
    tmp_path: Path, server: Wanted, database: dict[str, str], old: str, new: str, told: str
) -> None:
    folder = variant(tmp_path)
    path = folder / "migrations" / "versions" / "0003_no_name.py"
    path.write_text(path.read_text().replace(old, new, 1))
    done = migration(folder, database, "up")
    assert done.returncode == 1
    assert told in done.stderr
    assert rows(server, database, "SELECT tablename FROM pg_tables WHERE schemaname = 'public'") == []
