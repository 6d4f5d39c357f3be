"""What the commands share: their output, and the options that many of them have."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console

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
