"""Ctrl-C, SIGTERM and a closed terminal, while the engine works for `switchyard up`.

The first signal asks the engine to end: it finishes what it has begun, keeps the state and frees its lock.
The second one has it end at once. Pulumi's SDK does neither: its engine gets Ctrl-C from a terminal and
nothing from anybody else, and goes on alone when the command is ended by SIGTERM.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import psutil
import pulumi.automation as auto
from pulumi.automation.errors import create_command_error

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# An engine that was told twice gets so long before it is killed; CI kills the whole job soon after.
LAST_SECONDS = 10.0

# What is not begun any more once a signal came; other commands only tell how it ended.
BEGINNINGS = (["preview"], ["up"], ["destroy"])

OnOutput = Callable[[str], None]


class Stopped(BaseException):
    """A signal came while no engine ran. Nothing to wait for."""


class GuardedCommand(auto.PulumiCommand):
    """Pulumi's command line in a process group of its own, so that signals reach it from here alone."""

    def __init__(self, command: auto.PulumiCommand, say: Callable[[str], None]) -> None:
        # Not the SDK's own constructor: it starts the CLI to ask for its version.
        self.command = command.command
        self.version = command.version
        self.received: signal.Signals | None = None
        self._say = say
        self._running: subprocess.Popen[str] | None = None
        self._asked = 0
        # Set once all is done but the record of it: a signal then changes nothing any more.
        self.finishing = False
        # A signal between the engine's start and its being known here is passed on then.
        self._starting = False

    @property
    def status(self) -> int | None:
        """The exit status that a shell gives for the signal that came, None if none did."""
        return None if self.received is None else 128 + self.received

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While it lasts, signals end the engine; Stopped is raised where none runs."""
        before = {number: signal.signal(number, self._heard) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: OnOutput | None = None,
        on_error: OnOutput | None = None,
    ) -> auto.CommandResult:
        """Runs the command as the SDK does. Raises auto.CommandError."""
        if self.received is not None and args[:1] in BEGINNINGS:
            raise Stopped
        environment = {**os.environ, **additional_env, "PULUMI_AUTOMATION_API": "true"}
        if Path(self.command).is_absolute():
            own = str(Path(self.command).parent)
            environment["PATH"] = os.pathsep.join([own, environment.get("PATH", "")])
        self._starting = True
        with subprocess.Popen(  # noqa: S603 - the engine, as the SDK starts it
            [self.command, "--non-interactive", *args],
            cwd=cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            process_group=0,
        ) as process:
            self._running, self._starting = process, False
            if self.received is not None:
                process.send_signal(signal.SIGINT)
            try:
                out, err = _read(process, on_output, on_error)
                process.wait()
            finally:
                self._running = None
        result = auto.CommandResult(stdout=out, stderr=err, code=process.returncode)
        if process.returncode != 0:
            raise create_command_error(result)
        return result

    def _heard(self, number: int, frame: FrameType | None) -> None:
        del frame
        process, name = self._running, signal.Signals(number).name
        self.received = self.received or signal.Signals(number)
        if self._starting or self.finishing:
            return
        if process is None:
            raise Stopped
        self._asked += 1
        with suppress(ProcessLookupError):
            process.send_signal(signal.SIGINT)
        if self._asked == 1:
            self._say(f"{name}: the engine ends what it has begun; the same again ends it at once")
        elif self._asked == 2:
            self._say(f"{name} again: the engine ends at once, what it has begun stays undecided")
            last = threading.Timer(LAST_SECONDS, _kill, [process])
            last.daemon = True
            last.start()


def _read(
    process: "subprocess.Popen[str]", on_output: OnOutput | None, on_error: OnOutput | None
) -> tuple[str, str]:
    """All that it says, as it says it."""
    kept: tuple[list[str], list[str]] = ([], [])

    def take(stream: Any, callback: OnOutput | None, lines: list[str]) -> None:
        for line in stream:
            lines.append(line.rstrip())
            if callback:
                callback(lines[-1])

    streams = ((process.stdout, on_output), (process.stderr, on_error))
    threads = [
        threading.Thread(target=take, args=(stream, callback, lines))
        for (stream, callback), lines in zip(streams, kept, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return "\n".join(kept[0]), "\n".join(kept[1])


def _kill(process: "subprocess.Popen[str]") -> None:
    """Ends the engine and all that it has started."""
    with suppress(psutil.Error):
        found = psutil.Process(process.pid)
        for each in [*found.children(recursive=True), found]:
            with suppress(psutil.Error):
                each.kill()
