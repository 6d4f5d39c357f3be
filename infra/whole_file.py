"""A file that is written whole, or stays as it was."""

import os
from pathlib import Path


def write_whole(file: Path, text: str) -> None:
    """Writes the text in place of what the file holds. Raises OSError, and leaves nothing half-done then."""
    part = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        part.write_text(text)
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
