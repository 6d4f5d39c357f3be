"""A release as a chart of letters, for a terminal. Pure."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

from rich.console import Group
from rich.text import Text

from components.colours import COLOURS, Colour
from release.progress import Event, readable
from release.series import NOBODY, Point, Sample, Series, series

BLOCKS = "▁▂▃▄▅▆▇█"


def sparkline(values: Sequence[float | None], *, top: float | None = None) -> str:
    """One letter for each value, from 0 to `top` (the largest value by default); a blank for None.

    0 is a blank too, and whatever is above it at least the lowest block.
    """
    highest = top if top is not None else max((value for value in values if value is not None), default=0)
    return "".join(_block(value, highest) for value in values)


def _block(value: float | None, highest: float) -> str:
    if value is None or value <= 0 or highest <= 0:
        return " "
    return BLOCKS[min(len(BLOCKS) - 1, math.ceil(len(BLOCKS) * value / highest) - 1)]


def chart(
    samples: Sequence[Sample],
    events: Sequence[Event],
    *,
    width: int = 60,
    service: str | None = None,
    colours: Mapping[str, Colour] | None = None,
) -> Group:
    """The same curves for a terminal: one row for each colour's weight, version's requests and errors.

    width: letters of a curve. Empty before there is anything to draw.
    """
    if not samples and not any("at" in event for event in events):
        return Group()
    found = series(samples, events, service=service, colours=colours, points=width)
    rows: list[tuple[str, str, str, str]] = []
    for colour in COLOURS if found.weights else ():
        values = [_weight_at(found, colour, (n + 0.5) * found.seconds / width) for n in range(width)]
        rows.append((f"{colour} weight", sparkline(values, top=100), f"{values[-1]} %", colour))
    most = max((point.per_second for curve in found.versions.values() for point in curve), default=0.0)
    for name, curve in found.versions.items():
        spread = _spread(curve, found.seconds, width)
        label, hue = name or NOBODY, found.colours.get(name)
        style = hue or "dim"
        rates = [point.per_second if point else None for point in spread]
        rows.append((f"{label} requests", sparkline(rates, top=most), _figure(rates[-1], ".0f", "/s"), style))
        errors = [point.error_percent if point else None for point in spread]
        bad = "bold red" if any(errors) else style
        rows.append((f"{label} errors", sparkline(errors, top=100), _figure(errors[-1], ".1f", " %"), bad))
    wide = max((len(row[0]) for row in rows), default=0)
    return Group(
        *(
            Text.assemble(
                f"{readable(name).ljust(wide)} ", (curve.ljust(width), style), f" {figure}", no_wrap=True
            )
            for name, curve, figure, style in rows
        )
    )


def _weight_at(found: Series, colour: Colour, at: float) -> int:
    return [weights for since, weights in found.weights if since <= at or since == 0][-1][colour]


def _figure(value: float | None, spec: str, unit: str) -> str:
    return "-" if value is None else f"{value:{spec}}{unit}"


def _spread(curve: Sequence[Point], seconds: float, width: int) -> list[Point | None]:
    """What the curve says at each of `width` moments; None where no point is near."""
    if not curve:
        return [None] * width
    reach = max([seconds / width, *(later.at - point.at for point, later in pairwise(curve))])
    cells: list[Point | None] = []
    for number in range(width):
        moment = (number + 0.5) * seconds / width
        distance, near = min((abs(point.at - moment), place) for place, point in enumerate(curve))
        cells.append(curve[near] if distance <= reach else None)
    return cells
