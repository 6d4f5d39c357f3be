"""A release as curves over time: weights, and requests and errors by version. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from components.colours import COLOURS, Colour, other
from release.progress import Event, readable

# What a curve of requests that nobody answered is called.
NOBODY = "no answer"


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What was measured from outside in a short time.

    at: its beginning. seconds: its length.
    requests: answered or not, by the version that answered; whatever nobody answered is under "".
    errors: those of them that failed.
    """

    at: datetime
    requests: Mapping[str, int]
    errors: Mapping[str, int] = field(default_factory=dict)
    seconds: float = 1.0


@dataclass(frozen=True, kw_only=True)
class Stage:
    """A phase from `start` to `end`, in seconds since the beginning of the picture."""

    phase: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A moment that matters, and why. bad: traffic went back, or an alarm or a judge said that it should."""

    at: float
    text: str
    bad: bool


@dataclass(frozen=True, kw_only=True)
class Point:
    """One moment of a version. error_percent: None without requests."""

    at: float
    per_second: float
    error_percent: float | None


@dataclass(frozen=True, kw_only=True)
class Series:
    """All of it, in seconds since `began`.

    weights: percent by colour from each moment on.
    versions: curves by version, in the order in which they first answered; "" (nobody) comes last.
    colours: the colour that a version ran in, as far as that is known.
    """

    began: datetime
    seconds: float
    stages: Sequence[Stage]
    marks: Sequence[Mark]
    weights: Sequence[tuple[float, Mapping[Colour, int]]]
    versions: Mapping[str, Sequence[Point]]
    colours: Mapping[str, Colour]


def series(
    samples: Sequence[Sample],
    events: Sequence[Event],
    *,
    service: str | None = None,
    colours: Mapping[str, Colour] | None = None,
    points: int = 240,
) -> Series:
    """The curves of one service.

    service: whose weights; default: the first that the events speak of.
    colours: the colour that each version ran in; default: in turn, as they first answered.
    points: most points of a curve; more samples are averaged.

    Raises ValueError without samples and events: there is nothing to draw.
    """
    times = [sample.at for sample in samples] + [event["at"] for event in events if "at" in event]
    if not times:
        raise ValueError("no samples and no events: there is nothing to draw")
    began = min(times)
    ends = [(sample.at - began).total_seconds() + sample.seconds for sample in samples]
    length = max([(max(times) - began).total_seconds(), *ends, 1.0])
    versions = _versions(samples)
    return Series(
        began=began,
        seconds=length,
        stages=_stages(events, began, length),
        marks=_marks(events, began, service),
        weights=_weights(events, began, service),
        versions={name: _curve(samples, name, began, length, points) for name in versions},
        colours=colours or {name: COLOURS[number % 2] for number, name in enumerate(filter(None, versions))},
    )


def _versions(samples: Sequence[Sample]) -> list[str]:
    found = dict.fromkeys(name for sample in samples for name in sample.requests)
    return [*(name for name in found if name), *(name for name in found if not name)]


def _curve(
    samples: Sequence[Sample], name: str, began: datetime, length: float, points: int
) -> Sequence[Point]:
    # Whole seconds, so that no bucket gets one sample more than its neighbours.
    width = max(1.0, float(-(-length // points)))
    buckets: dict[int, list[Sample]] = {}
    for sample in samples:
        buckets.setdefault(int((sample.at - began).total_seconds() // width), []).append(sample)
    curve = []
    for number, inside in sorted(buckets.items()):
        requests = sum(sample.requests.get(name, 0) for sample in inside)
        errors = sum(sample.errors.get(name, 0) for sample in inside)
        curve.append(
            Point(
                at=(number + 0.5) * width if width > 1 else _middle(inside, began),
                per_second=requests / sum(sample.seconds for sample in inside),
                error_percent=100 * errors / requests if requests else None,
            )
        )
    return curve


def _middle(inside: Sequence[Sample], began: datetime) -> float:
    return sum((sample.at - began).total_seconds() + sample.seconds / 2 for sample in inside) / len(inside)


def _stages(events: Sequence[Event], began: datetime, length: float) -> list[Stage]:
    found = [
        ((event["at"] - began).total_seconds(), str(event["phase"]))
        for event in events
        if event.get("kind") == "phase"
    ]
    ends = [start for start, _ in found[1:]] + [length] * bool(found)
    stages: list[Stage] = []
    for (start, phase), end in zip(found, ends, strict=True):
        if stages and stages[-1].phase == phase:
            stages[-1] = Stage(phase=phase, start=stages[-1].start, end=end)
        else:
            stages.append(Stage(phase=phase, start=start, end=end))
    return stages


def _marks(events: Sequence[Event], began: datetime, service: str | None) -> list[Mark]:
    marks: list[Mark] = []
    before = ""
    for event in events:
        kind, at = event.get("kind"), event.get("at")
        if at is None:
            continue
        moment = (at - began).total_seconds()
        if kind == "phase":
            # Each step is a phase event again; only the turn back is marked.
            if event.get("phase") == "ROLLING_BACK" and before != "ROLLING_BACK":
                why = readable(str(event.get("reason", "")))
                marks.append(Mark(at=moment, text=f"rolled back: {why}", bad=True))
            before = str(event.get("phase"))
        elif kind == "held":
            marks.append(Mark(at=moment, text=f"held: {readable(str(event.get('reason', '')))}", bad=False))
        elif kind == "alarm" and service in (None, event.get("service")):
            alarms = ", ".join(readable(str(alarm)) for alarm in event.get("alarms") or [])
            marks.append(Mark(at=moment, text=f"alarm: {alarms}", bad=True))
    return marks


def _weights(
    events: Sequence[Event], began: datetime, service: str | None
) -> list[tuple[float, Mapping[Colour, int]]]:
    told = [event for event in events if event.get("kind") == "weights"]
    whose = service or (str(told[0].get("service")) if told else None)
    told = [event for event in told if event.get("service") == whose]
    if not told:
        return []
    new: Colour = "blue" if told[0].get("new") == "blue" else "green"
    # Before the first write all traffic was the old colour's.
    found: list[tuple[float, Mapping[Colour, int]]] = [(0.0, {other(new): 100, new: 0})]
    for event in told:
        weights: Mapping[Colour, int] = {colour: int(event["weights"].get(colour, 0)) for colour in COLOURS}
        if weights != found[-1][1]:
            found.append(((event["at"] - began).total_seconds(), weights))
    return found
