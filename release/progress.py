"""What is known of a release while it runs, from its events. Pure: what to show, not how."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Event = Mapping[str, Any]
Tone = Literal["plain", "good", "bad", "unsure"]

TONES: Mapping[str, Tone] = {"pass": "good", "fail": "bad", "insufficient": "unsure"}
BAD_PHASES = ("ROLLING_BACK", "ROLLED_BACK", "NEEDS_PERSON")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One thing that happened, for people. at: None where that is now."""

    text: str
    at: datetime | None = None
    tone: Tone = "plain"


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """What a judge said last."""

    outcome: str
    reason: str


@dataclass
class Progress:
    """The newest of everything, by what it is about.

    weights: percent by colour, by service. new: the colour that is released to, by service.
    counts: healthy and wanted tasks, by service and colour. opinions: by service and judge.
    """

    number: int | None = None
    phase: str = ""
    reason: str = ""
    step: int = 0
    steps: int = 0
    began: datetime | None = None
    weights: dict[str, Mapping[str, int]] = field(default_factory=dict)
    new: dict[str, str] = field(default_factory=dict)
    counts: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    opinions: dict[tuple[str, str], Opinion] = field(default_factory=dict)
    alarms: dict[str, Sequence[str]] = field(default_factory=dict)
    held: str | None = None
    outcome: str | None = None

    def take(self, event: Event) -> list[Line]:
        """Keeps what the event says, and returns what of it is news. An unknown kind is none."""
        at = event.get("at")
        if isinstance(at, datetime) and self.began is None:
            self.began = at
        if isinstance(event.get("number"), int):
            self.number = event["number"]
        taker = {
            "phase": self._phase,
            "weights": self._weights,
            "counts": self._counts,
            "verdict": self._verdict,
            "alarm": self._alarm,
            "held": self._hold,
            "ended": self._end,
        }.get(str(event.get("kind")))
        return [
            Line(text=readable(text), tone=tone, at=at if isinstance(at, datetime) else None)
            for text, tone in (taker(event) if taker else [])
        ]

    def _phase(self, event: Event) -> list[tuple[str, Tone]]:
        phase = readable(str(event.get("phase", "")))
        if phase != self.phase or event.get("step", 0) != self.step:
            # What was said of the stage before says nothing of this one.
            self.opinions.clear()
        self.phase, self.held = phase, None
        self.step, self.steps = int(event.get("step", 0)), int(event.get("steps", 0))
        self.reason = readable(str(event.get("reason", "")))
        tone: Tone = "good" if phase == "COMPLETED" else "bad" if phase in BAD_PHASES else "plain"
        return [(f"{phase}: {self.reason}", tone)]

    def _weights(self, event: Event) -> list[tuple[str, Tone]]:
        service, weights = readable(str(event.get("service", ""))), dict(event.get("weights") or {})
        self.new[service] = str(event.get("new", ""))
        if self.weights.get(service) == weights:
            return []
        self.weights[service] = weights
        shares = ", ".join(f"{colour} {weight} %" for colour, weight in weights.items())
        return [(f"{service}: {shares}", "plain")]

    def _counts(self, event: Event) -> list[tuple[str, Tone]]:
        service, colour = readable(str(event.get("service", ""))), readable(str(event.get("colour", "")))
        wanted = int(event.get("wanted", event.get("desired", 0)))
        found = int(event.get("healthy", 0)), wanted
        if self.counts.get((service, colour)) == found:
            return []
        self.counts[service, colour] = found
        return [(f"{service} {colour}: {found[0]} of {wanted} healthy", "plain")]

    def _verdict(self, event: Event) -> list[tuple[str, Tone]]:
        key = readable(str(event.get("service", ""))), readable(str(event.get("source", "")))
        outcome, reason = (readable(str(event.get(name, ""))) for name in ("outcome", "reason"))
        now = Opinion(outcome=outcome, reason=reason)
        before = self.opinions.get(key)
        self.opinions[key] = now
        if before is not None and before.outcome == now.outcome:
            return []
        return [(f"{key[0]} {key[1]}: {now.outcome}: {now.reason}", TONES.get(now.outcome, "plain"))]

    def _alarm(self, event: Event) -> list[tuple[str, Tone]]:
        service, alarms = readable(str(event.get("service", ""))), list(event.get("alarms") or [])
        before = self.alarms.get(service, ())
        self.alarms[service] = alarms
        return [(f"{service}: alarm {alarm}", "bad") for alarm in alarms if alarm not in before]

    def _hold(self, event: Event) -> list[tuple[str, Tone]]:
        self.held = readable(str(event.get("hold", "")))
        self.reason = readable(str(event.get("reason", "")))
        return [(f"held, waiting for {self.held}: {self.reason}", "unsure")]

    def _end(self, event: Event) -> list[tuple[str, Tone]]:
        self.outcome = str(event.get("outcome", ""))
        self.reason = readable(str(event.get("reason", "")))
        said = self.outcome.replace("_", " ").lower()
        return [
            (f"ended: {said}, exit status {event.get('code')}", "good" if event.get("code") == 0 else "bad")
        ]


def readable(text: str) -> str:
    """The text in one line, without what would steer a terminal: reasons quote what others wrote."""
    return "".join(c if c.isprintable() else " " for c in " ".join(text.split()))


def duration(seconds: float) -> str:
    """Such as `45 s`, `1 min 30 s`, `2 h 5 min`; parts that are 0 are left out."""
    whole = max(0, round(seconds))
    if 0 < seconds < 1:
        return f"{seconds:.1g} s"
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    parts = [(hours, "h"), (minutes, "min"), (0 if hours else rest, "s")]
    return " ".join(f"{amount} {unit}" for amount, unit in parts if amount) or "0 s"


def clock(seconds: float) -> str:
    """Such as `3:07` or `1:03:07`."""
    whole = max(0, int(seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
