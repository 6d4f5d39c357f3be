"""Brings a stack up on the embedded cloud, with progress and a truthful end."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import pulumi.automation as auto
from pulumi.automation import EngineEvent, OpType
from rich.console import Console

from localcloud import cloud
from localcloud.paths import PROJECT
from switchyard import status as status_module
from switchyard.errors import DeploymentFailed
from switchyard.recovery import recover
from switchyard.stacks import project_name, settings_of, workspace

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
    options = _options(engine)
    with _kept(PROJECT / f"Pulumi.{stack}.yaml"):
        selected = _run(
            lambda: auto.create_or_select_stack(stack_name=stack, work_dir=engine.work_dir, opts=options),
            watcher,
        )
        recover(stack, say, engine)
        _run(lambda: selected.up(on_event=watcher, suppress_outputs=True), watcher)
    return status_module.read(stack)


@contextmanager
def _kept(file: Path) -> Iterator[None]:
    """Leaves the file as it was: the engine writes the embedded cloud's salt into it."""
    before = file.read_bytes()
    try:
        yield
    finally:
        file.write_bytes(before)


def _options(engine: auto.LocalWorkspace) -> auto.LocalWorkspaceOptions:
    return auto.LocalWorkspaceOptions(env_vars=dict(engine.env_vars), pulumi_command=engine.pulumi_command)


def _run(work: Callable[[], Result], watcher: Watcher) -> Result:
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
