"""How long a report of a thousand changes takes: reading the engine's events, and rendering each format.

python -m bench report
"""

import io
import json
import statistics
import time
from collections.abc import Callable, Iterator

from rich.console import Console

from bench.results import Figure, judged, spread

GOAL_SECONDS = 0.5
RUNS = 5


def figures() -> Iterator[Figure]:
    """The whole way from events to a comment, and each part of it."""
    from review import markdown, terminal
    from review.events import read
    from review.masking import Masker
    from tests.review.events import report_of, thousand

    events = thousand()
    report = report_of(events)
    secrets = [f"planted-secret-{number}" for number in range(50)]
    goal = f"≤ {GOAL_SECONDS} s"

    def whole() -> object:
        return markdown.render(report_of(events, secrets=secrets))

    def on_a_terminal() -> None:
        terminal.render(report, Console(file=io.StringIO(), width=120))

    parts: dict[str, Callable[[], object]] = {
        "from the events of 1,000 changes to Markdown": whole,
        "of which reading, with 50 known secrets": lambda: read(events, Masker(secrets)),
        "1,000 changes as Markdown": lambda: markdown.render(report),
        "1,000 changes as JSON": lambda: json.dumps(report.to_json()),
        "1,000 changes on a terminal": on_a_terminal,
    }
    for what, work in parts.items():
        clock, cpu = timed(work)
        shown = f"{spread(clock, digits=2)}, CPU {spread(cpu, digits=2)}"
        if what.startswith("of which"):
            yield Figure(what=what, measured=shown)
        else:
            yield judged(what, statistics.median(clock), shown, GOAL_SECONDS, goal)


def timed(work: Callable[[], object]) -> tuple[list[float], list[float]]:
    """Seconds by the clock, and of CPU, of some runs after one that is not counted."""
    clock, cpu = [], []
    work()
    for _ in range(RUNS):
        begun, spent = time.perf_counter(), time.process_time()
        work()
        clock.append(time.perf_counter() - begun)
        cpu.append(time.process_time() - spent)
    return clock, cpu
