"""Whether a revision takes something away that the version before it needs.

Two versions of the application run on one schema during a release, and after a rollback the old one runs
on the new schema. An *expand* leaves the old one all that it uses; a *contract* does not. Nothing is run:
the revision's source is read. What can't be told from the source counts as contract.
"""

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Operations of Alembic that leave everything as usable as before.
HARMLESS = {
    "add_column",  # looked at below: NOT NULL without a default breaks old inserts
    "alter_column",  # looked at below
    "batch_alter_table",  # what is done in it is looked at
    "bulk_insert",
    "create_index",  # looked at below: a unique one refuses what was accepted
    "create_table",
    "create_table_comment",
    "drop_table_comment",
    "execute",  # looked at below
    "f",
    "get_context",
}
# Statements that take away or refuse what was accepted.
TAKES_AWAY = re.compile(
    r"\b(drop|rename|truncate|delete|revoke|exclude|set\s+schema|set\s+not\s+null|alter\s+type"
    r"|alter\s+(column\s+)?\S+\s+(set\s+data\s+)?type|add\s+(constraint|unique|check|foreign|primary)"
    r"|create\s+unique|or\s+replace|attach|detach)\b",
    re.IGNORECASE,
)
ADDS_REQUIRED = re.compile(r"\badd\s+(column\s+)?(?!constraint)[^;,]*?\bnot\s+null\b", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that makes a revision a contract."""

    line: int
    what: str


def findings(source: str) -> list[Finding]:
    """Everything in the revision's source, its downgrade aside, that an old application may not survive.

    Raises SyntaxError.
    """
    tree = ast.parse(source)
    body = [node for node in tree.body if getattr(node, "name", None) != "downgrade"]
    names = _names(body)
    nodes = [node for part in body for node in ast.walk(part)]
    found = [finding for node in nodes if isinstance(node, ast.Call) for finding in _call(node, names)]
    return sorted([*found, *_hidden(nodes, names)], key=lambda finding: finding.line)


def check(path: Path, declared: str) -> str | None:
    """Why the revision in the file can't be what it says; None if it can.

    A revision may always call itself a contract. It is an expand only if nothing speaks against it.
    """
    if declared not in ("expand", "contract"):
        return f'{path.name} says switchyard = {declared!r}: it may be "expand" or "contract"'
    found = findings(path.read_text())
    if declared == "contract" or not found:
        return None
    reasons = "; ".join(f"line {finding.line} {finding.what}" for finding in found)
    return (
        f"{path.name} says that it is an expand, but {reasons}. "
        'Say switchyard = "contract" and name its floor, or move that to a later revision'
    )


def _names(body: list[ast.stmt]) -> set[str]:
    """`op`, and what `with op.batch_alter_table(…) as …` calls itself."""
    names = {"op"}
    for part in body:
        for node in ast.walk(part):
            if isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
                names.add(node.optional_vars.id)
    return names


def _hidden(nodes: list[ast.AST], names: set[str]) -> Iterator[Finding]:
    """Ways to change the schema behind the back of this reading."""
    owners = {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    stores = {id(node) for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    foreign: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import | ast.ImportFrom):
            module = node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name
            aliases = [alias.asname or alias.name for alias in node.names]
            if module.startswith("alembic") and (module, aliases) != ("alembic", ["op"]):
                yield Finding(
                    line=node.lineno, what="imports Alembic in another way than `from alembic import op`"
                )
            elif module.split(".")[0] not in sys.stdlib_module_names | {"alembic", "sqlalchemy"}:
                foreign |= {alias.split(".")[0] for alias in aliases}
        elif isinstance(node, ast.Name) and node.id in names and id(node) not in owners | stores:
            yield Finding(line=node.lineno, what=f"hands {node.id} on to what can't be seen here")
    for node in nodes:
        if (
            isinstance(node, ast.Expr)
            and isinstance(node.value, ast.Call)
            and _root(node.value.func) in foreign
        ):
            yield Finding(line=node.lineno, what=f"calls {_root(node.value.func)}, which can't be seen here")


def _root(node: ast.expr) -> str:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def _call(call: ast.Call, names: set[str]) -> Iterator[Finding]:
    function = call.func
    if not (
        isinstance(function, ast.Attribute)
        and isinstance(function.value, ast.Name)
        and function.value.id in names
    ):
        return
    name = function.attr
    looks = {
        "add_column": _add_column,
        "alter_column": _alter_column,
        "create_index": _create_index,
        "execute": _execute,
    }
    if name in looks:
        what = looks[name](call)
        if what:
            yield Finding(line=call.lineno, what=what)
    elif name not in HARMLESS:
        yield Finding(line=call.lineno, what=f"does {name}")


def _argument(call: ast.Call, name: str) -> ast.expr | None:
    return next((keyword.value for keyword in call.keywords if keyword.arg == name), None)


def _is(node: ast.expr | None, value: object) -> bool:
    return isinstance(node, ast.Constant) and node.value is value


def _add_column(call: ast.Call) -> str | None:
    columns = [
        node
        for argument in call.args
        for node in ast.walk(argument)
        if isinstance(node, ast.Call) and _last_name(node.func) == "Column"
    ]
    if not columns:
        return "adds a column that can't be seen here"
    column = columns[0]
    nullable, default = _argument(column, "nullable"), _argument(column, "server_default")
    required = (nullable is not None and not _is(nullable, True)) or _is(
        _argument(column, "primary_key"), True
    )
    if required and (default is None or _is(default, None)):
        return "adds a column that is NOT NULL and has no server_default"
    if _is(_argument(column, "unique"), True):
        return "adds a unique column"
    if any(
        isinstance(node, ast.Call) and _last_name(node.func) in ("ForeignKey", "CheckConstraint")
        for node in ast.walk(column)
    ):
        return "adds a column with a constraint"
    return None


def _alter_column(call: ast.Call) -> str | None:
    if _argument(call, "new_column_name") is not None:
        return "renames a column"
    if _argument(call, "type_") is not None:
        return "changes the type of a column"
    nullable, default = _argument(call, "nullable"), _argument(call, "server_default")
    if nullable is not None and not _is(nullable, True):
        return "makes a column NOT NULL"
    if default is not None and isinstance(default, ast.Constant) and default.value in (None, False):
        return "takes the default of a column away"
    return None


def _create_index(call: ast.Call) -> str | None:
    unique = _argument(call, "unique")
    return None if unique is None or _is(unique, False) else "makes an index unique"


def _execute(call: ast.Call) -> str | None:
    statement = call.args[0] if call.args else _argument(call, "sqltext")
    if isinstance(statement, ast.Call) and _last_name(statement.func) == "text" and statement.args:
        statement = statement.args[0]
    if not (isinstance(statement, ast.Constant) and isinstance(statement.value, str)):
        return "runs SQL that can't be seen here"
    sql = re.sub(r"--[^\n]*|/\*.*?\*/", " ", statement.value, flags=re.DOTALL)
    if re.search(r"\b(do|call)\b", sql, re.IGNORECASE):
        return "runs a block or a procedure that can't be seen here"
    if re.search(r"\bcreate\s+(function|procedure)\b", sql, re.IGNORECASE):
        # What a new function would do is not done yet.
        sql = re.sub(r"(\$\w*\$).*?\1", " ", sql, flags=re.DOTALL)
    found = TAKES_AWAY.search(sql)
    if found:
        return f"runs {' '.join(found[0].split()).upper()}"
    required = ADDS_REQUIRED.search(sql)
    if (
        required
        and "default" not in required[0].lower()
        and not re.search(r"\bdefault\b", sql, re.IGNORECASE)
    ):
        return "adds a column that is NOT NULL and has no default"
    return None


def _last_name(node: ast.expr) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""
