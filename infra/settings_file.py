"""The settings file of a stack, where the engine would write to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

# What the engine writes of its own accord: how the secrets of a new stack are encrypted.
WRITTEN = ("encryptionsalt", "encryptedkey", "secretsprovider")


@contextmanager
def kept(file: Path, *, only: bool = True) -> Iterator[None]:
    """Takes out again what the engine writes into the file, for a state that is gone afterwards.

    Whatever else a person changes in it meanwhile stays. A file that was not there goes again. only: False
    does nothing.
    """
    before = file.read_text() if file.exists() else None
    try:
        yield
    finally:
        if only and file.exists():
            _restore(file, before)


def _restore(file: Path, before: str | None) -> None:
    after = file.read_text()
    if before is None:
        file.unlink()
        return
    if after == before:
        return
    had, has = _content(before), _content(after)
    added = [key for key in WRITTEN if key in has and key not in had]
    if {key: value for key, value in has.items() if key not in added} == had:
        # The engine has written the whole file anew, and not as people write.
        file.write_text(before)
    elif added:
        lines = after.splitlines(keepends=True)
        file.write_text("".join(line for line in lines if line.partition(":")[0] not in added))


def _content(text: str) -> dict[str, object]:
    found = yaml.safe_load(text)
    # The engine leaves out what is empty.
    return {key: value for key, value in found.items() if value} if isinstance(found, dict) else {}
