"""Runs a release command on a stack: shown while it lasts, ended by Ctrl-C, told by its exit status."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from switchyard.console import err, out, print_json

if TYPE_CHECKING:
    from release.driver import Driver
    from release.plan import Plan, Request
    from release.run import Ended
    from switchyard.releases import ReleasedStack


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


def start_release(stack: "ReleasedStack", request: "Request", *, yes: bool, as_json: bool) -> None:
    """Prints the plan, asks unless told not to, releases, and exits with its status."""
    from release.driver import nobody
    from release.view import render_plan

    if not (yes or sys.stdin.isatty()):
        raise typer.BadParameter("nobody is there to be asked: say --yes")

    def show(plan: "Plan") -> None:
        render_plan(plan.as_dict(), err)

    with driver_of(stack, quiet=as_json) as driver:
        if not yes:
            plan = driver.plan(request)
            show(plan)
            if not plan.refusals and not typer.confirm("Release this?", err=True):
                raise typer.Exit(1)
        ended = driver.start(request, show if yes and not as_json else nobody)
    end(ended, as_json)
