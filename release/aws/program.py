"""`pulumi up` of the stack, through the Automation API, with the engine's own words when it fails."""

import os
import re
import signal
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psutil
import pulumi.automation as auto

from release.errors import ReleaseError, Unavailable
from release.ports import Say

Opened = Callable[[], AbstractContextManager[auto.Stack]]
T = TypeVar("T")

# How the engine marks colours in what it says, and what a terminal makes of them.
MARKS = re.compile(r"<\{%.*?%\}>|\x1b\[[0-9;]*m")
# Of what the CLI prints, at most this much is repeated where the engine gave no error of its own.
LINES = 15


@dataclass(kw_only=True)
class Told:
    """Turns the engine's events into lines of progress, and keeps its errors.

    A resource is told when it is done and was changed; what stays as it is says nothing.
    """

    say: Say
    errors: list[str] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)

    def __call__(self, event: auto.EngineEvent) -> None:
        """Takes one event of the engine."""
        before, after = event.resource_pre_event, event.res_outputs_event
        if before and before.metadata.op != auto.OpType.SAME:
            self.begun.add(before.metadata.urn)
        if after and after.metadata.op != auto.OpType.SAME and after.metadata.urn in self.begun:
            metadata = after.metadata
            self.say(f"{metadata.op.value}: {metadata.type} {_name(metadata.urn)}")
        said = event.diagnostic_event
        if said and said.severity == "error":
            self.errors.append(_plain(said.message))


class PulumiProgram:
    """The infrastructure program of one stack.

    opened: opens the selected stack, in the environment that reaches it, for as long as it is used; whoever
        gives it may put things right before and after (a settings file that the engine writes to, say).
    """

    def __init__(self, stack: str, opened: Opened) -> None:
        self._stack = stack
        self._opened = opened

    def apply(self, say: Say) -> None:
        """`pulumi up`; every resource that it changed is said.

        Raises ReleaseError with the engine's errors, Unavailable while somebody else updates the stack.
        Ctrl-C lets the engine end what it has begun, then it is raised again.
        """
        told = Told(say=say)
        with self._opened() as stack:
            _refuse_pending(self._stack, self._asking(lambda: pending_operations(stack)))
            say(f"pulumi up of {self._stack}")
            with ThreadPoolExecutor(max_workers=1) as pool:
                update = pool.submit(stack.up, on_event=told, color="never", suppress_outputs=True)
                try:
                    self._asking(update.result, told)
                except KeyboardInterrupt:
                    _end(stack, update, say)
                    raise

    def pending_operations(self) -> Sequence[str]:
        """What an interrupted update has left undecided in the state: `creating aws:… name`."""
        with self._opened() as stack:
            return self._asking(lambda: pending_operations(stack))

    def _asking(self, work: Callable[[], T], told: Told | None = None) -> T:
        try:
            return work()
        except auto.errors.ConcurrentUpdateError as error:
            raise Unavailable(
                f"somebody else is updating stack {self._stack}: {_holder(str(error))}; wait until that has "
                f"ended. If its process is gone, `switchyard recover --stack {self._stack}` clears its lock"
            ) from None
        except auto.errors.CommandError as error:
            said = "\n".join(dict.fromkeys(told.errors if told else [])) or _last_lines(str(error))
            raise ReleaseError(f"the program of stack {self._stack} could not be applied:\n{said}") from None


def pending_operations(stack: auto.Stack) -> Sequence[str]:
    """What the stack's state holds as begun and not ended."""
    deployment = stack.export_stack().deployment or {}
    operations: list[Any] = deployment.get("pending_operations") or []
    return [f"{one['type']} {one['resource']['type']} {_name(one['resource']['urn'])}" for one in operations]


def _refuse_pending(stack: str, pending: Sequence[str]) -> None:
    """Raises ReleaseError: another update would create for the second time what may be there already."""
    if pending:
        raise ReleaseError(
            f"an update of stack {stack} was interrupted and left undecided: {', '.join(pending)}; "
            f"`switchyard recover --stack {stack}` looks for what is there, then resume"
        )


def _end(stack: auto.Stack, update: "Future[Any]", say: Say) -> None:
    """Tells the engine to end, once: a second signal makes it drop what it is doing."""
    say("Interrupted: waiting for the engine to end what it has begun")
    if not _terminal_told_all():
        for process in _engines(stack.name):
            with suppress(psutil.Error):
                process.send_signal(signal.SIGINT)
    # However it ends, the interrupt is what happened.
    with suppress(auto.errors.CommandError):
        update.result()


def _terminal_told_all() -> bool:
    """Whether Ctrl-C reached the engine by itself: a terminal signals every process in its foreground."""
    with suppress(OSError, ValueError):
        return os.tcgetpgrp(sys.stdin.fileno()) == os.getpgrp()
    return False


def _engines(stack: str) -> list[psutil.Process]:
    """This process's own runs of `pulumi up` for the stack."""
    found = []
    for process in psutil.Process().children():
        with suppress(psutil.Error):
            command = process.cmdline()
            if "up" in command and "--stack" in command and stack in command:
                found.append(process)
    return found


def _name(urn: str) -> str:
    return urn.rsplit("::", 1)[-1]


def _plain(message: str) -> str:
    return MARKS.sub("", message).strip()


def _holder(said: str) -> str:
    """Who holds the lock, where the engine tells."""
    found = re.search(r"created by .*", said)
    return found[0].strip() if found else "the engine does not say who"


def _last_lines(said: str) -> str:
    lines = [line for line in _plain(said).splitlines() if line.strip()]
    return "\n".join(lines[-LINES:])
