"""Asks the judges of a release, beside everything else that is looked at."""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from release.errors import Unavailable
from release.model import Phase, Release
from release.ports import Analyst, Outcome, Verdict

Said = Sequence[tuple[str, Verdict]]
Stage = tuple[Phase, int, datetime]
# How long one look waits for them, in seconds; what comes later is there at the next look.
PATIENCE_SECONDS = 1.0


class Judges:
    """The judges, in a thread of their own: a slow one must not keep the alarms from being looked at.

    One round of questions is under way at a time, and counts for the stage that it was asked about.
    show: called with the service and each verdict.
    """

    def __init__(self, analyst: Analyst, show: Callable[[str, Verdict], None]) -> None:
        self._analyst = analyst
        self._show = show
        self._round: _Round | None = None

    def word(self, release: Release, now: datetime) -> Said | Unavailable | None:
        """By service, what they say of the stage so far; None while they have not come to it.

        At the end of a stage, what they said of its beginning is not enough: they are asked again.
        """
        stage = (release.phase, release.step, release.since)
        if self._round is None or self._round.stage != stage:
            self._round = _Round(self._analyst, release, stage, now)
        current = self._round
        if not current.over(PATIENCE_SECONDS):
            return None
        self._round = None
        if current.broken is not None:
            raise current.broken
        for service, verdict in current.said:
            self._show(service, verdict)
        if any(verdict.outcome is Outcome.FAIL for _, verdict in current.said):
            return current.said
        if current.silent is not None:
            return current.silent
        over = (now - release.since).total_seconds() >= release.stage_seconds
        of_all = (current.asked - release.since).total_seconds() >= release.stage_seconds
        return None if over and not of_all else current.said


class _Round:
    """One question to every judge."""

    def __init__(self, analyst: Analyst, release: Release, stage: Stage, now: datetime) -> None:
        self.stage = stage
        self.asked = now
        self.said: list[tuple[str, Verdict]] = []
        self.silent: Unavailable | None = None
        self.broken: BaseException | None = None
        self._analyst = analyst
        self._thread = threading.Thread(target=self._ask, args=(release,), name="release-judges", daemon=True)
        self._thread.start()

    def over(self, seconds: float) -> bool:
        """Whether all have answered, after waiting for that long."""
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _ask(self, release: Release) -> None:
        for change in release.changes:
            # Without an old version there is nothing to compare with.
            if change.first:
                continue
            try:
                verdicts = self._analyst.judge(
                    change.service, change.new, change.old, release.since, self.asked
                )
            except Unavailable as error:
                self.silent = error
            except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
                self.broken = error
                return
            else:
                self.said.extend((change.service, verdict) for verdict in verdicts)
