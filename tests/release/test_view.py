"""What people see: lines in a log, a live display on a real terminal, plans and histories as tables."""

import io
import os
import pty
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from release.progress import Progress, clock, duration, readable
from release.view import ReleaseView, bar, render_history, render_plan, short, shown

AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop-prod/api@sha256:" + "ab" * 32
ESCAPE = "\x1b"


def event(kind: str, seconds: float = 0, **values: Any) -> dict[str, Any]:
    return {"at": AT + timedelta(seconds=seconds), "kind": kind, "number": 7, **values}


def weights(blue: int, seconds: float = 0) -> dict[str, Any]:
    shares = {"blue": blue, "green": 100 - blue}
    return event("weights", seconds, service="api", new="green", weights=shares)


def verdict(outcome: str, reason: str, seconds: float = 0) -> dict[str, Any]:
    return event("verdict", seconds, service="api", source="error rate", outcome=outcome, reason=reason)


RELEASE: Sequence[Mapping[str, Any]] = [
    event("phase", 0, phase="SCALING", reason="migrated", step=0, steps=2),
    event("counts", 1, service="api", colour="green", wanted=2, healthy=1, running=2, desired=2),
    event("counts", 2, service="api", colour="green", wanted=2, healthy=2, running=2, desired=2),
    event("phase", 3, phase="SHIFTING", reason="verified", step=1, steps=2),
    weights(80, 4),
    verdict("insufficient", "too few requests", 10),
    verdict("insufficient", "still too few requests", 20),
    verdict("fail", "9 % against 0.1 %", 30),
    event("alarm", 31, service="api", alarms=["api-green-error-rate: 9 > 1"]),
    event("phase", 32, phase="ROLLING_BACK", reason="9 % against 0.1 %", step=1, steps=2),
    weights(100, 33),
    event("phase", 34, phase="ROLLED_BACK", reason="9 % against 0.1 %", step=1, steps=2),
    event("ended", 35, code=4, outcome="ROLLED_BACK", reason="9 % against 0.1 %"),
]
NEWS = [
    "12:00:00 SCALING: migrated",
    "12:00:01 api green: 1 of 2 healthy",
    "12:00:02 api green: 2 of 2 healthy",
    "12:00:03 SHIFTING: verified",
    "12:00:04 api: blue 80 %, green 20 %",
    "12:00:10 api error rate: insufficient: too few requests",
    "12:00:30 api error rate: fail: 9 % against 0.1 %",
    "12:00:31 api: alarm api-green-error-rate: 9 > 1",
    "12:00:32 ROLLING_BACK: 9 % against 0.1 %",
    "12:00:33 api: blue 100 %, green 0 %",
    "12:00:34 ROLLED_BACK: 9 % against 0.1 %",
    "12:00:35 ended: rolled back, exit status 4",
]


def plain_console() -> tuple[Console, io.StringIO]:
    written = io.StringIO()
    return Console(file=written, width=80, highlight=False), written


def said(events: Sequence[Mapping[str, Any]], *lines: str, **more: Any) -> list[str]:
    """What a log gets of the events, and then of the lines."""
    console, written = plain_console()
    with ReleaseView(console, now=lambda: AT, **more) as view:
        for one in events:
            view.event(one)
        for line in lines:
            view.say(line)
    return written.getvalue().splitlines()


def test_a_log_has_one_line_for_each_piece_of_news_in_order() -> None:
    assert said(RELEASE) == NEWS


def test_what_is_no_news_is_not_said_again() -> None:
    twice = [one for one in RELEASE[:5] for _ in range(3)]
    assert said(twice) == NEWS[:5]


def test_a_verdict_of_another_stage_is_news_again() -> None:
    events = [
        event("phase", phase="SHIFTING", reason="a", step=1, steps=2),
        verdict("pass", "alike"),
        event("phase", phase="SHIFTING", reason="b", step=2, steps=2),
        verdict("pass", "alike"),
    ]
    assert sum("error rate: pass" in line for line in said(events)) == 2


def test_a_phase_that_is_both_said_and_observed_is_one_line() -> None:
    assert said(RELEASE[:1], "SCALING: migrated", "updating api-green") == [
        NEWS[0],
        "12:00:00 updating api-green",
    ]


def test_a_log_has_no_colours_no_cursor_and_no_broken_lines() -> None:
    long = [verdict("fail", "word " * 100)]
    [line] = said(long)
    assert ESCAPE not in line
    assert line.count("word") == 100


def test_a_quiet_view_shows_nothing() -> None:
    assert said(RELEASE, "a line", quiet=True) == []


def test_a_hold_says_what_is_waited_for() -> None:
    held = event("held", hold="traffic", reason="too few requests")
    assert said([held]) == ["12:00:00 held, waiting for traffic: too few requests"]


@pytest.mark.parametrize("strange", [{}, {"kind": "unheard of"}, {"kind": None}, {"at": "yesterday"}])
def test_an_event_that_nobody_knows_is_left_out(strange: dict[str, Any]) -> None:
    assert said([strange]) == []


@given(
    st.lists(
        st.fixed_dictionaries(
            {"kind": st.sampled_from(["phase", "weights", "verdict", "alarm", "counts", "held", "ended"])},
            optional={
                "service": st.text(max_size=5),
                "phase": st.sampled_from(["SHIFTING", "BAKING", "x"]),
                "reason": st.text(),
                "outcome": st.text(max_size=9),
                "weights": st.dictionaries(st.sampled_from(["blue", "green"]), st.integers(0, 100)),
                "alarms": st.lists(st.text(max_size=9), max_size=3),
                "number": st.integers(0, 99),
            },
        ),
        max_size=8,
    )
)
def test_no_event_breaks_the_display_or_steers_the_terminal(events: list[dict[str, Any]]) -> None:
    progress = Progress()
    lines = [line.text for one in events for line in progress.take(one)]
    console, written = plain_console()
    console.print(shown(progress, activity="", now=AT, planned_seconds=None, ascii_only=False))
    assert all(text.isprintable() for text in lines)
    assert ESCAPE not in written.getvalue()


def test_markup_in_a_reason_is_text() -> None:
    assert said([verdict("fail", "[red]not markup[/] [/oops]")])[0].endswith("[red]not markup[/] [/oops]")


def test_what_steers_a_terminal_is_taken_out() -> None:
    assert readable("a\x1b[2Jb\x07\r\nc\td") == "a [2Jb  c d"


# --- live, on a real terminal


@contextmanager
def terminal(**environment: str) -> Iterator[tuple[Console, Callable[[], str]]]:
    """A console on a pseudo-terminal, and what has been written to it so far."""
    ours, theirs = pty.openpty()
    chunks: list[bytes] = []

    def read() -> None:
        try:
            while chunk := os.read(ours, 65536):
                chunks.append(chunk)
        except OSError:
            return  # the other end was closed

    reader = threading.Thread(target=read)
    reader.start()
    file = os.fdopen(theirs, "w", encoding="utf-8")
    console = Console(
        file=file, width=100, height=30, highlight=False, _environ={"TERM": "xterm-256color", **environment}
    )

    def written() -> str:
        if not file.closed:
            file.close()
            reader.join(10)
        return b"".join(chunks).decode()

    try:
        yield console, written
    finally:
        written()
        os.close(ours)


def test_a_terminal_shows_the_newest_state_below_the_news() -> None:
    with terminal() as (console, written):
        view = ReleaseView(console, now=lambda: AT + timedelta(seconds=35), planned_seconds=95)
        with view:
            for one in RELEASE[:6]:
                view.event(one)
            view.say("updating api-green")
            assert view._live is not None
            view._live.refresh()
        text = written()
    plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", text)
    assert "Release 7  SHIFTING  step 1 of 2  0:35  at least 1:00 more" in plain
    assert "█" * 24 + "░" * 6 in plain
    assert "blue 80 %  green 20 % (new)" in plain
    assert "healthy green 2/2" in plain
    assert "? api error rate: too few requests" in plain
    assert "updating api-green" in plain
    for line in NEWS[:6]:
        assert line in plain
    assert f"{ESCAPE}[34m" in text, "blue is blue"


def test_a_chart_can_stand_below_the_state() -> None:
    with terminal() as (console, written):
        with ReleaseView(console, now=lambda: AT, below=lambda: "the chart") as view:
            view.event(RELEASE[0])
            assert view._live is not None
            view._live.refresh()
        plain = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", written())
    assert re.search(r"Release 7  SCALING  0:00\s+the chart", plain)


def test_no_color_is_respected_on_a_terminal() -> None:
    with terminal(NO_COLOR="1") as (console, written):
        with ReleaseView(console, now=lambda: AT) as view:
            for one in RELEASE:
                view.event(one)
        text = written()
    assert "ended: rolled back" in text
    assert not re.search(r"\x1b\[[0-9;]*3[0-9]m", text)


def test_colours_that_are_forced_on_a_log_move_no_cursor() -> None:
    written = io.StringIO()
    console = Console(file=written, force_terminal=True, width=80, _environ={"TERM": "xterm-256color"})
    with ReleaseView(console, now=lambda: AT) as view:
        for one in RELEASE:
            view.event(one)
    assert f"{ESCAPE}[1;31m" in written.getvalue()
    assert not re.search(r"\x1b\[\d*[ABCDJK]", written.getvalue())


def test_events_from_several_threads_do_not_stand_still() -> None:
    with terminal() as (console, written):
        with ReleaseView(console, now=lambda: AT) as view:
            assert view._live is not None

            def many(start: int) -> None:
                for number in range(200):
                    view.event(weights((start + number) % 100))
                    view._live.refresh()  # type: ignore[union-attr]

            threads = [threading.Thread(target=many, args=(n * 30,), daemon=True) for n in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(60)
            assert not any(thread.is_alive() for thread in threads)
        assert "green" in written()


def test_a_terminal_that_knows_no_blocks_gets_letters() -> None:
    progress = Progress()
    for one in RELEASE[:9]:
        progress.take(one)
    console, written = plain_console()
    console.print(shown(progress, activity="", now=AT, planned_seconds=None, ascii_only=True))
    assert "#" * 24 + "." * 6 in written.getvalue()
    assert "FAIL api error rate" in written.getvalue()
    assert written.getvalue().isascii()


@given(st.integers(0, 100), st.integers(2, 80))
def test_a_bar_shows_every_share_that_there_is(blue: int, width: int) -> None:
    text = bar({"blue": blue, "green": 100 - blue}, width=width).plain
    assert len(text) == width
    assert ("█" in text) is (blue > 0)
    assert ("░" in text) is (blue < 100)


def test_no_weight_at_all_is_an_empty_bar() -> None:
    assert bar({}).plain == ""


# --- plans and histories


def plan(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "stack": "prod",
        "kind": "full",
        "digest": "cd" * 32,
        "changes": [
            {
                "service": "api",
                "image": IMAGE,
                "new": "green",
                "old": "blue",
                "previous_image": IMAGE.replace("ab", "cd"),
                "first": False,
            }
        ],
        "strategy": "linear",
        "steps": [{"percent": 50, "wait_seconds": 90}, {"percent": 100, "wait_seconds": 0}],
        "bake_seconds": 600,
        "approval": False,
        "analysed": True,
        "watched_by": ["alarms", "a comparison of both colours"],
        "gates": [
            {"name": "account", "passed": True, "reason": "123456789012 is allowed", "overridable": False},
            {"name": "alarms", "passed": False, "reason": "api-cpu fires", "overridable": True},
        ],
        "overrides": {},
        "minimum_seconds": 690,
        "rollback_seconds": 10,
        "notes": [],
        "refusals": ["alarms: api-cpu fires (an emergency may override it)"],
        "used_overrides": {},
    }
    return found | changes


def rendered(render: Callable[[Any, Console], None], what: Any, width: int = 140) -> str:
    written = io.StringIO()
    render(what, Console(file=written, width=width, highlight=False))
    return written.getvalue()


def test_a_plan_says_all_that_will_happen() -> None:
    text = rendered(render_plan, plan())
    assert "prod: full release, linear" in text
    assert re.search(r"api +│ api@abababababab +│ green +│ blue +│ api@cdcdcdcdcdcd", text)
    assert "Traffic: 50 % for 1 min 30 s, then 100 %; then a bake of 10 min" in text
    assert "Watched by alarms and a comparison of both colours." in text
    assert "At least 11 min 30 s" in text
    assert "at most 10 s after the sign" in text
    assert re.search(r"account +│ ✓", text)
    assert re.search(r"alarms +│ ✗", text)
    assert "Refused: alarms: api-cpu fires (an emergency may override it)" in text
    assert ESCAPE not in text


def test_an_overridden_gate_shows_the_reason() -> None:
    text = rendered(render_plan, plan(refusals=[], used_overrides={"alarms": "this is the fix"}))
    assert re.search(r"alarms +│ overridden +│ api-cpu fires Overridden: this is the fix", text)
    assert "Refused" not in text


def test_a_first_release_says_that_there_is_no_way_back() -> None:
    change = {**plan()["changes"][0], "first": True, "previous_image": None}
    text = rendered(
        render_plan, plan(changes=[change], rollback_seconds=None, notes=["api has never been released"])
    )
    assert "There is no way back: nothing ran before." in text
    assert "nothing: a first release" in text
    assert "Note: api has never been released" in text


def test_an_approval_is_announced() -> None:
    assert "It waits for an approval" in rendered(render_plan, plan(approval=True))
    assert "approval" not in rendered(render_plan, plan(refusals=[]))


def release(**changes: Any) -> dict[str, Any]:
    found: dict[str, Any] = {
        "number": 7,
        "stack": "prod",
        "kind": "full",
        "changes": [{"service": "api", "image": IMAGE}],
        "phase": "ROLLED_BACK",
        "held": None,
        "reason": "traffic is back",
        "cause": "p99 rose",
        "actor": "ada",
        "created_at": "2026-03-01T12:00:00+00:00",
        "updated_at": "2026-03-01T12:31:30+00:00",
    }
    return found | changes


def test_a_history_has_a_row_for_each_release() -> None:
    text = rendered(render_history, [release(number=8, phase="BAKING", held="freeze"), release()], width=200)
    rows = [line for line in text.splitlines() if "prod-" in line]
    assert len(rows) == 2
    assert "baking, held for freeze" in rows[0]
    for part in (
        "prod-7",
        "rolled back",
        "2026-03-01 12:00",
        "31 min 30 s",
        "ada",
        "api abababababab",
        "p99 rose",
    ):
        assert part in rows[1]


def test_a_stack_without_releases_says_so() -> None:
    assert rendered(render_history, []) == "nothing was released yet\n"


def test_the_engines_own_plan_and_releases_can_be_shown() -> None:
    from release.model import Phase, Release, ServiceChange, Step
    from release.plan import Plan
    from release.ports import GateResult
    from release.record import release_as_dict

    change = ServiceChange(
        service="api", image=IMAGE, new="green", old="blue", previous_image=None, first=True
    )
    whole = (Step(percent=100, wait_seconds=0),)
    made = Plan(
        stack="prod",
        kind="full",
        digest="cd" * 32,
        changes=(change,),
        strategy="all-at-once",
        steps=whole,
        bake_seconds=60,
        approval=True,
        analysed=False,
        gates=(GateResult(name="account", passed=True, reason="it is allowed", overridable=False),),
        overrides={},
        minimum_seconds=60,
        rollback_seconds=None,
        notes=(),
    )
    assert "a bake of 1 min" in rendered(render_plan, made.as_dict())
    kept = Release(
        number=3,
        stack="prod",
        kind="full",
        changes=(change,),
        strategy="all-at-once",
        steps=whole,
        bake_seconds=60,
        healthy_timeout_seconds=60,
        approval=True,
        actor="ada",
        created_at=AT,
        updated_at=AT,
        since=AT,
        phase=Phase.COMPLETED,
    )
    assert "completed" in rendered(render_history, [release_as_dict(kept)], width=200)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (0.5, "0.5 s"), (45, "45 s"), (60, "1 min"), (90, "1 min 30 s"), (7500, "2 h 5 min")],
)
def test_durations_are_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_clock_has_hours_only_if_it_needs_them() -> None:
    assert [clock(0), clock(187.9), clock(3787)] == ["0:00", "3:07", "1:03:07"]


def test_an_image_is_shown_by_what_differs() -> None:
    assert short(IMAGE) == "api@abababababab"
    assert short("not a digest") == "not a digest"
