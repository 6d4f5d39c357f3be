"""The comment: complete where it matters, within GitHub's limit, and harmless whatever is in the values."""

import os
import re
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from pulumi.automation import EngineEvent

from review.escaping import code, prose
from review.markdown import LIMIT, marker, render
from review.policy_findings import PolicyFinding
from review.report import CostDelta
from tests.review.events import (
    BUCKET,
    GOLDEN,
    INSTANCE,
    SERVICE,
    ended,
    recorded,
    report_of,
    said,
    step,
    thousand,
)

COSTS = [
    CostDelta(
        component="main",
        before=120.0,
        after=240.5,
        assumptions=("730 hours a month",),
        unpriced=("aws:wafv2/webAcl:WebAcl edge",),
    ),
    CostDelta(component="api", before=36.04, after=36.04),
]
FINDINGS = [
    PolicyFinding(
        id="RDS.5",
        severity="medium",
        resource="main",
        message="one zone only",
        remedy="Set multi_az.",
        waived=None,
    ),
    PolicyFinding(
        id="ELB.6",
        severity="low",
        resource="edge-lb",
        message="no protection",
        remedy="",
        waived="a test stack",
    ),
]
# cmark's own tables; HTML is let through as GitHub does for <details>.
GFM = MarkdownIt("commonmark", {"html": True}).enable("table").enable("strikethrough")


@cache
def comments() -> dict[str, str]:
    shift = report_of(recorded("weight-shift"), refreshed=True)
    return {
        "first-up": render(report_of(recorded("first-up"))),
        "harmless-change": render(report_of(recorded("harmless-change"))),
        "database-replacement": render(
            report_of(recorded("database-replacement"), costs=COSTS, findings=FINDINGS)
        ),
        "weight-shift": render(shift),
        "thousand-changes": render(report_of(thousand())),
        "failed-preview": render(
            report_of([said("error", "no credentials: `aws sso login`\nand then\nagain")])
        ),
        "no-changes": render(report_of([ended()])),
    }


@pytest.mark.parametrize("name", list(comments()))
def test_the_comment_is_as_it_was_looked_at(name: str) -> None:
    """GOLDEN=write writes them anew; then look at them as GitHub shows them (docs/pull-requests.md)."""
    path, now = GOLDEN / f"{name}.md", comments()[name]
    if os.environ.get("GOLDEN") == "write":
        path.write_text(now)
    assert path.read_text() == now


def test_a_thousand_changes_fit_and_the_summary_is_whole() -> None:
    text = render(report_of(thousand()))
    assert len(text.encode()) < LIMIT
    assert "40 to replace, 60 to delete, 400 to update, 500 to create" in text
    assert "**100 checks failed.**" in text
    assert all(f"<code>db-{number}</code>" in text for number in range(40)), "the gravest are all told"
    assert all(f"<code>bucket-{number}</code>" in text for number in range(60))
    assert text.rstrip().endswith("</sub>"), "the digest is never cut"


@pytest.mark.parametrize("limit", [20_000, 64_000])
def test_every_change_is_told_or_counted(limit: int) -> None:
    text = render(report_of(thousand()), limit)
    assert limit > 20_000 or "- … 500 more: 500 aws.cloudwatch.MetricAlarm" in text
    left = sum(int(found) for found in re.findall(r"- … (\d+) more", text))
    lines = len(re.findall(r"<code>(?:db|bucket|service|alarm)-\d+</code> aws", text))
    assert lines + left == 1000


def test_replacements_and_deletions_come_before_everything_else() -> None:
    text = render(report_of(thousand()))
    places = [
        text.index(word) for word in ("#### Replaced: 40", "#### Deleted: 60", "Updated: 400", "Created: 500")
    ]
    assert places == sorted(places)


@pytest.mark.parametrize("limit", [20_000, 30_000, 64_000])
def test_a_smaller_limit_is_kept_too(limit: int) -> None:
    text = render(report_of(thousand()), limit)
    assert len(text.encode()) < limit
    assert "40 to replace" in text


def test_the_marker_is_the_first_line_and_of_the_stack_alone() -> None:
    assert render(report_of([ended()], stack="prod")).startswith("<!-- switchyard:preview:prod -->\n")
    assert marker("a-->b<script>") == "<!-- switchyard:preview:a--bscript -->"


NASTY = [
    "</details><script>alert(1)</script>",
    "`` ` ``` | x | --> <!--",
    "@octocat please look at #12 and https://evil.example",
    "a\n\n# Heading\n\n- [x] list",
    "![image](https://evil.example/x.png)",
    "<img src=x onerror=alert(1)>",
    "\u202eright to left\u200b",
    "| a | b |\\|",
    "&lt;b&gt;",
    "",
    " ` ",
]


def nasty_events(text: str) -> Sequence[EngineEvent]:
    return [
        step(
            "update",
            SERVICE,
            f"name {text}",
            {"a": "", text or "k": "1"},
            {"a": text, text or "k": "2"},
            diffs=["a"],
        ),
        step("replace", INSTANCE, "db", {"x": text}, {"x": "y"}, diffs=["x"], keys=["x"]),
        step("delete", BUCKET, "b", {}, state={"id": text}),
        step("create", BUCKET, "c", None, {"bucket": text, text or "k": text}),
        step("refresh", SERVICE, "d", {"a": text}, {"a": f"{text}!"}, event="resOutputsEvent"),
        said("warning", text),
        ended(),
    ]


def shown_to_a_reader(markdown: str) -> tuple[str, str]:
    """The page without what is code, and all of it."""
    page = GFM.render(markdown)
    return re.sub(r"<(code|pre)[ >].*?</\1>", "", re.sub(r"<code>", "<code >", page), flags=re.DOTALL), page


@pytest.mark.parametrize("text", NASTY)
def test_no_value_becomes_markup_a_link_or_a_mention(text: str) -> None:
    finding = PolicyFinding(id=text, severity=text, resource=text, message=text, remedy=text)
    cost = CostDelta(component=text, before=1, after=2, assumptions=(text,), unpriced=(text,))
    markdown = render(report_of(list(nasty_events(text)), findings=[finding], costs=[cost]))
    words, page = shown_to_a_reader(markdown)
    assert not re.search(r"<(script|img|a|h1|li><input)\b", page)
    assert not re.search(r"@\w", words)
    assert not re.search(r"(^|\s)#\d", words)
    assert "https://" not in words
    assert page.count("<details>") == page.count("</details>")
    assert "\u202e" not in markdown


@given(st.text(min_size=1, max_size=60))
@settings(max_examples=200)
def test_code_shows_the_text_and_nothing_of_it_is_markup(text: str) -> None:
    for table in (False, True):
        markdown = f"| x |\n|---|\n| {code(text, table=True)} |" if table else f"a {code(text)} b"
        page = GFM.render(markdown)
        assert page.count("<code>") == 1
        assert len(re.findall(r"<t[dh]>", page)) == (2 if table else 0)


@given(st.text(max_size=80))
@settings(max_examples=200)
def test_prose_is_one_paragraph_of_plain_words(text: str) -> None:
    page = GFM.render(f"a {prose(text)} b")
    assert re.findall(r"<(\w+)", page) == ["p"]


def test_a_failed_preview_shows_the_engines_words_whole() -> None:
    text = render(report_of([said("error", "line one\n```\nline two")]))
    assert "````text\nline one\n```\nline two\n````" in text
    assert "The preview failed" in text
    assert "No plan was made" in text


def test_the_largest_possible_words_stay_within_the_limit() -> None:
    finding = PolicyFinding(
        id="&" * 500, severity="&" * 500, resource="r", message="&" * 5000, remedy="😀" * 5000
    )
    events = [*thousand()[:-1], said("warning", "<" * 100_000), ended()]
    cost = CostDelta(component="|" * 99, before=1, after=2, assumptions=("&" * 999,), unpriced=("&" * 999,))
    text = render(report_of(events, findings=[finding] * 300, costs=[cost] * 60))
    assert len(text.encode()) < LIMIT
    assert "400 checks failed" in text
    long_error = render(report_of([said("error", "&<😀" * 50_000)]))
    assert len(long_error.encode()) < LIMIT
