"""The settings file of a stack, where the engine would write to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def kept(file: Path, *, only: bool = True) -> Iterator[None]:
    """Leaves the file as it was: the engine writes the embedded cloud's salt into it. only: else nothing."""
    before = file.read_bytes() if only else None
    try:
        yield
    finally:
        if before is not None and file.read_bytes() != before:
            file.write_bytes(before)
