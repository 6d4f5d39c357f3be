"""The report on a terminal."""

import io

from rich.console import Console

from review import terminal
from review.report import CostDelta
from tests.review.events import SERVICE, ended, recorded, report_of, said, step


def shown(report: object) -> str:
    text = io.StringIO()
    terminal.render(report, Console(file=text, width=300))  # type: ignore[arg-type]
    return text.getvalue()


def test_what_is_grave_comes_first_and_the_digest_last() -> None:
    report = report_of(recorded("database-replacement"))
    lines = shown(report).splitlines()
    assert lines[0] == "local: failed, 3 to replace, 3 to update"
    assert lines[1].startswith("  failed: Loses data: replace of aws:rds/instance:Instance main")
    assert "  ± main aws.rds.Instance, because of dbName, loses data" in lines
    assert "      dbName: shop → store" in lines
    assert report.plan is not None
    assert lines[-1] == f"Plan {report.plan.digest}"


def test_what_was_moved_outside_is_told_apart() -> None:
    text = shown(report_of(recorded("weight-shift"), refreshed=True))
    assert text.index("~ monitoring-api") < text.index("Changed outside the program")
    assert "! monitoring-api aws.cloudwatch.LogGroup: this plan changes it back" in text
    assert "! api-production aws.lb.ListenerRule: the release engine may write this" in text


def test_no_value_is_taken_for_markup_or_moves_the_cursor() -> None:
    events = [step("update", SERVICE, "a", {"x": "[red]"}, {"x": "\x1b[2Jgone"}, diffs=["x"]), ended()]
    text = shown(report_of(events))
    assert "x: [red] → \\u{1b}[2Jgone" in text
    assert "\x1b" not in text


def test_a_failed_preview_shows_all_of_the_engines_words() -> None:
    text = shown(report_of([said("error", "line one\nline two")]))
    assert "line one\n          line two" in text
    assert "Plan" not in text


def test_the_costs_add_up() -> None:
    costs = [
        CostDelta(component="api", before=36.04, after=72.08),
        CostDelta(component="main", before=100, after=90),
    ]
    rows = [line.split() for line in shown(report_of([ended()], costs=costs)).splitlines()]
    assert ["│", "all", "│", "136.04", "│", "162.08", "│", "+26.04", "│"] in rows
