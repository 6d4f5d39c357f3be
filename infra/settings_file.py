"""The settings file of a stack, where the engine would write to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from infra.whole_file import write_whole

# What the engine writes of its own accord: how the secrets of a new stack are encrypted.
WRITTEN = ("encryptionsalt", "encryptedkey", "secretsprovider")


@contextmanager
def kept(file: Path, *, only: bool = True) -> Iterator[None]:
    """Undoes what the engine writes into the file and takes out of it, for a state that is gone afterwards.

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
    elif after != before:
        # The engine writes the whole file anew, and not as people write.
        same = _theirs(after) == _theirs(before)
        write_whole(file, before if same else "".join([*_lines(after, False), *_lines(before, True)]))


def _lines(text: str, engines: bool) -> list[str]:
    """The lines that the engine writes of its own accord, or all others."""
    ended = text if text.endswith("\n") or not text else f"{text}\n"
    return [
        line for line in ended.splitlines(keepends=True) if (line.partition(":")[0] in WRITTEN) is engines
    ]


def _theirs(text: str) -> dict[str, object]:
    """What people have written."""
    found = yaml.safe_load(text)
    # The engine leaves out what is empty.
    found = found if isinstance(found, dict) else {}
    return {key: value for key, value in found.items() if value and key not in WRITTEN}
