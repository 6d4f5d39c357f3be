"""What a benchmark measured, beside its goal, and sections that can't take each other down."""

import statistics
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

MET = {True: "met", False: "MISSED", None: ""}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row. `met` is None where there is no goal."""

    what: str
    measured: str
    goal: str = ""
    met: bool | None = None


Section = Callable[[], Iterable[Figure]]


class NotMeasured(Exception):
    """A benchmark can't be made here, and what to do about it."""


def judged(what: str, value: float, shown: str, limit: float, goal: str) -> Figure:
    """A figure whose goal is to be at most `limit`."""
    return Figure(what=what, measured=shown, goal=goal, met=value <= limit)


def spread(values: Sequence[float], unit: str = "s", digits: int = 1) -> str:
    """The median with the range around it."""
    middle, low, high = (
        f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} {unit} ({low} to {high})"


def progress(line: str) -> None:
    """Says on standard error what is being done."""
    sys.stderr.write(f"[{time.strftime('%H:%M:%S')}] {line}\n")
    sys.stderr.flush()


def table_of(figures: Iterable[Figure]) -> "Table":
    """The figures beside their goals."""
    # Not at the top: a process whose memory is measured imports this module too.
    from rich.table import Table

    table = Table("what", "measured", "goal", "")
    for figure in figures:
        table.add_row(figure.what, figure.measured, figure.goal, MET[figure.met])
    return table


def collected(name: str, section: Section) -> tuple[list[Figure], bool]:
    """A section's figures, as far as it got, and whether it got to its end."""
    progress(f"{name}: begins")
    found: list[Figure] = []
    try:
        for figure in section():
            found.append(figure)
            progress(f"{name}: {figure.what}: {figure.measured} {MET[figure.met]}".rstrip())
    except Exception as error:  # noqa: BLE001 - whatever it was, the other sections go on
        words = str(error) if isinstance(error, NotMeasured) else f"{type(error).__name__}: {error}"
        said = getattr(error, "stderr", None)
        progress(f"{name}: {words}" + (f"\n{said}" if said else ""))
        found.append(Figure(what=name, measured=f"NOT MEASURED: {words}"))
        return found, False
    return found, True
