"""Stacks as a user names them: their settings, their environment, the engine's view of them."""

import json
import os
import shutil
from collections.abc import Mapping
from functools import cache
from typing import Any

import boto3
import pulumi.automation as auto
import yaml

from infra.account import BOUNDED, NoAccount, caller_account
from infra.load import InvalidSettings, from_file
from infra.settings import Settings
from localcloud import cloud
from localcloud.paths import PROJECT, WORKSPACE
from switchyard.errors import SwitchyardError, UnknownStack


def project_name() -> str:
    """The project's name, as in Pulumi.yaml."""
    name: str = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())["name"]
    return name


def settings_of(stack: str) -> Settings:
    """The stack's settings. Raises UnknownStack, or SwitchyardError with every mistake in them."""
    path = PROJECT / f"Pulumi.{stack}.yaml"
    if not path.exists():
        have = sorted(found.name.split(".")[1] for found in PROJECT.glob("Pulumi.*.yaml"))
        raise UnknownStack(f"there is no {path.name}; the stacks are: {', '.join(have)}")
    try:
        return from_file(path)
    except InvalidSettings as error:
        raise SwitchyardError(str(error)) from None


def account_of(stack: str) -> str:
    """The first account that the stack may be deployed to."""
    return settings_of(stack).accounts[0]


def is_embedded(stack: str) -> bool:
    """Whether the stack lives on the embedded cloud: local always, others while their account is there.

    A shell that has run `switchyard cloud env` talks to the embedded cloud about every stack.
    """
    found = cloud.recorded()
    here = found is not None and os.environ.get("AWS_ENDPOINT_URL") == found.endpoint
    return here or settings_of(stack).environment == "local"


def environment_of(stack: str) -> Mapping[str, str]:
    """What the engine and AWS clients need to reach the stack, beside the shell's own variables."""
    return cloud.environment(account_of(stack)) if is_embedded(stack) else {}


def session_of(
    environment: Mapping[str, str], region: str | None, profile: str | None = None
) -> boto3.Session:
    """AWS clients with the environment's credentials, else the shell's own; a region that is given wins."""
    return boto3.Session(
        aws_access_key_id=environment.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=environment.get("AWS_SECRET_ACCESS_KEY"),
        profile_name=profile,
        region_name=region or environment.get("AWS_REGION"),
    )


def account_at_hand(environment: Mapping[str, str], region: str) -> str:
    """The account that the environment's credentials, else the shell's own, belong to. Raises NoAccount."""
    endpoint = environment.get("AWS_ENDPOINT_URL")
    return caller_account(
        lambda: session_of(environment, region).client("sts", endpoint_url=endpoint, config=BOUNDED)
    )


def workspace(stack: str) -> auto.LocalWorkspace:
    """Pulumi's view of the project, in the stack's environment. Raises SwitchyardError without an engine."""
    environment = environment_of(stack)
    for name in cloud.FOREIGN if environment else ():
        # The SDK can only add variables to what this process has.
        os.environ.pop(name, None)
    embedded = (WORKSPACE / "bin" / "pulumi").exists()
    if not embedded and shutil.which("pulumi") is None:
        raise SwitchyardError(
            "there is no `pulumi` on PATH to read the stack with; install it "
            "(https://www.pulumi.com/docs/install/), or have `switchyard cloud start` get it"
        )
    return auto.LocalWorkspace(
        work_dir=str(PROJECT),
        env_vars=dict(environment),
        pulumi_command=_command(str(WORKSPACE) if embedded else None),
    )


@cache
def _command(root: str | None) -> auto.PulumiCommand:
    """The CLI; the SDK starts it each time to ask for its version."""
    return auto.PulumiCommand(root=root)


def selected(stack: str, engine: auto.LocalWorkspace | None = None) -> auto.Stack:
    """The stack, made if need be, for updates by the Automation API. Raises auto.CommandError."""
    return auto.Stack.create_or_select(stack, engine or workspace(stack))


def outputs_of(stack: str) -> dict[str, Any]:
    """The stack's outputs; what is secret of them is masked. Raises auto.CommandError.

    The SDK's own way starts the CLI a second time for the secrets.
    """
    engine = workspace(stack)
    done = engine.pulumi_command.run(
        ["stack", "output", "--json", "--stack", stack], engine.work_dir, dict(engine.env_vars)
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def unreadable(stack: str, error: auto.CommandError) -> SwitchyardError:
    """What to tell a person when Pulumi could not read a stack."""
    told = [f"Pulumi could not read stack {stack}:\n{error}"]
    found = cloud.recorded()
    if found is not None and found.alive and not is_embedded(stack):
        told.append(
            f"This shell is not pointed at the embedded cloud, which runs. If {stack} is there: "
            f'eval "$(switchyard cloud env --stack {stack})"'
        )
    return SwitchyardError("\n".join(told))


def guard_account(stack: str) -> None:
    """Refuses to go on in another AWS account than the stack's. Raises SwitchyardError."""
    settings, environment = settings_of(stack), environment_of(stack)
    try:
        account = account_at_hand(environment, settings.region)
    except NoAccount as error:
        raise SwitchyardError(f"{error}\nNothing was touched.") from None
    if account not in settings.accounts:
        raise SwitchyardError(
            f"these credentials are for account {account}, and {stack} may only go to "
            f"{', '.join(settings.accounts)} (its switchyard:accounts); nothing was touched"
        )
