"""Brings a stack up on the embedded cloud, with progress and a truthful end."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe
from typing import TypeVar

import pulumi.automation as auto
from pulumi.automation import EngineEvent, OpType
from rich.console import Console

from infra.settings_file import kept
from localcloud import cloud
from localcloud.dataplane import images
from localcloud.dataplane.images import PublishedImage
from localcloud.paths import IMAGES, PROJECT
from switchyard import status as status_module
from switchyard.errors import DeploymentFailed
from switchyard.recovery import recover
from switchyard.stacks import account_of, project_name, selected, session_of, settings_of, workspace

Say = Callable[[str], None]
Observe = Callable[[EngineEvent], None]
Result = TypeVar("Result")

# In a log, a line every so often shows that work goes on.
QUIET_SECONDS = 5.0


@dataclass(kw_only=True)
class Watcher:
    """Turns the engine's events into one line of progress, and keeps what went wrong."""

    say: Say
    verb: str
    done: int = 0
    open: dict[str, float] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    observe: Observe | None = None
    last_said: float = 0.0

    def __call__(self, event: EngineEvent) -> None:
        """Takes one event of the engine."""
        if self.observe:
            self.observe(event)
        before = event.resource_pre_event
        # Components are open for as long as what is in them: they tell nothing.
        if before and before.metadata.op != OpType.SAME and before.metadata.type.startswith("aws:"):
            self.open[before.metadata.urn] = time.monotonic()
        if event.res_outputs_event:
            self.done += 1
            self.open.pop(event.res_outputs_event.metadata.urn, None)
        if event.res_op_failed_event:
            self.open.pop(event.res_op_failed_event.metadata.urn, None)
        if event.diagnostic_event and event.diagnostic_event.severity == "error":
            self.errors.append(event.diagnostic_event.message.strip())
        if time.monotonic() - self.last_said > QUIET_SECONDS:
            self.last_said = time.monotonic()
            self.say(self.line())

    def line(self) -> str:
        """What has been done and what is waited for, longest first."""
        waiting = sorted(self.open.items(), key=lambda entry: entry[1])[:3]
        names = ", ".join(urn.rsplit("::", 1)[-1] for urn, _ in waiting)
        return f"{self.verb}: {self.done} resources done" + (f"; waiting for {names}" if names else "")


def up(stack: str, say: Say, observe: Observe | None = None) -> "status_module.StackStatus":
    """Brings the stack up and returns its status. Raises SwitchyardError or CloudError.

    `observe` gets every event of the engine.
    """
    settings = settings_of(stack)
    # From here on this process means the embedded cloud, whatever the stack.
    os.environ["AWS_ENDPOINT_URL"] = cloud.start(say).endpoint
    if settings.edge.certificate_arn:
        cloud.ensure_certificate(settings.edge.certificate_arn)
    say(f"Bringing up stack {stack}")
    engine = workspace(stack)
    watcher = Watcher(say=say, verb=f"Bringing up {stack}", observe=observe)
    with kept(PROJECT / f"Pulumi.{stack}.yaml"):
        opened = run(lambda: selected(stack, engine), watcher)
        recover(stack, say, engine)
        run(lambda: opened.up(on_event=watcher, suppress_outputs=True), watcher)
    fill_secrets(stack, say)
    return status_module.read(stack)


def fill_secrets(stack: str, say: Say) -> None:
    """Puts a random value into each secret of the stack that nobody has given one: no task starts without.

    On a real account people do that; here nothing is secret.
    """
    environment, settings = cloud.environment(account_of(stack)), settings_of(stack)
    session = session_of(environment, settings.region)
    manager = session.client("secretsmanager", endpoint_url=environment["AWS_ENDPOINT_URL"])
    own = [{"Key": "name", "Values": [f"{project_name()}-{stack}/"]}]
    pages = manager.get_paginator("list_secrets").paginate(Filters=own)  # type: ignore[arg-type]
    for secret in [secret for page in pages for secret in page["SecretList"]]:
        versions = manager.list_secret_version_ids(SecretId=secret["ARN"])["Versions"]
        if not any("AWSCURRENT" in version.get("VersionStages", []) for version in versions):
            manager.put_secret_value(SecretId=secret["ARN"], SecretString=token_urlsafe(32))
            say(f"Gave the empty secret {secret['Name']} a random value")


def publish(folder: Path, repository: str, version: str, stack: str) -> PublishedImage:
    """Puts an application folder into the stack's registry. Raises CloudError."""
    cloud.running()
    environment = cloud.environment(account_of(stack))
    session = session_of(environment, settings_of(stack).region)
    ecr = session.client("ecr", endpoint_url=environment["AWS_ENDPOINT_URL"])
    own = f"{project_name()}-{stack}/{repository}"
    return images.publish(folder, own, version, ecr, IMAGES)


def run(work: Callable[[], Result], watcher: Watcher) -> Result:
    """Runs a step of the engine. Raises DeploymentFailed with what the engine said."""
    try:
        return work()
    except auto.CommandError as error:
        said = "\n".join(dict.fromkeys(watcher.errors)) or str(error)
        raise DeploymentFailed(f"{watcher.verb} failed:\n{said}\nMend it and run the same again.") from None


def render(result: "status_module.StackStatus", console: Console) -> None:
    """What came up, and where to go from here."""
    status_module.render(result, console)
    enter = f'eval "$(switchyard cloud env --stack {result.stack})"'
    look = f"aws ecs list-services --region {result.region} --cluster {project_name()}-{result.stack}"
    console.print(f"Look at it with the AWS CLI: {enter}; {look}", markup=False, soft_wrap=True)
