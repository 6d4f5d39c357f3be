"""A release as a picture: SVG for a record or a page. Pure."""

import math
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from xml.sax.saxutils import escape, quoteattr

from components.colours import COLOURS, Colour
from release.progress import Event, clock, readable
from release.series import NOBODY, Mark, Point, Sample, Series, series

WIDTH = 960
LEFT, RIGHT = 62, 18
TOP = 96
GAP = 38
BOTTOM = 44
PANELS = {"weights": 110, "requests": 150, "errors": 120}
# Narrower bands have no room for their phase's name.
LETTER_WIDTH = 6.6
SMALL_LETTER_WIDTH = 5.8
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
MOST_TICKS = 10
MARK_CHARACTERS = 120
MARK_LINES = 3
MARK_HEIGHT = 18
# Smaller areas have no room for their figure.
LABEL_WIDTH = 34
LEAST_LABELLED = 10
LEGEND_CHARACTERS = 20
LEAST_ERROR_TOP = 5.0

# Plain colours in classes, once for light and once for dark: also viewers without CSS variables show it.
STYLE = """
text{font:12px system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;fill:#3b4252}
.title{font-size:17px;font-weight:600;fill:#1f2430}.axis{font-size:11px;fill:#6b7385}
.name{font-size:12px;font-weight:600}.band-name{font-size:10px;fill:#6b7385}
.share{font-size:11px;font-weight:600;fill:#ffffff}.paper{fill:#ffffff}.grid{stroke:#e3e6ec;stroke-width:1}.frame{stroke:#b9c0cc;fill:none}
.band{fill:#8a94a6;fill-opacity:.07}.band-bad{fill:#d0342c;fill-opacity:.10}
.band-line{stroke:#b9c0cc;stroke-dasharray:2 3}
.blue-area{fill:#3273dc;fill-opacity:.80}.green-area{fill:#2aa26b;fill-opacity:.80}
.blue{stroke:#2563c9}.green{stroke:#16895a}.nobody{stroke:#7a8294}
.shade{fill-opacity:.18}.blue-fill{fill:#2563c9}.green-fill{fill:#16895a}.nobody-fill{fill:#7a8294}
.line{fill:none;stroke-width:2;stroke-linejoin:round;stroke-linecap:round}.again{stroke-dasharray:6 4}
.bad{stroke:#c62828;stroke-width:2}.bad-text{fill:#c62828;font-weight:600}
.alarm{stroke-dasharray:5 3}
.held{stroke:#a66a00;stroke-width:2;stroke-dasharray:4 3}.held-text{fill:#a66a00;font-weight:600}
"""
DARK = """
text{fill:#c9d1dc}.share{fill:#0d1117}.title{fill:#f0f3f8}.axis,.band-name{fill:#98a2b3}
.paper{fill:#14181f}.grid{stroke:#2a303b}.frame,.band-line{stroke:#4a5262}
.band{fill:#aab4c5;fill-opacity:.08}.band-bad{fill:#ff6b62;fill-opacity:.16}
.blue-area{fill:#5b95f5}.green-area{fill:#3fbf85}
.blue{stroke:#7fb0ff}.green{stroke:#54d69b}.nobody{stroke:#9aa4b5}
.blue-fill{fill:#7fb0ff}.green-fill{fill:#54d69b}.nobody-fill{fill:#9aa4b5}
.bad{stroke:#ff7b72}.bad-text{fill:#ff8f87}.held{stroke:#e3a84a}.held-text{fill:#e3a84a}
"""


def picture(
    samples: Sequence[Sample],
    events: Sequence[Event],
    *,
    title: str = "Release",
    service: str | None = None,
    colours: Mapping[str, Colour] | None = None,
) -> str:
    """An SVG of a release over time, readable on light and on dark pages.

    From the top: the weights of both colours, the requests per second and the share of errors of each
    version. Phases are bands across all three; a roll-back, alarms and holds are marked with their reason.

    samples: what a load generator or a log saw. events: what the driver observed.
    service: whose weights; default: the first that the events speak of.
    colours: the colour that each version ran in; default: in turn, as they first answered.

    Raises ValueError without samples and events.
    """
    found = series(samples, events, service=service, colours=colours)
    reasons = [line for mark in _each_once(found.marks) for line in _reason(mark)]
    below = TOP + sum(PANELS.values()) + GAP * (len(PANELS) - 1) + BOTTOM
    height = below + MARK_HEIGHT * len(reasons)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" '
        f'height="{height}" role="img" aria-label={quoteattr(readable(title))}>',
        f"<title>{_text(title)}</title>",
        f"<style>{STYLE}@media (prefers-color-scheme:dark){{{DARK}}}</style>",
        f'<rect class="paper" width="{WIDTH}" height="{height}" rx="8"/>',
        f'<text class="title" x="{LEFT}" y="30">{_text(title)}</text>',
        *_legend(found),
        *_bands(found),
        *_weights_panel(found),
        *_requests_panel(found),
        *_errors_panel(found),
        *_time_axis(found),
        *_marks(found),
        *(
            _label(LEFT, below + MARK_HEIGHT * number + 8, text, kind)
            for number, (text, kind) in enumerate(reasons)
        ),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


# --- where things are


def _top(panel: str) -> float:
    names = list(PANELS)
    before = names[: names.index(panel)]
    return TOP + sum(PANELS[name] for name in before) + GAP * len(before)


def _bottom(panel: str) -> float:
    return _top(panel) + PANELS[panel]


def _x(found: Series, at: float) -> float:
    inside = min(max(at, 0.0), found.seconds)
    return LEFT + (WIDTH - LEFT - RIGHT) * inside / found.seconds


def _y(panel: str, share: float) -> float:
    return _bottom(panel) - PANELS[panel] * min(max(share, 0.0), 1.0)


# --- parts


def _legend(found: Series) -> Iterator[str]:
    x = float(LEFT)
    areas = [f"weight of {colour}" for colour in COLOURS] if found.weights else []
    room = WIDTH - RIGHT - sum(42 + LETTER_WIDTH * len(area) for area in areas)
    for name in found.versions:
        label = (name or NOBODY)[:LEGEND_CHARACTERS]
        width = 50 + LETTER_WIDTH * 1.2 * len(label)
        if x + width > room:
            # More versions than a release can have; what is left out is still drawn.
            yield _label(x, 54, "…", "name")
            x += 22
            break
        dashed = " again" if _is_again(found, name) else ""
        yield f'<path class="line {_hue(found, name)}{dashed}" d="M{x:.1f} 50h22"/>'
        yield _label(x + 28, 54, label, "name")
        x += width
    for colour, area in zip(COLOURS, areas, strict=False):
        yield f'<rect class="{colour}-area" x="{x:.1f}" y="44" width="14" height="12" rx="2"/>'
        yield _label(x + 20, 54, area, "")
        x += 42 + LETTER_WIDTH * len(area)


def _bands(found: Series) -> Iterator[str]:
    top, bottom = TOP - 18, _bottom("errors")
    for number, stage in enumerate(found.stages):
        left, right = _x(found, stage.start), _x(found, stage.end)
        kind = "band-bad" if stage.phase in ("ROLLING_BACK", "ROLLED_BACK", "NEEDS_PERSON") else "band"
        if kind == "band-bad" or number % 2:
            yield (
                f'<rect class="{kind}" x="{left:.1f}" y="{top}" width="{max(0.0, right - left):.1f}" '
                f'height="{bottom - top:.1f}"/>'
            )
        yield f'<path class="band-line" d="M{left:.1f} {top}V{bottom:.1f}"/>'
        name = stage.phase.replace("_", " ").lower()
        if right - left > SMALL_LETTER_WIDTH * len(name):
            yield _label(left + 4, TOP - 7, name, "band-name")


def _weights_panel(found: Series) -> Iterator[str]:
    yield from _frame("weights", "traffic, %", 100.0, (0, 50, 100))
    if not found.weights:
        return
    edge = [(_x(found, at), _y("weights", weights["blue"] / 100)) for at, weights in found.weights]
    upper = f"M{edge[0][0]:.1f} {edge[0][1]:.1f}"
    for (_, before), (x, y) in pairwise(edge):
        upper += f"H{x:.1f}V{y:.1f}" if y != before else ""
    end = _x(found, found.seconds)
    upper += f"H{end:.1f}"
    yield f'<path class="blue-area" d="{upper}V{_bottom("weights"):.1f}H{LEFT}Z"/>'
    yield f'<path class="green-area" d="{upper}V{_top("weights"):.1f}H{LEFT}Z"/>'
    for (x, _), (right, _), (_, weights) in zip(edge, [*edge[1:], (end, 0)], found.weights, strict=True):
        middles: dict[Colour, float] = {"blue": weights["blue"] / 200, "green": 1 - weights["green"] / 200}
        for colour, middle in middles.items():
            if right - x >= LABEL_WIDTH and weights[colour] >= LEAST_LABELLED:
                y = _y("weights", middle) + 4
                yield _label((x + right) / 2, y, f"{weights[colour]} %", "share", anchor="middle")


def _requests_panel(found: Series) -> Iterator[str]:
    top = _nice(max((point.per_second for curve in found.versions.values() for point in curve), default=1.0))
    yield from _frame("requests", "requests/s", top, (0, top / 2, top))
    for name, curve in found.versions.items():
        yield from _line(found, "requests", name, list(_running(curve, top)))


def _errors_panel(found: Series) -> Iterator[str]:
    rates = [point.error_percent or 0.0 for curve in found.versions.values() for point in curve]
    top = min(100.0, _nice(max([LEAST_ERROR_TOP, *rates])))
    yield from _frame("errors", "errors, %", top, (0, top / 2, top))
    for name, curve in found.versions.items():
        yield from _line(found, "errors", name, list(_known(curve, top)))


def _running(curve: Sequence[Point], top: float) -> Iterator[list[tuple[float, float]]]:
    """The pieces of a curve of requests: from the last point without any to the next one without."""
    piece: list[tuple[float, float]] = []
    for number, point in enumerate(curve):
        around = curve[max(0, number - 1) : number + 2]
        if any(near.per_second for near in around):
            piece.append((point.at, point.per_second / top))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _known(curve: Sequence[Point], top: float) -> Iterator[list[tuple[float, float]]]:
    """The pieces of a curve of errors: where a version had no requests, it had no rate."""
    piece: list[tuple[float, float]] = []
    for point in curve:
        if point.error_percent is None:
            if piece:
                yield piece
            piece = []
        else:
            piece.append((point.at, point.error_percent / top))
    if piece:
        yield piece


def _line(
    found: Series, panel: str, name: str, pieces: Sequence[Sequence[tuple[float, float]]]
) -> Iterator[str]:
    hue = _hue(found, name)
    dashed = " again" if _is_again(found, name) else ""
    for piece in pieces:
        if len(piece) == 1:
            at, share = piece[0]
            yield (f'<circle class="{hue}-fill" cx="{_x(found, at):.1f}" cy="{_y(panel, share):.1f}" r="2"/>')
        elif piece:
            way = "L".join(f"{_x(found, at):.1f} {_y(panel, share):.1f}" for at, share in piece)
            if panel == "errors" and any(share for _, share in piece):
                ground = f"{_bottom(panel):.1f}"
                first, last = (f"{_x(found, piece[end][0]):.1f}" for end in (0, -1))
                yield f'<path class="shade {hue}-fill" d="M{first} {ground}L{way}L{last} {ground}Z"/>'
            yield f'<path class="line {hue}{dashed}" d="M{way}"/>'


def _frame(panel: str, name: str, top: float, ticks: Sequence[float]) -> Iterator[str]:
    right = WIDTH - RIGHT
    for tick in ticks:
        y = _y(panel, tick / top)
        yield f'<path class="grid" d="M{LEFT} {y:.1f}H{right}"/>'
        yield _label(LEFT - 8, y + 4, f"{tick:g}", "axis", anchor="end")
    middle = (_top(panel) + _bottom(panel)) / 2
    yield (
        f'<text class="axis" text-anchor="middle" transform="translate(16 {middle:.1f}) rotate(-90)">'
        f"{_text(name)}</text>"
    )


def _time_axis(found: Series) -> Iterator[str]:
    step = next((tick for tick in TICKS if found.seconds / tick <= MOST_TICKS), TICKS[-1])
    bottom = _bottom("errors")
    for number in range(int(found.seconds // step) + 1):
        x = _x(found, number * step)
        yield f'<path class="frame" d="M{x:.1f} {bottom:.1f}v5"/>'
        yield _label(x, bottom + 18, clock(number * step), "axis", anchor="middle")
    yield f'<path class="frame" d="M{LEFT} {bottom:.1f}H{WIDTH - RIGHT}"/>'
    began = f"since {found.began:%Y-%m-%d %H:%M:%S} UTC"
    yield _label(WIDTH - RIGHT, bottom + 34, began, "axis", anchor="end")


def _marks(found: Series) -> Iterator[str]:
    for mark in found.marks:
        x = _x(found, mark.at)
        kind = "held" if not mark.bad else "bad" if mark.text.startswith("rolled back") else "bad alarm"
        yield f'<path class="{kind}" d="M{x:.1f} {TOP - 18}V{_bottom("errors"):.1f}"/>'


def _each_once(marks: Sequence[Mark]) -> list[Mark]:
    """An alarm that goes on is told once."""
    return list({mark.text: mark for mark in reversed(marks)}.values())[::-1]


def _reason(mark: Mark) -> Iterator[tuple[str, str]]:
    """The mark's text in lines that fit, each with its class."""
    kind = "bad-text" if mark.bad else "held-text"
    lines = textwrap.wrap(f"{clock(mark.at)} {mark.text}", MARK_CHARACTERS)
    if len(lines) > MARK_LINES:
        lines = [*lines[: MARK_LINES - 1], lines[MARK_LINES - 1][: MARK_CHARACTERS - 1] + "…"]
    yield from ((line, kind) for line in lines)


def _hue(found: Series, name: str) -> str:
    return found.colours.get(name, "nobody") if name else "nobody"


def _is_again(found: Series, name: str) -> bool:
    """Whether an earlier version ran in the same colour: its line is dashed."""
    named = [each for each in found.versions if each]
    if name not in named:
        return False
    return any(found.colours.get(each) == found.colours.get(name) for each in named[: named.index(name)])


def _label(x: float, y: float, text: str, kind: str, anchor: str = "start") -> str:
    where = f' text-anchor="{anchor}"' if anchor != "start" else ""
    shown = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}"{shown}{where}>{_text(text)}</text>'


def _text(text: str) -> str:
    return escape(readable(text))


def _nice(value: float) -> float:
    """The next round number that is not below the value, and whose half is round too."""
    if value <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 3, 4, 6, 8, 10) if step * power >= value * (1 - 1e-9))
