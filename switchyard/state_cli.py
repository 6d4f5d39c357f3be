"""`switchyard up`, `updates` and `unlock`: applying a stack for CI, and what an interrupted run has left.

Exit status of `up`: 0 done, 1 failed, 3 nothing was begun (refused, or locked by somebody else), 128 and the
signal's number if it was interrupted.
"""

import re
import sys
from collections.abc import Callable, Sequence
from datetime import timedelta
from os import environ
from typing import TYPE_CHECKING, Annotated, Any

import typer

from switchyard.console import AsJson, StackName, err, out, print_json, progress
from switchyard.release_request import actor

if TYPE_CHECKING:
    import pulumi.automation as auto

    from switchyard.locks import Lock
    from switchyard.pending import Pending
    from switchyard.unlock import Interrupted
    from switchyard.up import Ended

LEFT = 1
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
_SPAN = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?")


def _tell(line: str) -> None:
    """Something that stays on the screen."""
    err.print(line, markup=False, soft_wrap=True)


def parsed_span(text: str) -> timedelta:
    """A length of time as `10m`, `1h30m`, `90s` or `90`. Raises typer.BadParameter."""
    match = _SPAN.fullmatch(text.strip().lower())
    if not match or not any(match.groups()):
        raise typer.BadParameter(f"{text!r} is no length of time; write 10m, 1h30m, 90s, or 0 not to wait")
    hours, minutes, seconds = (int(group or 0) for group in match.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def up(
    stack: StackName = "local",
    plan: Annotated[
        str | None, typer.Option(help="Digest of the plan that was reviewed; no other is applied.")
    ] = None,
    lock_wait: Annotated[
        str, typer.Option("--lock-wait", help="How long to wait for somebody else: 10m, 90s; 0 does not.")
    ] = "10m",
    as_json: AsJson = False,
) -> None:
    """Apply a stack for CI: previews again, checks the plan, and does exactly that or nothing.

    Status 1 if it failed, 3 if nothing was begun. What it did is on record: `switchyard updates`.
    """
    wait = parsed_span(lock_wait)
    from switchyard.releases import commit_of_checkout
    from switchyard.up import Author
    from switchyard.up_stack import job_of
    from switchyard.up_stack import up as apply

    author = Author(actor=actor(), commit=commit_of_checkout(), job=job_of(environ))
    with progress() as say:
        ended = apply(stack, author, say, _tell, lock_wait=wait, digest=plan)
    if as_json:
        print_json(_ended_json(stack, ended))
    elif ended.reason:
        err.print("[bold red]error:[/] ", end="")
        _tell(ended.reason)
    else:
        out.print(f"{stack}: {ended.done or 'nothing to do'}", markup=False)
    raise typer.Exit(ended.status)


def _ended_json(stack: str, ended: "Ended") -> dict[str, Any]:
    return {
        "stack": stack,
        "outcome": ended.outcome.value,
        "exit_status": ended.status,
        "reason": ended.reason,
        "applied": dict(ended.counts),
        "duration_seconds": ended.duration_seconds,
        "not_recorded": ended.unrecorded or None,
        "report": ended.report.to_json() if ended.report else None,
    }


def updates(
    stack: StackName = "local",
    limit: Annotated[int, typer.Option(min=1, help="So many at most, the newest.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List what `switchyard up` has applied to a stack, the newest first; checked for having been changed."""
    from rich.table import Table
    from rich.text import Text

    from release.errors import ReleaseError
    from switchyard.up_record import UpdateRecord, has_no_table
    from switchyard.up_stack import table_of

    try:
        found = UpdateRecord(table_of(stack)).updates()[:limit]
    except ReleaseError as error:
        if not has_no_table(error):
            raise
        found = []
    if as_json:
        print_json([each.as_dict() for each in found])
        return
    table = Table("#", "began (UTC)", "by", "commit", "outcome", "done", "took", "plan")
    for each in found:
        cells = (
            str(each.number),
            f"{each.began:%Y-%m-%d %H:%M:%S}",
            each.actor,
            (each.commit or "")[:12],
            each.outcome.value,
            ", ".join(f"{count} {operation}" for operation, count in each.counts.items()),
            "" if each.duration_seconds is None else f"{each.duration_seconds:.0f} s",
            (each.plan or "")[:12],
        )
        table.add_row(*map(Text, cells))
    out.print(table if found else f"no `switchyard up` of {stack} is on record", markup=False)


# --- unlock


def unlock(
    stack: StackName = "local",
    force: Annotated[
        list[str] | None, typer.Option(help="ID of a lock to clear though it may be alive; repeat it.")
    ] = None,
    adopt: Annotated[
        list[str] | None,
        typer.Option(help="A pending create to take from AWS: its URN, or URN=ID; repeat it."),
    ] = None,
    forget: Annotated[
        list[str] | None,
        typer.Option(help="URN of a pending operation to take out of the state; repeat it."),
    ] = None,
    yes: Yes = False,
    as_json: AsJson = False,
) -> None:
    """Show a stack's locks and pending operations, and clear them one by one.

    A lock is cleared if its process is provably gone, or if --force names it. Without a terminal, and with
    --json, pending operations are only listed unless --adopt and --forget say what becomes of them. Status 1
    if anything is left. `switchyard recover` does all of it by itself.
    """
    from switchyard.locks import locks
    from switchyard.stacks import guard_account, settings_of, workspace

    settings_of(stack)
    guard_account(stack)
    engine = workspace(stack)
    asks = sys.stdin.isatty() and not as_json
    found = locks(stack, engine)
    cleared = _unlocked(stack, found, force or [], yes=yes, asks=asks, as_json=as_json)
    living = locks(stack, engine) if found else []
    pending, resolved = _resolved(
        stack, engine, adopt or [], forget or [], asks=asks and not living, held=bool(living), as_json=as_json
    )
    if as_json:
        print_json(
            {
                "stack": stack,
                "locks": [lock.as_dict() for lock in living],
                "cleared": [lock.id for lock in cleared],
                "pending": [one.as_dict() for one in pending],
                "resolved": resolved,
            }
        )
    elif not living and not pending:
        out.print(f"{stack} is free: no lock, nothing pending", markup=False)
    raise typer.Exit(LEFT if living or pending else 0)


def _unlocked(
    stack: str, found: "Sequence[Lock]", force: Sequence[str], *, yes: bool, asks: bool, as_json: bool
) -> "list[Lock]":
    """The locks that were cleared."""
    from switchyard.unlock import clear, named_locks

    forced = named_locks(stack, found, force)
    if found and not as_json:
        _show_locks(found)
    if forced and not yes:
        _agree(stack, forced, asks)
    return clear(stack, [lock for lock in found if lock.dead or lock in forced], _tell)


def _show_locks(found: "Sequence[Lock]") -> None:
    from rich.table import Table
    from rich.text import Text

    from switchyard.locks import span

    table = Table("lock", "owner", "host", "process", "age", "state")
    for lock in found:
        state = lock.malformed or ("dead: its process is gone" if lock.dead else "may be alive")
        cells = (lock.id, lock.owner, lock.host, str(lock.pid or ""), span(lock.age), state)
        table.add_row(*map(Text, cells))
    out.print(table)


def _agree(stack: str, forced: "Sequence[Lock]", asks: bool) -> None:
    """Asks whether these locks are to be cleared. Raises NotResolved where nobody can be asked."""
    from switchyard.unlock import NotResolved

    means = (
        "If its process still works on the stack, another one can begin beside it: both write the state, and "
        "the last one wins."
    )
    if not asks:
        raise NotResolved(
            f"--force clears a lock that may be alive. {means} Say --yes if you know; left as is."
        )
    _tell(means)
    if not typer.confirm(f"Clear {len(forced)} of {stack}'s locks?", err=True):
        raise typer.Exit(LEFT)


def _resolved(
    stack: str,
    engine: "auto.LocalWorkspace",
    adopt: Sequence[str],
    forget: Sequence[str],
    *,
    asks: bool,
    held: bool,
    as_json: bool,
) -> "tuple[list[Pending], list[dict[str, Any]]]":
    """What is still pending, and what became of the others."""
    from switchyard import unlock as module

    if not held:
        module.finish(stack, engine, _tell)
    found = module.interrupted(stack, engine)
    if held and (adopt or forget):
        raise module.NotResolved(
            "pending operations are not touched while somebody may work on the stack: clear its lock first"
        )
    # All of them are known before the first one is changed.
    orders = [(*module.named_operation(found, given), True) for given in adopt]
    orders += [(*module.named_operation(found, given), False) for given in forget]
    if found.operations and not as_json:
        _show_pending(found)
    done = [_one(stack, engine, one, thing, adopted=taken) for one, thing, taken in orders]
    decided = {entry["urn"] for entry in done}
    left = [one for one in found.operations if one.urn not in decided]
    if asks and not orders:
        for one in list(left):
            entry = _asked(stack, engine, one)
            if entry:
                done.append(entry)
                left.remove(one)
    return left, done


def _show_pending(found: "Interrupted") -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table("operation", "type", "name", "resource last changed")
    for one in found.operations:
        cells = (one.operation, one.type, one.name, one.modified or "never: it is new")
        table.add_row(*map(Text, cells))
    out.print(table)
    out.print(f"The state was written last at {found.written or 'a time that it does not tell'}.")
    for one in found.operations:
        out.print(one.urn, markup=False, soft_wrap=True)


def _one(
    stack: str, engine: "auto.LocalWorkspace", one: "Pending", thing: str | None, *, adopted: bool
) -> dict[str, Any]:
    """Resolves one operation; it is kept when this returns."""
    from switchyard import unlock as module

    if adopted:
        found: str | None = module.adopt(stack, one, engine, thing)
        _tell(f"{one.name} was adopted: {found}")
    else:
        found = None
        module.forget(stack, one, engine)
        _tell(f"{one.name} was forgotten: the next run does without what was begun")
    return {"urn": one.urn, "as": "adopted" if adopted else "forgotten", "id": found}


def _asked(stack: str, engine: "auto.LocalWorkspace", one: "Pending") -> dict[str, Any] | None:
    from rich.prompt import Prompt

    from switchyard import unlock as module

    if one.undecided:
        _tell(f"{one.operation} {one.name} ({one.type}): {module.trace(stack, one, engine)}")
        choices = ["adopt", "forget", "leave"]
    else:
        _tell(f"{one.operation} {one.name} ({one.type}): the next run does it again by itself")
        choices = ["forget", "leave"]
    try:
        answer = Prompt.ask("What becomes of it?", console=err, choices=choices, default="leave")
    except EOFError:
        raise typer.Abort from None
    if answer == "leave":
        return None
    try:
        return _one(stack, engine, one, None, adopted=answer == "adopt")
    except module.NotResolved as error:
        _tell(str(error))
        return None


def add_to(app: typer.Typer) -> None:
    """Registers the commands."""
    commands: list[Callable[..., None]] = [up, updates, unlock]
    for command in commands:
        app.command(command.__name__)(command)
