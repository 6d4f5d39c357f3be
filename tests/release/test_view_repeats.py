"""What a log of a release repeats, and what it does not."""

import io
from datetime import UTC, datetime

from rich.console import Console

from release.view import ReleaseView

NOW = datetime(2026, 11, 21, 18, 29, tzinfo=UTC)


def test_a_step_is_told_once_although_its_weights_stand_between() -> None:
    written = io.StringIO()
    view = ReleaseView(Console(file=written, width=200), now=lambda: NOW)
    for share in (20, 100):
        reason = f"{share} percent to the new colour"
        step = {"at": NOW, "number": 1, "step": share // 20, "steps": 2, "reason": reason}
        view.event({**step, "kind": "phase", "phase": "SHIFTING"})
        weights = {"blue": 100 - share, "green": share}
        view.event({**step, "kind": "weights", "service": "web", "new": "green", "weights": weights})
        view.say(f"SHIFTING: {reason}")
        view.say("SHIFTING: watched for 20 s, nothing speaks against it")
    assert [line.removeprefix("18:29:00 ") for line in written.getvalue().splitlines()] == [
        "SHIFTING: 20 percent to the new colour",
        "web: blue 80 %, green 20 %",
        "SHIFTING: watched for 20 s, nothing speaks against it",
        "SHIFTING: 100 percent to the new colour",
        "web: blue 0 %, green 100 %",
        "SHIFTING: watched for 20 s, nothing speaks against it",
    ]
