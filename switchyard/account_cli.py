"""`switchyard review` and `switchyard bootstrap`: short-lived stacks, and the account that they are in."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from switchyard.console import AsJson, err, out, print_json, progress

if TYPE_CHECKING:
    from switchyard.review_stacks import Reaped

HOURS = 48
FAILED = 1
Number = Annotated[int, typer.Option("--pr", min=1, help="The pull request's number.")]

review_app = typer.Typer(help="A stack of its own for each pull request, with a time to live.")


@contextmanager
def _told() -> Iterator[None]:
    """What was interrupted says so, by its status too."""
    from switchyard.interrupted import Interrupted

    try:
        yield
    except Interrupted as error:
        err.print(f"{error}: run the same again to go on", markup=False)
        raise typer.Exit(error.status) from None


def _line(text: str) -> None:
    """Something to be copied: no line breaks in it."""
    out.print(text, markup=False, soft_wrap=True)


@review_app.command("up")
def review_up(
    number: Number,
    base: Annotated[str, typer.Option(help="The stack whose settings it is derived from.")] = "dev",
    hours: Annotated[
        int, typer.Option("--ttl-hours", min=1, max=720, help="Hours that it may live.")
    ] = HOURS,
    as_json: AsJson = False,
) -> None:
    """Bring the stack of a pull request up, or up to date. Its time to live begins anew.

    Cut off at any point, the same again goes on, and `review down` or `review reap` takes away what is there.
    """
    from switchyard.review_stacks import up

    with _told(), progress() as say:
        made = up(number, base=base, ttl_hours=hours, say=say)
    record, outputs = made.record, made.outputs
    if as_json:
        print_json(
            {
                "stack": record.stack,
                "base": record.base,
                "network": str(record.cidr),
                "expires": record.expires.isoformat(),
                "production_url": outputs["production_url"],
                "test_url": outputs["test_url"],
            }
        )
        return
    _line(f"{record.stack} lives until {record.expires:%Y-%m-%d %H:%M} UTC")
    _line(f"Production {outputs['production_url']}   test {outputs['test_url']}")
    _line(f"It runs nothing yet: switchyard release start --stack {record.stack} --service … --image …")


@review_app.command("down")
def review_down(number: Number, as_json: AsJson = False) -> None:
    """Destroy the stack of a pull request, and all that was kept of it. Status 0 also where there is none."""
    from review.ephemeral import stack_name
    from switchyard.review_stacks import down

    with _told(), progress() as say:
        was_there = down(number, say)
    if as_json:
        print_json({"stack": stack_name(number), "destroyed": was_there})
    else:
        _line("Destroyed." if was_there else "There was none.")


@review_app.command("reap")
def review_reap(as_json: AsJson = False) -> None:
    """Destroy every review stack whose time is over. Status 1 if one could not be destroyed."""
    from switchyard.review_stacks import ReapFailed, reap

    try:
        with _told(), progress() as say:
            reaped = reap(datetime.now(UTC), say)
    except ReapFailed as failed:
        if not as_json:
            raise
        # One document, that says what was done and what was not.
        _print_reaped(failed.reaped)
        raise typer.Exit(FAILED) from None
    if as_json:
        _print_reaped(reaped)
    else:
        _line(f"{len(reaped.destroyed)} destroyed, {len(reaped.kept)} kept")


def _print_reaped(reaped: "Reaped") -> None:
    print_json({"destroyed": reaped.destroyed, "kept": reaped.kept, "failed": reaped.failed})


def bootstrap(
    account: Annotated[str, typer.Option(help="The AWS account; the credentials at hand have to be its.")],
    region: Annotated[str, typer.Option(help="Where state and keys are.")],
    repository: Annotated[str, typer.Option(help="The GitHub repository, owner/name.")],
    environment: Annotated[
        list[str],
        typer.Option(help="A GitHub environment whose jobs may write the stack of that name; repeat it."),
    ],
    branch: Annotated[str, typer.Option(help="The branch whose jobs may preview, too.")] = "main",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Prepare an account: the state's bucket, the key of its secrets, GitHub's roles.

    Previewed first, then asked for. Safe to repeat: it changes what differs. Whatever stopped it, the
    same again in the same checkout goes on.
    """
    from switchyard import bootstrap as module

    with _told():
        done = module.run(
            account,
            region,
            repository,
            environment,
            yes=yes,
            say=lambda text: err.print(text, markup=False, soft_wrap=True),
            ask=(lambda question: typer.confirm(question, err=True)) if sys.stdin.isatty() else None,
            branch=branch,
        )
    if as_json:
        print_json(done.as_dict())
    else:
        _line(done.text())


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    app.command("bootstrap")(bootstrap)
    app.add_typer(review_app, name="review", no_args_is_help=True)
