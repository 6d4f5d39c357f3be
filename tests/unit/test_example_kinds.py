"""Expand or contract: what the source of a revision says."""

import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from examples.variants import EXAMPLES

# ---- expand or contract

HEADER = '"""Doc."""\nimport sqlalchemy as sa\nfrom alembic import op\n\ndef upgrade():\n    '


@pytest.fixture(scope="module")
def kinds() -> Any:
    before = list(sys.path)
    sys.path.insert(0, str(EXAMPLES / "api"))
    try:
        from api import kinds as found  # type: ignore[import-not-found,unused-ignore]

        return found
    finally:
        sys.path[:] = before
        with suppress(KeyError):
            del sys.modules["api"]


@pytest.mark.parametrize(
    "line",
    [
        'op.drop_column("items", "name")',
        'op.drop_table("items")',
        'op.rename_table("items", "things")',
        'op.alter_column("items", "name", new_column_name="title")',
        'op.alter_column("items", "name", type_=sa.Integer())',
        'op.alter_column("items", "name", nullable=False)',
        'op.alter_column("items", "name", server_default=None)',
        'op.add_column("items", sa.Column("x", sa.Text, nullable=False))',
        'op.add_column("items", sa.Column("x", sa.Text, unique=True))',
        'op.add_column("items", sa.Column("x", sa.Integer, sa.ForeignKey("y.id")))',
        'op.add_column("items", column)',
        'op.create_unique_constraint("u", "items", ["name"])',
        'op.create_check_constraint("c", "items", "id > 0")',
        'op.create_foreign_key("f", "a", "b", ["x"], ["y"])',
        'op.create_index("i", "items", ["name"], unique=True)',
        'op.drop_constraint("c", "items")',
        'op.execute("DROP TABLE items")',
        'op.execute("alter table items drop column name")',
        'op.execute("ALTER TABLE items ALTER COLUMN name TYPE int")',
        'op.execute("ALTER TABLE items ALTER name SET DATA TYPE int")',
        'op.execute("ALTER TABLE items ALTER COLUMN name SET NOT NULL")',
        'op.execute("ALTER TABLE items RENAME COLUMN name TO title")',
        'op.execute("ALTER TABLE items ADD COLUMN x int NOT NULL")',
        'op.execute("TRUNCATE items")',
        'op.execute("DELETE FROM items")',
        'op.execute(sa.text("DROP VIEW v"))',
        'op.execute("DO $$ BEGIN DROP TABLE items; END $$")',
        'op.execute("CREATE OR REPLACE VIEW v AS SELECT 1")',
        'op.execute(f"SELECT {x}")',
        "op.execute(statement)",
        "op.get_bind().execute(statement)",
        "helper(op)",
        "getattr(op, name)('items')",
        "from alembic import operations",
        "import alembic.op as o; o.drop_table('items')",
        "from alembic.op import drop_table; drop_table('items')",
        "from helpers import change; change()",
        'with op.batch_alter_table("items") as batch:\n        batch.drop_column("name")',
        'for name in ("a", "b"):\n        op.drop_column("items", name)',
    ],
)
def test_what_takes_something_away_is_no_expand(kinds: Any, tmp_path: Path, line: str) -> None:
    path = tmp_path / "0002_x.py"
    path.write_text(HEADER + line + "\n")
    wrong = kinds.check(path, "expand")
    assert wrong is not None, "an old version may not survive this"
    assert "0002_x.py says that it is an expand, but line " in wrong
    assert kinds.check(path, "contract") is None


@pytest.mark.parametrize(
    "line",
    [
        'op.create_table("t", sa.Column("id", sa.Integer, primary_key=True, nullable=False))',
        'op.add_column("items", sa.Column("x", sa.Text))',
        'op.add_column("items", sa.Column("x", sa.Text, nullable=True))',
        'op.add_column("items", sa.Column("x", sa.Integer, nullable=False, server_default="0"))',
        'op.alter_column("items", "name", nullable=True)',
        'op.alter_column("items", "name", server_default="x")',
        'op.create_index("i", "items", ["name"])',
        'op.create_index("i", "items", ["name"], unique=False)',
        'op.execute("UPDATE items SET x = 1")',
        'op.execute("ALTER TABLE items ADD COLUMN x int NOT NULL DEFAULT 0")',
        'op.execute("ALTER TABLE items ADD COLUMN x int  -- DROP it later")',
        'op.execute("CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql AS $$ BEGIN DROP TABLE t; END $$")',
        'with op.batch_alter_table("items") as batch:\n        batch.add_column(sa.Column("x", sa.Text))',
        'with op.get_context().autocommit_block():\n        op.create_index("i", "items", ["x"])',
    ],
)
def test_what_only_adds_is_an_expand(kinds: Any, tmp_path: Path, line: str) -> None:
    path = tmp_path / "0002_x.py"
    path.write_text(HEADER + line + '\n\ndef downgrade():\n    op.drop_table("t")\n')
    assert kinds.check(path, "expand") is None


def test_the_examples_own_revisions_are_what_they_say(kinds: Any) -> None:
    files = sorted((EXAMPLES / "api" / "migrations" / "versions").glob("*.py"))
    assert [bool(kinds.findings(path.read_text())) for path in files] == [False, False, True]
