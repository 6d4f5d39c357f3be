"""What the commands share: their output, and the options that many of them have."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from infra.whole_file import write_whole
from switchyard.errors import SwitchyardError

StackName = Annotated[str, typer.Option("--stack", "-s", help="The stack, as in Pulumi.<stack>.yaml.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Says what is being done: one changing line on a terminal, a line for each step elsewhere."""
    if err.is_terminal:
        with err.status("") as status:
            yield status.update
    else:
        yield lambda line: err.print(line, markup=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """One JSON document, for programs."""
    sys.stdout.write(json.dumps(value, indent=2, sort_keys=True) + "\n")


def writable(file: Path | None) -> None:
    """Raises SwitchyardError if `write` can't write there: better now than after minutes of work."""
    if file is not None and (not file.parent.is_dir() or file.is_dir()):
        raise SwitchyardError(
            f"--out {file} can't be written: there is no folder {file.parent}, or it is one"
        )


def write(file: Path, text: str) -> None:
    """Writes a file whole, or leaves what was there. Raises SwitchyardError."""
    try:
        if file.exists() and not file.is_file():
            # A pipe or a device can't be replaced.
            file.write_text(text)
        else:
            write_whole(file, text)
    except OSError as error:
        raise SwitchyardError(f"--out {file} can't be written: {error.strerror or error}") from None
    err.print(f"written to {file}", markup=False, soft_wrap=True)
