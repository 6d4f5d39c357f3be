"""`pulumi up` and its preview, through the Automation API, with the engine's own words when it fails."""

import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar

import psutil
import pulumi.automation as auto

from components.colours import Colour, owned_by
from release.errors import NeedsPerson, ReleaseError, Unavailable
from release.ports import Say

Opened = Callable[[], AbstractContextManager[auto.Stack]]
T = TypeVar("T")

# What a preview tells of and nothing is done about.
AS_IT_IS = frozenset({auto.OpType.SAME, auto.OpType.READ, auto.OpType.REFRESH})
# Of a replacement, that it was one is enough.
UNTOLD = AS_IT_IS | {auto.OpType.CREATE_REPLACEMENT, auto.OpType.DELETE_REPLACED}
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
        if after and after.metadata.op not in UNTOLD and after.metadata.urn in self.begun:
            metadata = after.metadata
            self.say(f"{metadata.op.value}: {metadata.type} {_name(metadata.urn)}")
        said = event.diagnostic_event
        if said and said.severity == "error":
            self.errors.append(_plain(said.message))


@dataclass(kw_only=True)
class Left:
    """Collects from a preview what would be done, by URN, and the engine's errors."""

    operations: dict[str, auto.OpType] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def __call__(self, event: auto.EngineEvent) -> None:
        """Takes one event of the engine."""
        before, said = event.resource_pre_event, event.diagnostic_event
        if before and before.metadata.op not in AS_IT_IS:
            # A replacement is told in parts; the one that is called so is the clearest.
            known = self.operations.get(before.metadata.urn)
            if known is not auto.OpType.REPLACE:
                self.operations[before.metadata.urn] = before.metadata.op
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
        # Two runs of the engine would get into each other's way in what `opened` puts right.
        self._one_at_a_time = threading.Lock()

    def apply(self, colours: Mapping[str, Colour], say: Say) -> None:
        """`pulumi up` of what belongs to these colours by service; every resource that it changed is said.

        Nothing else is touched, so a release carries no other change of the infrastructure along. Raises
        ReleaseError with the engine's errors, Unavailable while somebody else updates the stack. Ctrl-C lets
        the engine end what it has begun, then it is raised again.
        """
        told = Told(say=say)
        with self._one_at_a_time, self._opened() as stack:
            _refuse_pending(self._stack, self._asking(lambda: pending_operations(stack)))
            say(f"pulumi up of {self._stack}")
            with ThreadPoolExecutor(max_workers=1) as pool:
                update = pool.submit(
                    stack.up, on_event=told, color="never", suppress_outputs=True, target=patterns(colours)
                )
                try:
                    self._asking(update.result, told)
                except KeyboardInterrupt:
                    _end(stack, update, say)
                    raise

    def pending_operations(self) -> Sequence[str]:
        """What an interrupted update has left undecided in the state: `creating aws:… name`."""
        with self._one_at_a_time, self._opened() as stack:
            return self._asking(lambda: pending_operations(stack))

    def unapplied(self, colours: Mapping[str, Colour]) -> Sequence[str]:
        """What `pulumi up` would do now beside what belongs to these colours: `update aws:… name`.

        A preview that does not read AWS first. Raises ReleaseError with the engine's errors.
        """
        left = Left()
        with self._one_at_a_time, self._opened() as stack:
            self._asking(lambda: stack.preview(on_event=left, color="never", suppress_outputs=True), left)
        mine = _owned(colours)
        return [
            f"{operation.value} {_type(urn)} {_name(urn)}"
            for urn, operation in left.operations.items()
            if not any(_is_of(_name(urn), owned) for owned in mine)
        ]

    def _asking(self, work: Callable[[], T], told: Told | Left | None = None) -> T:
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


def patterns(colours: Mapping[str, Colour]) -> list[str]:
    """What belongs to these colours by service, as the engine's patterns of URNs: ** is any text."""
    return [f"**::{name}{rest}" for name in _owned(colours) for rest in ("", "-*")]


def _owned(colours: Mapping[str, Colour]) -> list[str]:
    return [owned_by(service, colour) for service, colour in colours.items()]


def _is_of(name: str, owned: str) -> bool:
    """What `patterns` means, for one name."""
    return name == owned or name.startswith(f"{owned}-")


def pending_operations(stack: auto.Stack) -> Sequence[str]:
    """The creates that the state holds as begun and not ended; the engine itself does anything else again."""
    deployment = stack.export_stack().deployment or {}
    operations: list[Any] = deployment.get("pending_operations") or []
    return [
        f"{one['type']} {one['resource']['type']} {_name(one['resource']['urn'])}"
        for one in operations
        if one["type"] == "creating"
    ]


def _refuse_pending(stack: str, pending: Sequence[str]) -> None:
    """Raises NeedsPerson: another update would create for the second time what may be there already."""
    if pending:
        raise NeedsPerson(
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


def _type(urn: str) -> str:
    return urn.split("::")[2].rsplit("$", 1)[-1]


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
