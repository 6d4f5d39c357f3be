"""The settings file of a stack, where the engine would write to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

SALT = "encryptionsalt"


@contextmanager
def kept(file: Path, *, only: bool = True) -> Iterator[None]:
    """Takes out again what the engine writes into the file: the salt of the embedded cloud's state.

    Whatever else a person changes in it meanwhile stays. only: False does nothing.
    """
    before = file.read_text() if only else ""
    try:
        yield
    finally:
        after = file.read_text()
        if only and after != before and SALT not in _content(before):
            content = _content(after)
            content.pop(SALT, None)
            if content == _content(before):
                # The engine has written the whole file anew, and not as people write.
                file.write_text(before)
            else:
                lines = after.splitlines(keepends=True)
                file.write_text("".join(line for line in lines if not line.startswith(f"{SALT}:")))


def _content(text: str) -> dict[str, object]:
    found = yaml.safe_load(text)
    return found if isinstance(found, dict) else {}
