"""`switchyard release …`: the release engine on the command line.

Exit status: 0 completed, 1 failed, 3 refused (nothing was begun), 4 rolled back, 5 needs a person,
6 not yet (nothing was begun, and nothing is wrong but that the soak is not over), 130 interrupted.
"""

import json
import sys
import time
from typing import Annotated

import typer

from switchyard import promotion_cli
from switchyard.console import AsJson, StackName, err, out, print_json
from switchyard.release_request import (
    Bake,
    Change,
    Commit,
    Emergency,
    Every,
    Hotfix,
    Image,
    Override,
    Services,
    Step,
    StrategyOption,
    Yes,
    actor,
    images_of,
    request_of,
)
from switchyard.release_run import driver_of, end, start_release

app = typer.Typer(help="Release new versions without fear: shift, watch, go back by itself.")

WATCH_SECONDS = 1.0


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

    images, opened = images_of(service, image), ReleasedStack(stack)
    request = request_of(
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
    start_release(opened, request, yes=yes, as_json=as_json)


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

    images, opened = images_of(service, image), ReleasedStack(stack)
    request = request_of(
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


app.command("evidence")(promotion_cli.evidence)
