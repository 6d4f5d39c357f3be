"""What a person sees of releases: live on a terminal, plain lines elsewhere, plans and histories as tables.

Rich leaves out colours where the output is no terminal or NO_COLOR is set; so nothing is told by a colour
alone. Texts of others (reasons, names) are never read as markup.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from components.colours import COLOURS
from release.progress import TONES, Event, Line, Progress, Tone, clock, duration, readable

STYLES: Mapping[Tone, str] = {"plain": "", "good": "green", "bad": "bold red", "unsure": "yellow"}
# Both colours can be told apart without colours too.
BLOCKS = {"blue": ("█", "#"), "green": ("░", ".")}
MARKS: Mapping[str, tuple[str, str]] = {
    "pass": ("✓", "ok"),
    "fail": ("✗", "FAIL"),
    "insufficient": ("?", "?"),
}
BAR_CHARACTERS = 30
REFRESHES_PER_SECOND = 4
DIGEST_CHARACTERS = 12


class ReleaseView:
    """A release as it runs. Give `say` and `event` to the driver, and use it as a context.

    On a terminal the newest state stays at the bottom, with what has happened above it; elsewhere each
    piece of news is one line with its time.

    quiet: shows nothing.
    planned_seconds: the plan's least time, for "at least … more".
    below: something more to show under the state on a terminal, such as `release.chart.chart`.
    now: the time, aware.
    """

    def __init__(
        self,
        console: Console,
        *,
        quiet: bool = False,
        planned_seconds: float | None = None,
        below: Callable[[], RenderableType] | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._console = console
        self._quiet = quiet
        self._planned = planned_seconds
        self._below = below
        self._now = now
        self._progress = Progress()
        self._activity = ""
        self._last = self._last_phase = ""
        self._lock = threading.Lock()
        # Colours can be forced on a log file; a cursor that moves there would garble it.
        moving = not quiet and console.is_terminal and console.file.isatty() and not console.is_dumb_terminal
        self._live = (
            Live(
                get_renderable=self._now_shown,
                console=console,
                refresh_per_second=REFRESHES_PER_SECOND,
                transient=True,
            )
            if moving
            else None
        )

    def __enter__(self) -> "ReleaseView":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def say(self, line: str) -> None:
        """A line of text, such as what the infrastructure program is at."""
        text = readable(line)
        with self._lock:
            passing = self._live is not None and not self._is_about_phase(text)
            if passing:
                # Of no interest any more when the next one comes.
                self._activity = text
        if text and not passing:
            self._print(Line(text=text))

    def event(self, event: Event) -> None:
        """Something that happened, as the driver observes it."""
        with self._lock:
            if event.get("kind") == "phase":
                self._activity = ""
            lines = self._progress.take(event)
        # Not under the lock: what refreshes the display holds that of the console, and asks for this one.
        for line in lines:
            self._print(line)

    def _is_about_phase(self, text: str) -> bool:
        return bool(self._progress.phase) and text.startswith(f"{self._progress.phase}: ")

    def _print(self, line: Line) -> None:
        # The driver says a phase, and observes it too; its weights may stand between the two.
        if self._quiet or line.text in (self._last, self._last_phase):
            return
        self._last = line.text
        if self._is_about_phase(line.text):
            self._last_phase = line.text
        at = (line.at or self._now()).astimezone(UTC)
        text = Text.assemble((f"{at:%H:%M:%S} ", "dim"), (line.text, STYLES[line.tone]))
        self._console.print(text, soft_wrap=True)

    def _now_shown(self) -> RenderableType:
        with self._lock:
            state = shown(
                self._progress,
                activity=self._activity,
                now=self._now(),
                planned_seconds=self._planned,
                ascii_only=_ascii_only(self._console),
            )
        return Group(state, self._below()) if self._below is not None else state


def shown(
    progress: Progress, *, activity: str, now: datetime, planned_seconds: float | None, ascii_only: bool
) -> RenderableType:
    """The state of a release in a few lines."""
    parts: list[Text] = [_header(progress, now, planned_seconds)]
    if progress.weights:
        parts.extend(_services(progress, ascii_only))
    for service, alarms in progress.alarms.items():
        parts.extend(_one_line(f"alarm: {service} {readable(alarm)}", STYLES["bad"]) for alarm in alarms)
    for (service, source), opinion in progress.opinions.items():
        mark = MARKS.get(opinion.outcome, (opinion.outcome,) * 2)[ascii_only]
        style = STYLES[TONES.get(opinion.outcome, "plain")]
        parts.append(_one_line(f"{mark} {service} {source}: {opinion.reason}", style))
    if activity:
        parts.append(_one_line(activity, "dim"))
    for part in parts if ascii_only else []:
        part.overflow = "crop"
    return Group(*parts)


def _header(progress: Progress, now: datetime, planned_seconds: float | None) -> Text:
    name = f"Release {progress.number}" if progress.number is not None else "Release"
    said = [progress.phase] if progress.phase else []
    if progress.phase == "SHIFTING" and progress.steps:
        said.append(f"step {progress.step} of {progress.steps}")
    if progress.held:
        said.append(f"held, waiting for {progress.held}")
    if progress.began is not None:
        elapsed = (now - progress.began).total_seconds()
        said.append(clock(elapsed))
        if planned_seconds is not None and planned_seconds > elapsed:
            said.append(f"at least {clock(planned_seconds - elapsed)} more")
    text = Text(no_wrap=True, overflow="ellipsis")
    text.append(name, "bold")
    text.append("".join(f"  {part}" for part in said))
    return text


def _services(progress: Progress, ascii_only: bool) -> list[Text]:
    """One line each. On a narrow terminal the right end is cut, the counts before the shares."""
    width = max(len(service) for service in progress.weights)
    lines = []
    for service, weights in progress.weights.items():
        line = _one_line(f"{service.ljust(width)}  ", "")
        line.append_text(bar(weights, ascii_only=ascii_only))
        for colour in COLOURS:
            new = " (new)" if progress.new.get(service) == colour else ""
            line.append(f"  {colour} {weights.get(colour, 0)} %{new}", colour)
        counts = [
            f"{colour} {found[0]}/{found[1]}"
            for colour in COLOURS
            if (found := progress.counts.get((service, colour))) is not None
        ]
        line.append(f"  healthy {', '.join(counts)}" if counts else "")
        lines.append(line)
    return lines


def bar(weights: Mapping[str, int], *, width: int = BAR_CHARACTERS, ascii_only: bool = False) -> Text:
    """Both colours' shares as a bar; a share above 0 is never invisible."""
    blue, green = weights.get("blue", 0), weights.get("green", 0)
    cells = round(width * blue / ((blue + green) or 1))
    if blue and green:
        cells = min(width - 1, max(1, cells))
    text = Text()
    text.append(BLOCKS["blue"][ascii_only] * cells, "blue")
    text.append(BLOCKS["green"][ascii_only] * (width - cells if green else 0), "green")
    return text


def _one_line(text: str, style: str) -> Text:
    return Text(text, style=style, no_wrap=True, overflow="ellipsis")


def _ascii_only(console: Console) -> bool:
    return not (console.encoding or "").lower().startswith("utf")


def render_plan(plan: Mapping[str, Any], console: Console) -> None:
    """A plan, as `Plan.as_dict` gives it: services, steps, times, gates, and what is in the way."""
    strategy = plan["strategy"]
    console.print(Text.assemble((f"{plan['stack']}: {plan['kind']} release, {strategy}", "bold")))
    services = Table("service", "image", "to", "from", "now running")
    for change in plan["changes"]:
        services.add_row(
            Text(change["service"]),
            Text(short(change["image"])),
            Text(change["new"], change["new"]),
            Text("nothing: a first release" if change["first"] else change["old"]),
            Text(short(change["previous_image"]) if change["previous_image"] else "nothing"),
        )
    console.print(services)
    for line in plan_lines(plan):
        console.print(Text(line), soft_wrap=True)
    if plan["gates"]:
        console.print(_gates(plan, _ascii_only(console)))
    for note in plan["notes"]:
        console.print(Text(f"Note: {readable(note)}", STYLES["unsure"]), soft_wrap=True)
    for refusal in plan["refusals"]:
        console.print(Text(f"Refused: {readable(refusal)}", STYLES["bad"]), soft_wrap=True)


def plan_lines(plan: Mapping[str, Any]) -> list[str]:
    """Steps and times of a plan as sentences."""
    steps = [
        f"{step['percent']} %" + (f" for {duration(step['wait_seconds'])}" if step["wait_seconds"] else "")
        for step in plan["steps"]
    ]
    back = plan["rollback_seconds"]
    *others, last = plan["watched_by"]
    judged = f"{', '.join(others)} and {last}" if others else f"{last} alone"
    return [
        f"Traffic: {', then '.join(steps)}; then a bake of {duration(plan['bake_seconds'])} with the old "
        f"colour warm. Watched by {judged}.",
        *(["It waits for an approval before it takes traffic."] if plan["approval"] else []),
        f"At least {duration(plan['minimum_seconds'])}, beside what images, tasks and migrations take.",
        "There is no way back: nothing ran before."
        if back is None
        else f"The way back takes one API round, at most {duration(back)} after the sign.",
    ]


def _gates(plan: Mapping[str, Any], ascii_only: bool) -> Table:
    table = Table("gate", "", "why")
    for gate in plan["gates"]:
        overridden = plan["used_overrides"].get(gate["name"])
        if overridden is not None:
            mark, style = "overridden", STYLES["unsure"]
        else:
            outcome = "pass" if gate["passed"] else "fail"
            mark, style = MARKS[outcome][ascii_only], STYLES[TONES[outcome]]
        why = readable(gate["reason"]) + (f" Overridden: {readable(overridden)}" if overridden else "")
        table.add_row(Text(gate["name"]), Text(mark, style), Text(why))
    return table


def short(image: str) -> str:
    """`repository@sha256:…` as people compare it: the repository's last part and the digest's first."""
    repository, _, digest = image.partition("@sha256:")
    return f"{repository.rsplit('/', 1)[-1]}@{digest[:DIGEST_CHARACTERS]}" if digest else image


def render_history(releases: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Releases as `release_as_dict` gives them, in their order."""
    if not releases:
        console.print("nothing was released yet")
        return
    table = Table("release", "outcome", "kind", "began (UTC)", "took", "by", "services", "why")
    for release in releases:
        began, last = (datetime.fromisoformat(release[key]) for key in ("created_at", "updated_at"))
        services = ", ".join(
            f"{change['service']} {short(change['image']).partition('@')[2] or change['image']}"
            for change in release["changes"]
        )
        table.add_row(
            Text(f"{release['stack']}-{release['number']}", "bold"),
            _outcome(release),
            Text(release["kind"]),
            Text(f"{began.astimezone(UTC):%Y-%m-%d %H:%M}"),
            Text(duration((last - began).total_seconds())),
            Text(readable(release["actor"])),
            Text(services),
            Text(readable(release.get("cause") or release["reason"])),
        )
    console.print(table)


def _outcome(release: Mapping[str, Any]) -> Text:
    phase = release["phase"]
    tone: Tone = {"COMPLETED": "good", "ROLLED_BACK": "bad", "NEEDS_PERSON": "bad"}.get(phase, "plain")  # type: ignore[assignment]
    held = f", held for {release['held']}" if release.get("held") else ""
    return Text(phase.replace("_", " ").lower() + held, STYLES[tone])
