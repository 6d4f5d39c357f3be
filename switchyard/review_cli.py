"""`switchyard preview`, `comment`, `drift`, `render` and `cost`: what a pull request needs."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from switchyard.console import AsJson, StackName, out, print_json, progress, writable, write

if TYPE_CHECKING:
    from review.report import Report

FAILED = 1
Format = Literal["terminal", "markdown", "json"]
Form = Annotated[Format, typer.Option("--format", help="How to show it.")]
Stacks = Annotated[
    list[str] | None, typer.Option("--stack", "-s", help="A stack; repeat it for several. Default: local.")
]
Refresh = Annotated[bool, typer.Option("--refresh", help="Read AWS first: shows what was changed outside.")]
Out = Annotated[Path | None, typer.Option("--out", help="Write to this file instead.")]


def preview(
    stack: Stacks = None, refresh: Refresh = False, form: Form = "terminal", file: Out = None
) -> None:
    """Show what `pulumi up` would change, break and cost. Status 1 if a check fails. Changes nothing."""
    writable(file)
    from review.preview import worst
    from switchyard.reviews import previews

    with progress() as say:
        reports = previews(stack or ["local"], say, refresh=refresh)
    _write(reports, form, file)
    raise typer.Exit(worst(reports))


def _write(reports: "list[Report]", form: Format, file: Path | None) -> None:
    from review import markdown, terminal

    if form == "terminal" and file is None:
        for report in reports:
            terminal.render(report, out)
        return
    if form == "json":
        text = json.dumps([report.to_json() for report in reports], indent=2)
    else:
        text = "\n".join(markdown.render(report) for report in reports)
    if file is None:
        sys.stdout.write(text + "\n")
    else:
        write(file, text + "\n")


def comment(
    stack: Stacks = None,
    refresh: Refresh = False,
    number: Annotated[int | None, typer.Option("--pr", help="The pull request; default: the job's.")] = None,
) -> None:
    """Preview, and keep one comment per stack on the pull request up to date. Status 1 if a check fails."""
    from review import markdown
    from review.comment import of_environment, publish
    from review.preview import worst
    from switchyard.reviews import previews

    target = of_environment(os.environ, number)
    with progress() as say:
        reports = previews(stack or ["local"], say, refresh=refresh)
        for report in reports:
            publish(target, report.stack, markdown.render(report), say)
    raise typer.Exit(worst(reports))


def drift(
    stack: StackName = "local",
    issue: Annotated[
        bool, typer.Option("--issue", help="Keep one GitHub issue of it up to date; closed when it is gone.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List what was changed outside the program, but by those who may. Status 1 if anything was."""
    from review import drift_issue, terminal
    from switchyard.reviews import previews

    target = drift_issue.of_environment(os.environ) if issue else None
    with progress() as say:
        (report,) = previews([stack], say, refresh=True)
        # Who could not look leaves the issue as it is.
        if target is not None and report.plan is not None:
            drift_issue.tell(target, report, say)
    if as_json:
        print_json(report.to_json())
    else:
        terminal.render(report, out)
    raise typer.Exit(FAILED if report.plan is None or report.outside else 0)


def render(
    stack: StackName = "local",
    form: Annotated[Literal["terraform-json"], typer.Option("--format", help="As what.")] = "terraform-json",
    file: Out = None,
) -> None:
    """Show what the program declares as Terraform JSON, for checkov and whoever reads Terraform."""
    writable(file)
    from review.terraform_checks import written
    from review.terraform_json import render as rendered
    from review.terraform_program import NotRendered
    from switchyard.errors import SwitchyardError
    from switchyard.reviews import program_of
    from switchyard.stacks import settings_of

    del form
    try:
        text = written(rendered(program_of(stack, settings_of(stack))))
    except NotRendered as error:
        raise SwitchyardError(str(error)) from None
    if file is None:
        sys.stdout.write(text)
    else:
        write(file, text)


def cost(stack: StackName = "local", as_json: AsJson = False) -> None:
    """Estimate what a month of the stack costs, by component, from the price table in the repository."""
    from rich.table import Table

    from switchyard.reviews import estimate

    found = estimate(stack)
    if as_json:
        print_json(
            {
                "stack": stack,
                "monthly_usd": str(found.monthly),
                "components": {name: str(amount) for name, amount in found.by_component().items()},
                "unpriced": [
                    {"component": u.component, "resource": u.resource, "why": u.why} for u in found.unpriced
                ],
                "assumptions": dict(found.assumptions),
                "prices": {"region": found.region, "as_of": found.as_of.isoformat(), "source": found.source},
            }
        )
        return
    table = Table("component", "USD a month")
    for name, amount in found.by_component().items():
        table.add_row(name, f"{amount:,.2f}")
    out.print(table)
    out.print(f"{found.monthly:,.2f} USD a month, by prices of {found.region} as of {found.as_of}")
    for one in found.unpriced:
        out.print(f"not counted: {one.resource} of {one.component}: {one.why}", markup=False, soft_wrap=True)


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    for command in (preview, comment, drift, render, cost):
        app.command(command.__name__)(command)
