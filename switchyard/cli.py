"""The `switchyard` command. Each subcommand is a thin layer over a module that can be used without it."""

import signal
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from localcloud.errors import CloudError
from release.errors import NotYet, Refused, ReleaseError
from review.errors import ReviewError
from switchyard import account_cli, promotion_cli, release_cli, review_cli, state_cli
from switchyard.console import AsJson, StackName, err, out, print_json, progress
from switchyard.errors import SwitchyardError

app = typer.Typer(
    help="Blue/green on AWS: releases that always find their way back, and a cloud to try them on.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
cloud_app = typer.Typer(help="The embedded cloud: an AWS API and Pulumi's engine, on this machine alone.")
app.add_typer(cloud_app, name="cloud", no_args_is_help=True)
app.add_typer(release_cli.app, name="release", no_args_is_help=True)
app.command("promote")(promotion_cli.promote)
review_cli.add_to(app)
state_cli.add_to(app)
account_cli.add_to(app)

FAILED = 1
REFUSED = 3
NOT_YET = 6
INTERRUPTED = 128 + signal.SIGINT


@cloud_app.command("start")
def cloud_start(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port of the AWS API; 0 takes a free one.")] = 0,
    speed: Annotated[
        float,
        typer.Option(
            min=1,
            max=120,
            help="How many times as fast as AWS health checks, metrics, alarms and scaling are.",
        ),
    ] = 12,
) -> None:
    """Start the embedded cloud in the background. Safe to repeat."""
    from localcloud import cloud

    with progress() as say:
        started = cloud.start(say, port, speed)
    out.print(f"The embedded cloud runs. AWS endpoint: {started.endpoint}")
    out.print('To use it from this shell: eval "$(switchyard cloud env)"', markup=False)


@cloud_app.command("stop")
def cloud_stop() -> None:
    """Stop the embedded cloud. All that was deployed to it is gone."""
    from localcloud import cloud

    out.print("Stopped." if cloud.stop() else "It was not running.")


@cloud_app.command("status")
def cloud_status(as_json: AsJson = False) -> None:
    """Say whether the embedded cloud runs, and where. Status 1 if it does not."""
    from localcloud import cloud

    found = cloud.recorded()
    alive = found is not None and found.alive
    endpoint = found.endpoint if found and alive else None
    if as_json:
        print_json({"running": alive, "endpoint": endpoint, "pid": found.pid if found and alive else None})
    else:
        out.print(f"running, AWS endpoint {endpoint}" if alive else "not running: switchyard cloud start")
    raise typer.Exit(0 if alive else FAILED)


@cloud_app.command("env")
def cloud_env(
    stack: StackName = "local",
    as_json: AsJson = False,
) -> None:
    """Print the variables that point pulumi, the AWS CLI, boto3 and Terraform at the embedded cloud.

    Use it as: eval "$(switchyard cloud env)". Each stack is in the AWS account that its settings allow.
    """
    from localcloud import cloud
    from switchyard.stacks import account_of

    variables = cloud.environment(account_of(stack))
    if as_json:
        print_json(variables)
    else:
        sys.stdout.write(cloud.exports(variables) + "\n")


@cloud_app.command("up")
def cloud_up(stack: StackName = "local") -> None:
    """Start the embedded cloud and bring a stack up on it. Safe to repeat, also after a kill."""
    from switchyard import embedded

    with progress() as say:
        result = embedded.up(stack, say)
    embedded.render(result, out)


@cloud_app.command("publish")
def cloud_publish(
    folder: Annotated[Path, typer.Argument(help="The application's folder, with its Dockerfile.")],
    repository: Annotated[str, typer.Option(help="The repository, as a service's image_repository has it.")],
    version: Annotated[str, typer.Option(help="The tag; it can't be moved later.")],
    stack: StackName = "local",
    as_json: AsJson = False,
) -> None:
    """Pack an application folder as an image of the embedded registry, and print its digest."""
    from switchyard.embedded import publish

    published = publish(folder, repository, version, stack)
    if as_json:
        print_json(asdict(published))
    else:
        for line in published.not_executed:
            err.print(f"not executed here: {line}", markup=False)
        out.print(published.reference, markup=False, soft_wrap=True)


@app.command()
def status(stack: StackName = "local", as_json: AsJson = False) -> None:
    """Show a stack: its resources by component, its services, their colours and weights."""
    from switchyard import status as status_module

    found = status_module.read(stack)
    if as_json:
        print_json(found.as_dict())
    else:
        status_module.render(found, out)


@app.command()
def demo(
    rate: Annotated[float, typer.Option(min=1, max=500, help="Requests per second.")] = 60,
    folder: Annotated[Path | None, typer.Option("--out", help="Where pictures and records go.")] = None,
) -> None:
    """Show a good release and a bad one under load, on the embedded cloud. Keeps pictures and records."""
    from switchyard import demo as demo_module

    with progress() as say:
        files = demo_module.run(out, rate_per_second=rate, say=say, out=folder or demo_module.OUTPUT)
    for file in files:
        out.print(str(file), markup=False, soft_wrap=True)


@app.command()
def recover(stack: StackName = "local") -> None:
    """Mend a stack after an update that was killed: its dead lock, and what was being created.

    A lock is cleared only if its process is provably gone. What AWS has is taken into the state, what it
    does not have is forgotten; the next `pulumi up` finishes the rest.
    """
    from switchyard import recovery, stacks

    # What another account does not have would be forgotten.
    stacks.guard_account(stack)
    with progress() as say:
        done = recovery.recover(stack, say)
    counts = f"{len(done.cleared_locks)} locks cleared, {len(done.adopted)} resources adopted"
    out.print(f"{counts}, {len(done.cleared)} to be created again")


@app.command()
def doctor(as_json: AsJson = False) -> None:
    """Say what is there, what is missing, and what to do. Status 1 if something needed is missing."""
    from switchyard import doctor as doctor_module

    findings = doctor_module.examine()
    if as_json:
        print_json([finding.as_dict() for finding in findings])
    else:
        doctor_module.render(findings, out)
    raise typer.Exit(FAILED if any(finding.broken for finding in findings) else 0)


def _status(error: Exception) -> int:
    if isinstance(error, NotYet):
        return NOT_YET
    return REFUSED if isinstance(error, Refused) else FAILED


def main() -> None:
    """Runs the command. A mistake or a fault is one message and a status; never a traceback."""
    try:
        app(standalone_mode=True)
    except (SwitchyardError, CloudError, ReleaseError, ReviewError) as error:
        err.print("[bold red]error:[/] ", end="")
        # Paths and commands are there to be copied: no line breaks in them.
        err.print(str(error), markup=False, soft_wrap=True)
        if "--json" in sys.argv:
            # Whoever reads JSON gets JSON, whatever happened.
            print_json({"error": str(error), "exit_status": _status(error)})
        sys.exit(_status(error))
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(INTERRUPTED)
