"""The picture of a release: that it is valid, and that what it shows is what was."""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from components.colours import Colour
from release.chart import chart, sparkline
from release.picture import LEFT, RIGHT, WIDTH, picture
from release.series import Sample, series

AT = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
SVG = "{http://www.w3.org/2000/svg}"
BY_COLOUR: Mapping[str, Colour] = {"v2": "green", "v3": "blue"}


def event(kind: str, seconds: float, **values: Any) -> dict[str, Any]:
    return {"at": AT + timedelta(seconds=seconds), "kind": kind, "number": 8, **values}


def shares(seconds: float, blue: int, service: str = "api") -> dict[str, Any]:
    weights = {"blue": blue, "green": 100 - blue}
    return event("weights", seconds, service=service, new="blue", weights=weights)


EVENTS: Sequence[Mapping[str, Any]] = [
    event("phase", 0, phase="SCALING", reason="migrated", step=0),
    event("phase", 20, phase="SHIFTING", reason="verified", step=1),
    shares(20, 20),
    event("phase", 40, phase="SHIFTING", reason="watched", step=2),
    shares(40, 50),
    event("alarm", 58, service="api", alarms=["api-blue-error-rate: 9 > 1"]),
    event("phase", 60, phase="ROLLING_BACK", reason="9 % <b>against</b> 0 % & more", step=2),
    shares(60, 0),
    event("phase", 62, phase="ROLLED_BACK", reason="9 %", step=2),
]


def sample(second: int, v2: int, v3: int, errors: int = 0) -> Sample:
    requests = {"v2": v2} | ({"v3": v3} if v3 else {})
    return Sample(
        at=AT + timedelta(seconds=second), requests=requests, errors={"v3": errors} if errors else {}
    )


SAMPLES = [
    sample(n, v2=100, v3=0) if not 20 <= n < 60 else sample(n, v2=60, v3=40, errors=10 if n >= 50 else 0)
    for n in range(80)
]


def drawn(samples: Sequence[Sample] = SAMPLES, events: Sequence[Any] = EVENTS, **more: Any) -> Any:
    return ElementTree.fromstring(picture(samples, events, **({"colours": BY_COLOUR} | more)))  # noqa: S314 - our own


def texts(svg: Any) -> list[str]:
    return ["".join(found.itertext()) for found in svg.iter(f"{SVG}text")]


def paths(svg: Any, kind: str) -> list[str]:
    return [found.attrib["d"] for found in svg.iter(f"{SVG}path") if found.attrib["class"] == kind]


def x(seconds: float, length: float = 80) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * seconds / length


def numbers(path: str) -> list[float]:
    return [float(found) for found in re.findall(r"-?\d+\.?\d*", path)]


def test_the_picture_is_valid_and_says_what_it_is() -> None:
    svg = drawn(title="Release local-8: api v2 → v3")
    assert svg.tag == f"{SVG}svg"
    assert svg.attrib["role"] == "img"
    assert svg.find(f"{SVG}title").text == "Release local-8: api v2 → v3"


def test_the_weights_change_when_they_were_changed_and_by_as_much() -> None:
    [area] = paths(drawn(), "blue-area")
    start, *steps = re.findall(r"H([\d.]+)V([\d.]+)", area)
    moves = [(float(at), float(height)) for at, height in [start, *steps]][:3]
    assert [at for at, _ in moves] == pytest.approx([x(20), x(40), x(60)], abs=0.1)
    bottom = moves[2][1]
    heights = [bottom - height for _, height in moves]
    assert heights[0] / heights[1] == pytest.approx(20 / 50, rel=0.01)
    assert {"20 %", "80 %", "50 %"} <= set(texts(drawn()))


def test_only_the_asked_services_weights_are_drawn() -> None:
    events = [*EVENTS, shares(30, 90, "web")]
    assert paths(drawn(events=events), "blue-area") == paths(drawn(), "blue-area")
    assert paths(drawn(events=events, service="web"), "blue-area") != paths(drawn(), "blue-area")


def test_requests_are_drawn_at_their_height_and_only_while_there_are_any() -> None:
    svg = drawn()
    requests, errors = paths(svg, "line green")[1:], paths(svg, "line blue")[1:]
    old = numbers(requests[0])
    assert old[0] == pytest.approx(x(0.5), abs=0.1)
    # 100 requests/s are the top of the panel, 60 lie 40 % of it below.
    ys = old[1::2]
    assert max(ys) - min(ys) == pytest.approx(150 * 0.4, abs=0.2)
    new = numbers(errors[0])
    assert new[0] == pytest.approx(x(19.5), abs=0.1)
    assert new[-2] == pytest.approx(x(60.5), abs=0.1)


def test_errors_are_a_share_of_the_versions_own_requests() -> None:
    svg = drawn()
    assert "30" in texts(svg), "25 % of v3's requests fail, so the panel goes to 30 %"
    _, _, line = paths(svg, "line blue")
    found = numbers(line)
    ys = found[1::2]
    assert max(ys) - min(ys) == pytest.approx(120 * 25 / 30, abs=0.2)
    assert found[0] == pytest.approx(x(20.5), abs=0.1), "without requests there is no share of them"
    assert len(paths(svg, "shade blue-fill")) == 1
    assert paths(svg, "shade green-fill") == [], "nothing of v2 failed"


def test_the_roll_back_is_marked_where_it_was_and_says_why() -> None:
    svg = drawn()
    [mark] = paths(svg, "bad")
    assert numbers(mark)[0] == pytest.approx(x(60), abs=0.1)
    assert "1:00 rolled back: 9 % <b>against</b> 0 % & more" in texts(svg)
    assert len(list(svg.iter(f"{SVG}b"))) == 0, "a reason is text"
    [alarm] = paths(svg, "bad alarm")
    assert numbers(alarm)[0] == pytest.approx(x(58), abs=0.1)
    assert "0:58 alarm: api-blue-error-rate: 9 > 1" in texts(svg)


def test_a_release_that_went_well_has_no_mark() -> None:
    svg = drawn(events=EVENTS[:5])
    assert paths(svg, "bad") == paths(svg, "bad alarm") == []


def test_phases_are_bands_and_steps_of_one_phase_are_one_band() -> None:
    names = [
        text for text in texts(drawn()) if text in ("scaling", "shifting", "rolled back", "rolling back")
    ]
    assert names == ["scaling", "shifting", "rolled back"], "two seconds have no room for a name"


def test_an_alarm_that_goes_on_is_told_once() -> None:
    events = [*EVENTS[:5], *(event("alarm", n, service="api", alarms=["fires"]) for n in (50, 51, 52))]
    assert texts(drawn(events=events)).count("0:50 alarm: fires") == 1


def test_a_long_reason_is_wrapped_and_ends() -> None:
    long = [event("held", 30, hold="traffic", reason="few requests " * 100)]
    lines = [text for text in texts(drawn(events=[*EVENTS, *long])) if "few requests" in text]
    assert len(lines) == 3
    assert lines[-1].endswith("…")


def test_a_second_version_of_one_colour_is_dashed() -> None:
    samples = [*SAMPLES[:40], Sample(at=AT + timedelta(seconds=40), requests={"v4": 10})]
    samples += [Sample(at=AT + timedelta(seconds=41), requests={"v4": 10})]
    svg = drawn(samples, colours={"v2": "green", "v3": "blue", "v4": "green"})
    assert paths(svg, "line green again")
    assert "v4" in texts(svg)


def test_what_nobody_answered_has_a_curve_of_its_own() -> None:
    samples = [Sample(at=AT, requests={"": 5, "v2": 5}, errors={"": 5})]
    svg = drawn(samples)
    assert "no answer" in texts(svg)
    assert list(series(samples, EVENTS).versions) == ["v2", ""]


def test_it_is_readable_on_dark_pages_too() -> None:
    text = picture(SAMPLES, EVENTS)
    light, dark = text.split("@media (prefers-color-scheme:dark)")
    for kind in (".paper", ".title", ".blue{", ".green{", ".bad-text", "text{"):
        assert kind in light
        assert kind in dark


def test_nothing_is_fetched_from_elsewhere() -> None:
    text = picture(SAMPLES, EVENTS).replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "http" not in text
    assert "<script" not in text


def test_the_same_release_is_the_same_picture() -> None:
    assert picture(SAMPLES, EVENTS) == picture(list(SAMPLES), list(EVENTS))


def test_a_long_release_is_averaged_and_not_cut() -> None:
    samples = [Sample(at=AT + timedelta(seconds=n), requests={"v2": 100 + n % 2}) for n in range(7200)]
    found = series(samples, [])
    curve = found.versions["v2"]
    assert len(curve) == 240
    assert {point.per_second for point in curve} == {100.5}
    assert found.seconds == 7200
    assert len(picture(samples, [])) < 60_000


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to draw"):
        picture([], [])


def test_events_alone_and_samples_alone_can_be_drawn() -> None:
    assert paths(drawn(samples=[]), "blue-area")
    assert paths(drawn(events=[]), "blue-area") == []
    assert paths(drawn(events=[]), "line green")


kinds = st.sampled_from(["phase", "weights", "alarm", "held", "ended", "counts"])
happenings = st.builds(
    lambda kind, at, text, blue: event(
        kind,
        at,
        phase=text or "X",
        reason=text,
        service="api",
        new="green",
        weights={"blue": blue, "green": 100 - blue},
        alarms=[text],
    ),
    kinds,
    st.floats(0, 1e6),
    st.text(max_size=30),
    st.integers(0, 100),
)
measured = st.builds(
    lambda at, requests, errors: Sample(
        at=AT + timedelta(seconds=at),
        requests=requests,
        errors={name: min(errors, n) for name, n in requests.items()},
    ),
    st.floats(0, 1e6),
    st.dictionaries(st.text(max_size=5), st.integers(0, 10**6), max_size=3),
    st.integers(0, 10**6),
)


@given(st.lists(measured, max_size=20), st.lists(happenings, max_size=12))
@settings(max_examples=200, deadline=None)
def test_whatever_happened_the_picture_is_valid_and_inside_its_frame(
    samples: list[Sample], events: list[dict[str, Any]]
) -> None:
    events.sort(key=lambda one: one["at"])
    if not samples and not events:
        return
    svg = ElementTree.fromstring(picture(samples, events))  # noqa: S314 - our own
    height = float(svg.attrib["height"])
    for path in svg.iter(f"{SVG}path"):
        if path.attrib["class"].startswith("line"):
            found = numbers(path.attrib["d"].replace("h22", ""))
            assert all(0 <= value <= WIDTH for value in found[0::2])
            assert all(0 <= value <= height for value in found[1::2])
    # What people wrote may be any word; a number may not.
    assert "nan" not in re.sub(r">[^<]*<", "><", picture(samples, events))
    console = Console(width=120, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123 - only to be drawn
    console.print(chart(samples, events))


# --- letters


def lines(**more: Any) -> list[str]:
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(chart(SAMPLES, EVENTS, colours=BY_COLOUR, width=40, **more))
    return console.export_text().splitlines()


def test_the_chart_has_a_row_for_every_curve_with_its_newest_figure() -> None:
    found = {line[:12].strip(): line[12:] for line in lines()}
    assert list(found) == [
        "blue weight",
        "green weight",
        "v2 requests",
        "v2 errors",
        "v3 requests",
        "v3 errors",
    ]
    assert found["blue weight"].strip().endswith("0 %")
    assert found["green weight"].strip().endswith("100 %")
    assert found["v2 requests"].strip().endswith("100/s")
    assert found["v3 errors"].strip().endswith("-"), "there are no requests any more"
    assert found["v2 errors"][1:41].strip() == "", "nothing of v2 failed"
    # Two seconds to a letter: v3 had requests from the twentieth to the sixtieth second.
    assert found["v3 requests"][1:41] == " " * 10 + "▄" * 20 + " " * 10
    assert found["v3 errors"][1:41] == " " * 25 + "▂" * 5 + " " * 10


def test_before_anything_happened_the_chart_is_empty() -> None:
    console = Console(record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    console.print(chart([], []))
    assert console.export_text().strip() == ""


@pytest.mark.parametrize(
    ("values", "top", "text"),
    [
        ([], None, ""),
        ([0, 1, 2, 4, 8], None, " ▁▂▄█"),
        ([None, 0.001, 100], 100, " ▁█"),
        ([200], 100, "█"),
        ([0, 0], None, "  "),
    ],
)
def test_a_sparkline_shows_what_is_little_and_caps_what_is_much(
    values: list[float | None], top: float | None, text: str
) -> None:
    assert sparkline(values, top=top) == text
