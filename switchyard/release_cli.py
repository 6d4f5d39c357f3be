"""`switchyard release …` and `switchyard promote`: the release engine on the command line.

Exit status: 0 completed, 1 failed, 3 refused (nothing was begun), 4 rolled back, 5 needs a person,
6 not yet (nothing was begun, and nothing is wrong but that the soak is not over), 130 interrupted.
"""

import getpass
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from switchyard.console import AsJson, StackName, err, out, print_json

if TYPE_CHECKING:
    from release.driver import Driver
    from release.plan import Plan, Request
    from release.run import Ended
    from switchyard.releases import ReleasedStack

app = typer.Typer(help="Release new versions without fear: shift, watch, go back by itself.")

Services = Annotated[
    list[str] | None, typer.Option("--service", help="A service to release; repeat it for several.")
]
Strategy = Literal["all-at-once", "linear", "canary"]
WATCH_SECONDS = 1.0


def actor() -> str:
    """Who asks: the CI's user, else the one of this machine."""
    return os.environ.get("GITHUB_ACTOR") or os.environ.get("GITLAB_USER_LOGIN") or getpass.getuser()


@contextmanager
def driver_of(stack: "ReleasedStack", *, quiet: bool = False) -> Iterator["Driver"]:
    """The stack's driver, shown on the terminal, ended between two actions by Ctrl-C."""
    from release.signals import interruptible
    from release.view import ReleaseView

    with stack.herald, ReleaseView(err, quiet=quiet) as view:
        driver = stack.driver(view.say, view.event)
        with interruptible(driver):
            yield driver


def end(ended: "Ended", as_json: bool) -> None:
    """Says how a command ended, and exits with its status."""
    from release.record import release_as_dict

    release = ended.release
    if as_json:
        print_json(
            {
                "outcome": ended.code.name.lower().replace("_", "-"),
                "exit_status": int(ended.code),
                "reason": ended.reason,
                "release": release_as_dict(release) if release else None,
            }
        )
    else:
        colour = "green" if ended.code == 0 else "red"
        outcome = ended.code.name.lower().replace("_", " ")
        out.print(f"[bold {colour}]{outcome}[/]: ", end="")
        out.print(f"release {release.id}: {ended.reason}" if release else ended.reason, markup=False)
    raise typer.Exit(int(ended.code))


# --- what to release

Image = Annotated[
    list[str] | None,
    typer.Option("--image", help="REPOSITORY@sha256:…, one for each --service, in the same order."),
]
StrategyOption = Annotated[Strategy | None, typer.Option(help="How traffic moves; else as the settings say.")]
Step = Annotated[int | None, typer.Option(min=1, max=100, help="Percent of a step.")]
Every = Annotated[int | None, typer.Option(min=0, help="Seconds between two steps.")]
Bake = Annotated[int | None, typer.Option(min=0, help="Seconds that the old colour stays warm at the end.")]
Hotfix = Annotated[bool, typer.Option("--hotfix", help="Short bake, no soak needed; both go on record.")]
Emergency = Annotated[bool, typer.Option("--emergency", help="Gates can be overridden, one by one.")]
Override = Annotated[
    list[str] | None, typer.Option("--override", help="GATE=REASON; needs --emergency. Goes on record.")
]
Change = Annotated[str | None, typer.Option(help="The change record that approves it.")]
Commit = Annotated[str | None, typer.Option(help="What was built; else CI's, or the one checked out.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


def _request(
    stack: "ReleasedStack",
    images: "dict[str, str]",
    *,
    hotfix: bool,
    change: str | None,
    commit: str | None,
    strategy: Strategy | None = None,
    step: int | None = None,
    every: int | None = None,
    bake: int | None = None,
    emergency: bool = False,
    override: list[str] | None = None,
) -> "Request":
    from release.plan import Request
    from switchyard.releases import commit_of_checkout

    whole = set(images) == set(stack.settings.services)
    kind: Any = "hotfix" if hotfix else "emergency" if emergency else "full" if whole else "partial"
    return Request(
        kind=kind,
        images=images,
        actor=actor(),
        strategy=strategy,
        step_percent=step,
        every_seconds=every,
        bake_seconds=bake,
        commit=commit or commit_of_checkout(),
        change=change,
        overrides=_overrides(override or []),
    )


def _images(services: Sequence[str] | None, images: Sequence[str] | None) -> dict[str, str]:
    names, given = list(services or []), list(images or [])
    if not names or len(names) != len(given) or len(set(names)) != len(names):
        raise typer.BadParameter(
            f"got {len(names)} --service and {len(given)} --image; give one image for each service, in the "
            "same order: --service api --image REPOSITORY@sha256:…"
        )
    return dict(zip(names, given, strict=True))


def _overrides(given: Sequence[str]) -> dict[str, str]:
    found = {}
    for one in given:
        gate, is_pair, reason = one.partition("=")
        if not is_pair or not gate or not reason.strip():
            raise typer.BadParameter(
                f"--override {one!r}: write GATE=REASON, such as alarms='this is the fix'"
            )
        found[gate] = reason.strip()
    return found


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise typer.BadParameter("nobody is there to be asked: say --yes")
    return typer.confirm("Release this?", err=True)


def _start(stack: "ReleasedStack", request: "Request", *, yes: bool, as_json: bool) -> None:
    from release.driver import nobody
    from release.view import render_plan

    def show(plan: "Plan") -> None:
        render_plan(plan.as_dict(), err)

    with driver_of(stack, quiet=as_json) as driver:
        if not yes:
            plan = driver.plan(request)
            show(plan)
            if not plan.refusals and not _agreed():
                raise typer.Exit(1)
        ended = driver.start(request, show if yes and not as_json else nobody)
    end(ended, as_json)


@app.command("start")
def start(
    stack: StackName = "local",
    service: Services = None,
    image: Image = None,
    strategy: StrategyOption = None,
    step: Step = None,
    every: Every = None,
    bake: Bake = None,
    hotfix: Hotfix = False,
    emergency: Emergency = False,
    override: Override = None,
    change: Change = None,
    commit: Commit = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Release images: prints the plan, asks, and brings it to an end or back."""
    from switchyard.releases import ReleasedStack

    images, opened = _images(service, image), ReleasedStack(stack)
    request = _request(
        opened,
        images,
        strategy=strategy,
        step=step,
        every=every,
        bake=bake,
        hotfix=hotfix,
        emergency=emergency,
        override=override,
        change=change,
        commit=commit,
    )
    _start(opened, request, yes=yes, as_json=as_json)


@app.command("plan")
def plan(
    stack: StackName = "local",
    service: Services = None,
    image: Image = None,
    strategy: StrategyOption = None,
    step: Step = None,
    every: Every = None,
    bake: Bake = None,
    hotfix: Hotfix = False,
    emergency: Emergency = False,
    override: Override = None,
    change: Change = None,
    commit: Commit = None,
    as_json: AsJson = False,
) -> None:
    """Show gates, steps, the least time and the time to go back. Changes nothing; status 3 if refused."""
    from release.run import ExitCode
    from release.view import render_plan
    from switchyard.releases import ReleasedStack

    images, opened = _images(service, image), ReleasedStack(stack)
    request = _request(
        opened,
        images,
        strategy=strategy,
        step=step,
        every=every,
        bake=bake,
        hotfix=hotfix,
        emergency=emergency,
        override=override,
        change=change,
        commit=commit,
    )
    with driver_of(opened, quiet=as_json) as driver:
        found = driver.plan(request)
    if as_json:
        print_json(found.as_dict())
    else:
        render_plan(found.as_dict(), out)
    raise typer.Exit(int(ExitCode.REFUSED) if found.refusals else 0)


def promote(
    source: Annotated[str, typer.Option("--from", help="The stack in which the digests were proven.")],
    target: Annotated[str, typer.Option("--to", help="The stack that they go to.")],
    service: Services = None,
    evidence: Annotated[
        Path | None,
        typer.Option(
            help="What `release evidence` has written, where no credentials lead to the other stack."
        ),
    ] = None,
    hotfix: Hotfix = False,
    change: Change = None,
    commit: Commit = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Release to one stack the very digests that another one has proven, once they have soaked there.

    Status 6 if it is too early, and 0 if they run there already.
    """
    from switchyard import evidence as evidence_module
    from switchyard.releases import ReleasedStack, live_images, promoted_images

    found = evidence_module.read(evidence, datetime.now(UTC)) if evidence else None
    opened = ReleasedStack(target, evidence=found)
    proven = promoted_images(source, opened, list(service or []), hotfix=hotfix)
    live = live_images(opened)
    images = {name: image for name, image in proven.items() if live.get(name) != image}
    if not images:
        _nothing_new(target, proven, as_json)
        return
    request = _request(
        opened,
        images,
        hotfix=hotfix,
        change=change,
        commit=commit,
    )
    _start(opened, request, yes=yes, as_json=as_json)


def _nothing_new(target: str, proven: "dict[str, str]", as_json: bool) -> None:
    reason = f"{target} runs what is proven already: {', '.join(sorted(proven))}"
    if as_json:
        print_json({"outcome": "completed", "exit_status": 0, "reason": reason, "release": None})
    else:
        out.print(reason, markup=False, soft_wrap=True)


@app.command("evidence")
def evidence(
    target: Annotated[str, typer.Option("--for", help="The stack that it would be promoted to.")],
    file: Annotated[Path, typer.Option("--out", help="Where to write it.")],
    stack: StackName = "local",
    hotfix: Hotfix = False,
) -> None:
    """Write down what a stack has proved, for `switchyard promote --evidence` in another account.

    Status 3 if what is live has not proved itself, 6 if it only has not soaked long enough; no file then.
    """
    from switchyard import evidence as module

    taken = module.take(stack)
    module.judge(taken, target, hotfix=hotfix)
    file.write_text(taken.text())
    for name, image in sorted(taken.live.items()):
        out.print(f"{name}: {image}", markup=False, soft_wrap=True)


# --- the release in progress


@app.command("resume")
def resume(stack: StackName = "local", as_json: AsJson = False) -> None:
    """Go on with the release in progress, whichever machine it was begun on."""
    from switchyard.releases import ReleasedStack

    with driver_of(ReleasedStack(stack), quiet=as_json) as driver:
        ended = driver.resume(actor())
    end(ended, as_json)


@app.command("abort")
def abort(
    stack: StackName = "local",
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    leave: Annotated[
        bool, typer.Option("--leave", help="Close it as it stands; touch no weight, no task, nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Roll the release in progress back; traffic first."""
    from switchyard.releases import ReleasedStack

    with driver_of(ReleasedStack(stack), quiet=as_json) as driver:
        ended = driver.abort(actor(), reason=reason, leave=leave)
    end(ended, as_json)


@app.command("rollback")
def rollback(
    stack: StackName = "local",
    to: Annotated[int | None, typer.Option(help="A completed release to go back to.")] = None,
    reason: Annotated[str, typer.Option(help="Why, for the record.")] = "",
    strategy: StrategyOption = None,
    as_json: AsJson = False,
) -> None:
    """Go back to the versions before the last release, at once if they are still warm.

    Else they are started, checked and shifted to as any version, in steps unless --strategy all-at-once.
    """
    from switchyard.releases import ReleasedStack

    with driver_of(ReleasedStack(stack), quiet=as_json) as driver:
        ended = driver.rollback(actor(), to=to, reason=reason, strategy=strategy)
    end(ended, as_json)


@app.command("approve")
def approve(stack: StackName = "local", as_json: AsJson = False) -> None:
    """Let a release that is held go on."""
    from switchyard.releases import ReleasedStack

    with driver_of(ReleasedStack(stack), quiet=as_json) as driver:
        ended = driver.approve(actor())
    end(ended, as_json)


# --- what is known


@app.command("history")
def history(stack: StackName = "local", as_json: AsJson = False) -> None:
    """List the releases of a stack, the newest first."""
    from release.record import release_as_dict
    from release.view import render_history
    from switchyard.releases import ReleasedStack

    opened = ReleasedStack(stack)
    with driver_of(opened, quiet=True) as driver:
        found = [release_as_dict(release) for release in driver.history()]
    if as_json:
        print_json(found)
    else:
        render_history(found, out)


@app.command("show")
def show(
    number: Annotated[int, typer.Argument(help="The release's number.")],
    stack: StackName = "local",
    as_json: AsJson = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="For a change board.")] = False,
) -> None:
    """Show one release with its whole record, checked for having been changed."""
    from release.record import export_json, export_markdown
    from switchyard.releases import ReleasedStack

    with driver_of(ReleasedStack(stack), quiet=True) as driver:
        release, entries = driver.show(number)
    if as_json:
        sys.stdout.write(export_json(release, entries) + "\n")
    elif markdown or not out.is_terminal:
        sys.stdout.write(export_markdown(release, entries) + "\n")
    else:
        from rich.markdown import Markdown

        out.print(Markdown(export_markdown(release, entries)))


@app.command("watch")
def watch(
    stack: StackName = "local",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document a line.")] = False,
) -> None:
    """Follow the release in progress to its end, from any machine. Exits as it ends."""
    from release.run import AT_THE_END
    from switchyard.releases import ReleasedStack

    store = ReleasedStack(stack).store
    release = store.current()
    if release is None:
        (err if as_json else out).print("no release is in progress")
        return
    number, seen = release.number, 0
    while True:
        over = next((each for each in store.history() if each.number == number), None)
        for entry in store.entries(number)[seen:]:
            seen = entry.seq
            if as_json:
                sys.stdout.write(json.dumps(entry.as_dict(), sort_keys=True) + "\n")
                sys.stdout.flush()
            else:
                out.print(f"{entry.at:%H:%M:%S} {entry.phase}: {entry.reason}", markup=False, soft_wrap=True)
        if over is not None:
            raise typer.Exit(int(AT_THE_END[over.phase]))
        time.sleep(WATCH_SECONDS)
