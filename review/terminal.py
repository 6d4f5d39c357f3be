"""The report on a terminal, in the order of the comment: what is grave first, nothing folded."""

from collections.abc import Iterator, Sequence

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from review.changes import Operation, PropertyChange
from review.report import Report
from review.wording import consequence, fate, short_type, shown, visible

_SIGNS = {
    Operation.REPLACE: ("±", "bold magenta"),
    Operation.DELETE: ("-", "bold red"),
    Operation.UPDATE: ("~", "yellow"),
    Operation.IMPORT: ("=", "cyan"),
    Operation.FORGET: ("○", "cyan"),
    Operation.CREATE: ("+", "green"),
}


def render(report: Report, console: Console) -> None:
    """Prints the report."""
    console.print(Group(*_parts(report)), soft_wrap=True)


def _parts(report: Report) -> Iterator[RenderableType]:
    style = "bold red" if report.status else "bold green"
    word = "failed" if report.status else "passed"
    yield Text(f"{report.stack}: {word}, {report.headline}", style=style)
    for check in report.failed:
        yield Text(f"  failed: {check.title}: {_lines(check.message)}", style="red")
        if check.remedy:
            yield Text(f"          {visible(check.remedy)}")
    yield from _changes(report)
    yield from _drifts(report)
    for finding in report.findings:
        state = f"waived: {finding.waived}" if finding.waived is not None else finding.severity
        name = finding.resource.rsplit("::", 1)[-1]
        yield Text(
            f"  policy {visible(f'{finding.id} ({state}) {name}: {finding.message} {finding.remedy}')}"
        )
    if report.costs:
        yield _costs(report)
    yield from (Text(f"  warning: {_lines(text)}", style="yellow") for text in report.reading.warnings)
    if report.plan:
        yield Text(f"Plan {report.plan.digest}")


def _lines(text: str) -> str:
    return "\n          ".join(visible(line) for line in text.splitlines())


def _changes(report: Report) -> Iterator[RenderableType]:
    for change in report.reading.changes:
        sign, style = _SIGNS[change.operation]
        line = Text(f"  {sign} {visible(change.name)} ", style=style)
        line.append(short_type(change.type), style="default")
        if change.because:
            line.append(f", because of {visible(', '.join(change.because))}", style="default")
        if change.loses:
            line.append(f", {consequence(change)}", style="bold red")
        yield line
        if change.operation is not Operation.CREATE and change.properties:
            yield _properties(change.properties)


def _drifts(report: Report) -> Iterator[RenderableType]:
    for title, drifts in (
        ("Changed outside the program", report.outside),
        ("Written by others, as meant", report.delegated),
    ):
        if drifts:
            yield Text(title, style="bold")
        for drift in drifts:
            yield Text(f"  ! {visible(drift.name)} {short_type(drift.type)}: {fate(drift)}")
            if drift.properties:
                yield _properties(drift.properties)


def _properties(properties: Sequence[PropertyChange]) -> Text:
    # A table of rich's for each of a thousand changes takes seconds.
    lines = []
    for each in properties:
        before, after = (shown(value) or "nothing" for value in (each.before, each.after))
        lines.append(f"      {visible(each.path)}: {before} → {after}")
    return Text("\n".join(lines))


def _costs(report: Report) -> Table:
    table = Table(title=f"Cost a month, {report.costs[0].currency}", title_justify="left")
    table.add_column("component")
    for name in ("before", "after", "change"):
        table.add_column(name, justify="right")
    rows = [(cost.component, cost.before, cost.after) for cost in report.costs]
    rows.append(("all", sum(row[1] for row in rows), sum(row[2] for row in rows)))
    for component, before, after in rows:
        table.add_row(escape(component), f"{before:,.2f}", f"{after:,.2f}", f"{after - before:+,.2f}")
    return table
