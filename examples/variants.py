"""Ready-to-publish versions of an example, sound or broken in one way or another."""

import json
import re
import shutil
from pathlib import Path
from typing import Literal

EXAMPLES = Path(__file__).parent
# What the API's code called the title before revision 0002, and the line that says so.
COLUMN_LINE = 'COLUMN = "title"'
OLD_COLUMN_LINE = 'COLUMN = "name"'


def variant(
    into: Path,
    service: Literal["api", "web"] = "api",
    version: str = "1",
    schema: str | None = None,
    **behaviour: object,
) -> Path:
    """A copy of the example in `into/<service>-<version>`, which is returned.

    version: what the image says it is, in `X-Version`.
    schema: newest revision of the API's database that this version knows; all of them if None.
    behaviour: what goes wrong, by the keys of `behaviour.json` (see examples/README.md).

    Raises ValueError for a revision that the example does not have.
    """
    folder = into / f"{service}-{version}"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(
        EXAMPLES / service, folder, ignore=shutil.ignore_patterns("__pycache__", "*.pyc", ".mypy_cache")
    )
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(
        re.sub(r"^ENV VERSION=.*$", f"ENV VERSION={version}", dockerfile.read_text(), flags=re.M)
    )
    if behaviour:
        (folder / "behaviour.json").write_text(json.dumps(behaviour, indent=2, sort_keys=True) + "\n")
    if schema is not None:
        _as_of(folder, schema)
    return folder


def _as_of(folder: Path, schema: str) -> None:
    revisions = {path.name.split("_")[0]: path for path in (folder / "migrations" / "versions").glob("*.py")}
    if schema not in revisions:
        raise ValueError(f"schema {schema!r}: the example has the revisions {', '.join(sorted(revisions))}")
    for number, path in revisions.items():
        if number > schema:
            path.unlink()
    if schema < "0002":
        items = folder / "api" / "items.py"
        items.write_text(items.read_text().replace(COLUMN_LINE, OLD_COLUMN_LINE))
