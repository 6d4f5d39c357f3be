"""How long a report of a thousand changes takes: reading the engine's events, and rendering each format.

python -m bench.report
"""

import io
import json
import statistics
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from review import markdown, terminal
from review.events import read
from review.masking import Masker
from tests.review.events import report_of, thousand

GOAL_SECONDS = 0.5
RUNS = 5


def seconds(work: Callable[[], object]) -> float:
    """The median of some runs."""
    taken = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def figures() -> dict[str, float]:
    """Seconds by what is done."""
    events = thousand()
    report = report_of(events)
    masker_words = [f"planted-secret-{number}" for number in range(50)]
    return {
        "reading 1,000 changes from events, 50 known secrets": seconds(
            lambda: read(events, Masker(masker_words))
        ),
        "Markdown": seconds(lambda: markdown.render(report)),
        "JSON": seconds(lambda: json.dumps(report.to_json())),
        "terminal": seconds(lambda: terminal.render(report, Console(file=io.StringIO(), width=120))),
    }


def main() -> None:
    """Prints every figure beside its goal."""
    table = Table("what", "median seconds", "goal")
    for what, taken in figures().items():
        table.add_row(what, f"{taken:.3f}", "" if what.startswith("reading") else f"≤ {GOAL_SECONDS}")
    Console().print(table)


if __name__ == "__main__":
    main()
