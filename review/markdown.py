"""The report as a comment on a pull request: GitHub's Markdown, below GitHub's limit. Pure.

The summary is never cut. Of the rest as much as fits is told: first a line for each change, the gravest
first, then its properties. What does not fit is counted by type, and is in the JSON report.

Everything that comes from outside stands in code or is escaped: no value becomes markup, a link or a mention.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from review.changes import Change, Drift, Operation, PropertyChange
from review.escaping import brief, code, in_html, prose
from review.policy_findings import PolicyFinding
from review.report import Check, CostDelta, Report
from review.wording import consequence, cut, fate, short_type, shown, visible

# GitHub takes 65,536 characters; counted are bytes, to be safe for any of them.
LIMIT = 64_000
# Kept for what is said of the changes that did not fit.
RESERVE = 2_000
# So many failed checks are spelled out, as far as there is room; all of them are counted.
LISTED_CHECKS = (10, 3, 0)
LONGEST_ERROR = 6_000

_TITLES = {
    Operation.REPLACE: "Replaced",
    Operation.DELETE: "Deleted",
    Operation.UPDATE: "Updated",
    Operation.IMPORT: "Imported",
    Operation.FORGET: "Forgotten by the state, left in AWS",
    Operation.CREATE: "Created",
}
_OPEN = (Operation.REPLACE, Operation.DELETE)


def marker(stack: str) -> str:
    """The hidden line by which the comment of a stack is found again."""
    return f"<!-- switchyard:preview:{re.sub(r'[^A-Za-z0-9_./-]', '', stack)} -->"


def render(report: Report, limit: int = LIMIT) -> str:
    """The comment, in at most `limit` bytes of UTF-8."""
    tail = "\n\n".join([*_costs(report.costs), _footer(report)])
    for listed in LISTED_CHECKS:
        counts = [_counts(report)] if report.plan else []
        head = "\n\n".join([marker(report.stack), _headline(report), *_checks(report, listed), *counts])
        if _size(head) + _size(tail) + RESERVE < limit:
            break
    room = limit - _size(head) - _size(tail) - RESERVE
    body = _fitted(_sections(report), room)
    return "\n\n".join(part for part in (head, body, tail) if part) + "\n"


def render_drift(report: Report, head: str, limit: int = LIMIT) -> str:
    """What was changed outside the program and by nobody who may, below a head; in at most `limit` bytes."""
    found = _Section(title="Changed", items=[_drift(drift) for drift in report.outside], opened=True)
    return f"{head}\n\n{_fitted([found], limit - _size(head) - RESERVE)}\n"


def _headline(report: Report) -> str:
    word = "failed" if report.status else "passed"
    said = report.headline[:1].upper() + report.headline[1:]
    return f"### Preview of {code(report.stack)}: {word}\n\n**{said}.**"


def _checks(report: Report, listed: int) -> list[str]:
    """The failed checks: the engine's own words apart, for they have many lines."""
    if report.plan is None:
        return [_block(check) for check in report.failed]
    if not report.failed:
        return []
    many = "check" if len(report.failed) == 1 else "checks"
    lines = ["> [!CAUTION]", f"> **{len(report.failed)} {many} failed.**"]
    explained = set()
    for check in report.failed[:listed]:
        # The same is mended the same way: that is said once.
        lines.append(f"> - {_check(check, remedy=check.title not in explained)}")
        explained.add(check.title)
    if len(report.failed) > listed:
        lines.append(f"> - and {len(report.failed) - listed} more")
    return ["\n".join(lines)]


def _check(check: Check, *, remedy: bool) -> str:
    said = f"**{prose(check.title)}**: {_sentence(prose(brief(check.message)))}"
    return f"{said} {_sentence(_with_code(brief(check.remedy)))}" if remedy and check.remedy else said


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _with_code(text: str) -> str:
    """Our own words, in which `code` is marked as such."""
    parts = text.split("`")
    return "".join(code(part) if index % 2 else prose(part) for index, part in enumerate(parts))


def _block(check: Check) -> str:
    text = cut(check.message, LONGEST_ERROR)
    fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", text)), default=0) + 1)
    lines = "\n".join(visible(line) for line in text.splitlines())
    said = f"> [!CAUTION]\n> **{prose(check.title)}.** {_sentence(prose(check.remedy))}"
    return f"{said}\n\n{fence}text\n{lines}\n{fence}"


def _counts(report: Report) -> str:
    columns = {operation.value: count for operation, count in report.counts.items()}
    columns = {name: count for name, count in columns.items() if count or name not in ("import", "forget")}
    columns["unchanged"] = report.reading.unchanged
    if report.refreshed:
        columns["changed outside"] = len(report.outside)
    if report.findings:
        columns["policy findings"] = sum(finding.waived is None for finding in report.findings)
    head = " | ".join(columns)
    return f"| {head} |\n|{'---:|' * len(columns)}\n| {' | '.join(map(str, columns.values()))} |"


@dataclass(frozen=True, kw_only=True)
class _Item:
    """Something to tell: in a line, and with all of it. `kind`: what it is counted as when left out."""

    kind: str
    line: str
    full: str


@dataclass(frozen=True, kw_only=True)
class _Section:
    """Items under a heading, folded unless `opened`."""

    title: str
    items: Sequence[_Item]
    opened: bool = False

    def text(self, told: Sequence[str], left: Sequence[_Item]) -> str:
        """The section with what is told of it, and the rest counted."""
        parts = list(told)
        if left:
            kinds = Counter(item.kind for item in left).most_common()
            listed = ", ".join(f"{count} {kind}" for kind, count in kinds[:8])
            more = f" and {len(kinds) - 8} other types" if len(kinds) > 8 else ""
            parts.append(f"- … {len(left)} more: {listed}{more}")
        body = "\n".join(parts)
        if self.opened:
            return f"#### {self.title}\n\n{body}"
        return f"<details><summary>{self.title}</summary>\n\n{body}\n\n</details>"


def _sections(report: Report) -> list[_Section]:
    """What is told, the gravest first."""
    sections = []
    for operation in Operation:
        items = [_change(change) for change in report.reading.changes if change.operation is operation]
        title = f"{_TITLES[operation]}: {len(items)}"
        sections.append(_Section(title=title, items=items, opened=operation in _OPEN))
    outside = [_drift(drift) for drift in report.outside]
    sections.insert(
        2, _Section(title=f"Changed outside the program: {len(outside)}", items=outside, opened=True)
    )
    delegated = [_drift(drift) for drift in report.delegated]
    sections.insert(3, _Section(title=f"Written by others, as meant: {len(delegated)}", items=delegated))
    findings = sorted(
        report.findings, key=lambda finding: (finding.waived is not None, not finding.mandatory)
    )
    sections.insert(
        4, _Section(title=f"Policy: {len(findings)}", items=[_finding(finding) for finding in findings])
    )
    warnings = [
        _Item(kind="warnings", line=f"- {prose(brief(text))}", full=f"- {prose(brief(text))}")
        for text in report.reading.warnings
    ]
    sections.append(_Section(title=f"The engine's warnings: {len(warnings)}", items=warnings))
    return [section for section in sections if section.items]


def _fitted(sections: Sequence[_Section], room: int) -> str:
    """The sections, with as many lines as there is room for, and then as many details."""
    frames = sum(_size(section.title) + 300 for section in sections)
    room -= frames
    told: list[list[str]] = []
    for section in sections:
        lines: list[str] = []
        for item in section.items:
            if _size(item.line) + 1 > room:
                break
            room -= _size(item.line) + 1
            lines.append(item.line)
        told.append(lines)
    for section, lines in zip(sections, told, strict=True):
        for index in range(len(lines)):
            more = _size(section.items[index].full) - _size(lines[index])
            if more <= room:
                room -= more
                lines[index] = section.items[index].full
    parts = zip(sections, told, strict=True)
    return "\n\n".join(section.text(_joined(lines), section.items[len(lines) :]) for section, lines in parts)


def _joined(lines: Iterable[str]) -> list[str]:
    """A fold needs an empty line before what follows it, else that is taken as HTML."""
    return [f"{line}\n" if line.endswith("</details>") else line for line in lines]


def _change(change: Change) -> _Item:
    kind = short_type(change.type)
    said = [f"<code>{in_html(change.name)}</code> {in_html(kind)}"]
    if change.component:
        said.append(f"in {in_html('/'.join(change.component))}")
    if change.because:
        said.append(
            "because of " + ", ".join(f"<code>{in_html(brief(key, 80))}</code>" for key in change.because)
        )
    if change.loses:
        said.append(f"<b>{in_html(consequence(change))}</b>")
    heads = ("property", "value") if change.operation is Operation.CREATE else ("property", "before", "after")
    return _folded(kind, " · ".join(said), change.properties, change.id, heads)


def _drift(drift: Drift) -> _Item:
    kind = short_type(drift.type)
    said = f"<code>{in_html(drift.name)}</code> {in_html(kind)} · {in_html(fate(drift))}"
    return _folded(kind, said, drift.properties, "", heads=("property", "in the state", "found"))


def _folded(
    kind: str,
    said: str,
    properties: Sequence[PropertyChange],
    id_: str,
    heads: Sequence[str] = ("property", "before", "after"),
) -> _Item:
    """An item whose properties are folded under its line."""
    line = f"- {said}"
    inner = [f"{code(brief(id_))}\n"] if id_ else []
    if properties:
        inner.append(_table(properties, heads))
    if not inner:
        return _Item(kind=kind, line=line, full=line)
    body = "\n".join(inner)
    return _Item(kind=kind, line=line, full=f"<details><summary>{said}</summary>\n\n{body}\n\n</details>")


def _table(properties: Sequence[PropertyChange], heads: Sequence[str]) -> str:
    """A row for each property; under two heads only what it becomes."""
    rows = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for each in properties:
        name = code(each.path, table=True) + (" (replaces)" if each.replaces else "")
        values = [each.before, each.after][-len(heads) + 1 :]
        rows.append(f"| {' | '.join([name, *map(_cell, values)])} |")
    return "\n".join(rows)


def _cell(value: str | None) -> str:
    text = shown(value)
    return "" if text is None else code(text, table=True)


def _finding(finding: PolicyFinding) -> _Item:
    name = finding.resource.rsplit("::", 1)[-1]
    state = "" if finding.mandatory else " (advice)"
    state = f" (waived: {prose(finding.waived)})" if finding.waived is not None else state
    about = f"{code(finding.id)} {prose(finding.severity)}, {code(name)}{state}"
    line = f"- {about}: {prose(brief(finding.message))}"
    remedy = f" {_sentence(prose(brief(finding.remedy)))}" if finding.remedy else ""
    return _Item(kind="findings", line=line, full=f"{line.rstrip('.')}.{remedy}")


def _costs(costs: Sequence[CostDelta]) -> list[str]:
    if not costs:
        return []
    before, after = sum(cost.before for cost in costs), sum(cost.after for cost in costs)
    currency = costs[0].currency
    changed = [cost for cost in costs if abs(cost.after - cost.before) >= 0.005]
    rows = [
        f"| {code(cost.component, table=True)} | {cost.before:,.2f} | {cost.after:,.2f} "
        f"| {cost.after - cost.before:+,.2f} |"
        for cost in sorted(changed, key=lambda cost: -abs(cost.after - cost.before))[:30]
    ]
    rows.append(f"| all | {before:,.2f} | {after:,.2f} | **{after - before:+,.2f}** |")
    table = "\n".join([f"| {currency} a month | before | after | change |", "|---|---:|---:|---:|", *rows])
    notes = [f"- {prose(brief(text))}" for cost in costs for text in cost.assumptions]
    unpriced = sorted({text for cost in costs for text in cost.unpriced})
    if unpriced:
        listed = ", ".join(code(brief(text, 80)) for text in unpriced[:20])
        more = f" and {len(unpriced) - 20} more" if len(unpriced) > 20 else ""
        notes.insert(0, f"- Without a known price, and not free: {listed}{more}")
    notes = list(dict.fromkeys(notes))[:20]
    title = f"Cost: {after - before:+,.2f} {currency} a month, to {after:,.2f}"
    body = "\n\n".join(part for part in (table, "\n".join(notes)) if part)
    return [f"<details><summary>{title}</summary>\n\n{body}\n\n</details>"]


def _footer(report: Report) -> str:
    if report.plan is None:
        return "<sub>No plan was made: there is nothing to apply.</sub>"
    read = "AWS was read first" if report.refreshed else "AWS was not read first"
    apply = f"switchyard up --stack {report.stack} --plan {report.plan.digest}"
    return (
        f"Plan {code(report.plan.digest)}\n\n"
        f"<sub>To apply exactly this: {code(apply)}. State {code(report.plan.state[:12])}; {read}.</sub>"
    )


def _size(text: str) -> int:
    return len(text.encode())
