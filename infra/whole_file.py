"""A file that is written whole, or stays as it was."""

import uuid
from pathlib import Path


def write_whole(file: Path, content: str | bytes) -> None:
    """Writes this in place of what the file holds. Raises OSError, and leaves nothing half-done then."""
    part = file.with_name(f".{file.name}.{uuid.uuid4().hex}.part")
    try:
        part.write_bytes(content if isinstance(content, bytes) else content.encode())
        part.replace(file)
    finally:
        part.unlink(missing_ok=True)
