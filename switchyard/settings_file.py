"""The settings file of a stack, where the engine would write to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SALT = "encryptionsalt:"


@contextmanager
def kept(file: Path, *, only: bool = True) -> Iterator[None]:
    """Takes out again what the engine writes into the file: the salt of the embedded cloud's state.

    Whatever else changes in it meanwhile is a person's, and stays. only: False does nothing.
    """
    had_one = not only or SALT in file.read_text()
    try:
        yield
    finally:
        if not had_one:
            lines = file.read_text().splitlines(keepends=True)
            without = [line for line in lines if not line.startswith(SALT)]
            if without != lines:
                file.write_text("".join(without))
