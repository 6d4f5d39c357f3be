"""`switchyard bootstrap`: what an AWS account needs once, before its first stack.

The bucket for Pulumi's state is itself made by Pulumi, so the first run keeps its state in a folder of
this checkout, and moves it into the bucket as soon as there is one. Every later run, from any machine,
finds bucket and state by the account's number alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pulumi.automation as auto
from pulumi.automation import OpType

from bootstrap.inputs import InvalidInputs, checked
from localcloud.paths import WORKSPACE
from switchyard.bootstrap_account import check_account, place_of_state, with_provider
from switchyard.bootstrap_engine import Bench, begin, lay_out, moved_to_bucket, opened
from switchyard.embedded import Watcher
from switchyard.embedded import run as run_step
from switchyard.errors import DeploymentFailed, SwitchyardError
from switchyard.interrupted import interruptible

Say = Callable[[str], None]
Ask = Callable[[str], bool]

NOTHING = {OpType.SAME}


class NotConfirmed(SwitchyardError):
    """Nobody has agreed to what would be done."""


@dataclass(frozen=True, kw_only=True)
class Bootstrapped:
    """What is there now.

    backend_url: for `pulumi login`. secrets_provider: for `pulumi stack init --secrets-provider`.
    preview_role_arn, writer_role_arns: for GitHub's workflows, the latter by environment.
    changes: resources by what was done with them; empty if there was nothing to do.
    """

    account: str
    backend_url: str
    secrets_provider: str
    preview_role_arn: str
    writer_role_arns: Mapping[str, str]
    changes: Mapping[str, int]

    def as_dict(self) -> dict[str, object]:
        """The same for programs."""
        return {
            **asdict(self),
            "writer_role_arns": dict(self.writer_role_arns),
            "changes": dict(self.changes),
        }

    def text(self) -> str:
        """What was done and what to do with it, for a terminal."""
        counts = ", ".join(f"{count} {operation}" for operation, count in self.changes.items())
        return "\n".join(
            [
                f"Account {self.account}: {counts or 'as it should be'}",
                f"pulumi login '{self.backend_url}'",
                f"pulumi stack init STACK --secrets-provider '{self.secrets_provider}'",
                f"Role for previews: {self.preview_role_arn}",
                *(f"Role for {name}: {arn}" for name, arn in sorted(self.writer_role_arns.items())),
            ]
        )


def run(
    account: str,
    region: str,
    repository: str,
    environments: Sequence[str],
    *,
    yes: bool,
    say: Say,
    ask: Ask | None = None,
    branch: str = "main",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Bootstrapped:
    """Brings the account to what was asked for, after a preview, and returns what is there.

    yes: agree to the preview beforehand; else `ask` is called with a question, and without it the run ends.
    say: gets the preview and the progress, a piece of text at a time.
    environment: variables for the engine and AWS clients beside the shell's own (the embedded cloud's).
    folder: where the run works; default: one for the account in the checkout's `.switchyard/`.

    Raises SwitchyardError: before anything is touched for bad input, another account or a bucket of somebody
    else; NotConfirmed after the preview; DeploymentFailed where the engine stopped, and the same run goes on.
    """
    try:
        inputs = checked(
            account=account,
            region=region,
            repository=repository,
            environments=tuple(environments),
            branch=branch,
        )
    except InvalidInputs as error:
        raise SwitchyardError(f"can't bootstrap that:\n{error}") from None
    work = folder or WORKSPACE / "bootstrap" / account
    bench = Bench(inputs=inputs, environment=dict(environment or {}), folder=work.absolute())
    check_account(bench)
    say(f"Looking at account {account}")
    moved, begun = place_of_state(bench)
    bench.inputs = with_provider(bench, opened(bench, moved) if moved or begun else None)
    lay_out(bench)
    stack = opened(bench, moved) or begin(bench)
    changes = _apply(bench, stack, yes=yes, say=say, ask=ask)
    if not moved:
        say(f"Moving the state into s3://{inputs.bucket}")
        stack = moved_to_bucket(bench, stack)
    return _told(bench, stack, changes)


def _apply(bench: Bench, stack: auto.Stack, *, yes: bool, say: Say, ask: Ask | None) -> dict[str, int]:
    """Previews, asks and applies. Returns what was done, by kind; empty if there was nothing to do."""
    try:
        shown = stack.preview(color="never", diff=True)
    except auto.CommandError as error:
        raise DeploymentFailed(f"the preview failed; nothing was done:\n{error}") from None
    if {OpType(kind) for kind in shown.change_summary} <= NOTHING:
        say(f"Account {bench.inputs.account} is as it should be: nothing to change")
        return {}
    say(shown.stdout)
    if not yes and ask is None:
        raise NotConfirmed(
            "nothing was done: nobody is there to agree to this. Run it in a terminal, or say --yes"
        )
    if not yes and ask is not None and not ask(f"Do this in account {bench.inputs.account}?"):
        raise NotConfirmed("nothing was done, as you wish")
    watcher = Watcher(say=say, verb=f"Bootstrapping account {bench.inputs.account}")
    engine = stack.workspace
    assert isinstance(engine, auto.LocalWorkspace)  # noqa: S101 - the only kind there is
    with interruptible(engine, say):
        done = run_step(lambda: stack.up(color="never", suppress_outputs=True, on_event=watcher), watcher)
    counts = done.summary.resource_changes or {}
    return {str(kind): count for kind, count in counts.items() if OpType(kind) not in NOTHING}


def _told(bench: Bench, stack: auto.Stack, changes: Mapping[str, int]) -> Bootstrapped:
    outputs = {name: output.value for name, output in stack.outputs().items()}
    return Bootstrapped(
        account=bench.inputs.account,
        backend_url=bench.bucket_url,
        secrets_provider=bench.secrets_provider,
        preview_role_arn=outputs["preview_role_arn"],
        writer_role_arns=outputs["writer_role_arns"],
        changes=changes,
    )
