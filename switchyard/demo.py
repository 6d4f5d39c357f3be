"""`make demo`: a good release and a bad one under live load, drawn as they happen.

The good version goes out by canary. The bad one answers a part of its requests with 500; it is found and
rolled back by itself. Pictures and records of both are kept.
"""

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from rich.console import Console, RenderableType

from examples.variants import variant
from localcloud.load import Load, Report
from localcloud.paths import WORKSPACE
from release.chart import chart
from release.picture import picture
from release.plan import Request
from release.record import export_json, export_markdown
from release.run import Ended, ExitCode
from release.series import Sample
from release.view import ReleaseView
from switchyard import embedded
from switchyard.errors import SwitchyardError
from switchyard.releases import ReleasedStack, commit_of_checkout, running_images

STACK = "local"
SERVICE: Literal["api"] = "api"
PATH = "/api/"
ERROR_RATE = 0.3
# What the first release of the example knows of the database, and what later ones do: one expand migration.
FIRST_SCHEMA, SCHEMA = "0001", "0002"
AFTER_SECONDS = 3
OUTPUT = WORKSPACE / "demo"

Say = Callable[[str], None]


@dataclass(kw_only=True)
class Act:
    """One release of the demonstration, as it was seen from outside and told from inside."""

    title: str
    report: Report
    began: datetime
    skipped: int
    events: list[Mapping[str, Any]] = field(default_factory=list)

    def samples(self) -> list[Sample]:
        """What the load saw in each second since the act began; the current one is not over."""
        seconds = list(self.report.seconds)[self.skipped : -1]
        return [
            Sample(
                at=self.began + timedelta(seconds=number),
                requests={**second.versions, **({"": second.errors[""]} if second.errors[""] else {})},
                errors=dict(second.errors),
            )
            for number, second in enumerate(seconds)
        ]

    def drawn(self) -> RenderableType:
        """The state of things, for a terminal."""
        return chart(self.samples(), self.events, service=SERVICE)


def run(console: Console, *, rate_per_second: float, say: Say, out: Path = OUTPUT) -> list[Path]:
    """Plays it and returns the files that were written. Raises SwitchyardError where it ended otherwise."""
    embedded.up(STACK, say)
    stack = ReleasedStack(STACK)
    with tempfile.TemporaryDirectory(prefix="switchyard-demo-") as folder:
        builder = Builder(stack, Path(folder))
        if not running_images(stack, [SERVICE]):
            say(f"Releasing the first version of {SERVICE}: nothing ran before")
            _expect(release(stack, builder.image(schema=FIRST_SCHEMA), say), ExitCode.COMPLETED)
        load = Load(f"{stack.parts.production_url}{PATH}", rate_per_second=rate_per_second)
        with load.background() as report:
            good = play(console, stack, report, "A good version, by canary", builder.image())
            _expect(good[1], ExitCode.COMPLETED)
            bad = play(
                console,
                stack,
                report,
                f"A bad version: {ERROR_RATE:.0%} of its answers are errors",
                builder.image(error_rate=ERROR_RATE),
            )
            _expect(bad[1], ExitCode.ROLLED_BACK)
    return [path for act, ended in (good, bad) for path in keep(stack, act, ended, out)]


class Builder:
    """Makes images of the example, each a version of its own."""

    def __init__(self, stack: ReleasedStack, folder: Path) -> None:
        self._folder = folder
        known = stack.store.history()
        self._version = known[0].number if known else 0

    def image(self, schema: str = SCHEMA, **behaviour: object) -> str:
        """A published image of the next version."""
        self._version += 1
        version = f"demo-{self._version}"
        folder = variant(self._folder, service=SERVICE, version=version, schema=schema, **behaviour)
        return embedded.publish(folder, SERVICE, version, STACK).reference


def release(
    stack: ReleasedStack, image: str, say: Say, observe: Callable[[Mapping[str, Any]], None] | None = None
) -> Ended:
    """Releases one image of the example."""
    driver = stack.driver(say, observe or (lambda _: None))
    return driver.start(
        Request(kind="partial", images={SERVICE: image}, actor="demo", commit=commit_of_checkout())
    )


def play(console: Console, stack: ReleasedStack, report: Report, title: str, image: str) -> tuple[Act, Ended]:
    """Releases while drawing."""
    act = Act(title=title, report=report, began=datetime.now(UTC), skipped=len(report.seconds))

    console.rule(title)
    with ReleaseView(console, below=act.drawn) as view:

        def observe(event: Mapping[str, Any]) -> None:
            act.events.append(event)
            view.event(event)

        ended = release(stack, image, view.say, observe)
        # A few more seconds, so that the picture shows how it went on.
        time.sleep(AFTER_SECONDS)
    console.print(act.drawn())
    return act, ended


def keep(stack: ReleasedStack, act: Act, ended: Ended, out: Path) -> Sequence[Path]:
    """Writes the picture and the record."""
    assert ended.release is not None  # noqa: S101 - it began
    out.mkdir(parents=True, exist_ok=True)
    found, entries = stack.driver(lambda _: None).show(ended.release.number)
    files = {
        f"{found.id}.svg": picture(
            act.samples(), act.events, title=f"{found.id}: {act.title}", service=SERVICE
        ),
        f"{found.id}.md": export_markdown(found, entries),
        f"{found.id}.json": export_json(found, entries),
    }
    for name, text in files.items():
        (out / name).write_text(text)
    return [out / name for name in files]


def _expect(ended: Ended, wanted: ExitCode) -> None:
    if ended.code is not wanted:
        raise SwitchyardError(
            f"the demonstration was to end with a release {wanted.name.lower()}, and it ended "
            f"{ended.code.name.lower()}: {ended.reason}"
        )
