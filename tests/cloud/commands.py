"""A command that a test begins, tells something, and waits for."""

import json
import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

COMMAND_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command came to."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its one document on standard output."""
        return json.loads(self.out)

    @property
    def text(self) -> str:
        """All of it, for the message of a test that fails."""
        return f"exit status {self.status}\n{self.out}\n{self.err}"


class Command:
    """A command that runs; `end` waits for it."""

    def __init__(self, arguments: Sequence[str], *, folder: Path, environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            arguments,
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def line(self) -> str:
        """The next line on its standard output."""
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def wait_for_word(self, word: str) -> None:
        """Reads its standard error as far as a line with that word."""
        assert self._process.stderr is not None
        read = []
        while word not in (line := self._process.stderr.readline()):
            read.append(line)
            assert line, f"it ended and never said {word!r}: {''.join(read)}"

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""
        return self._process.poll() is not None

    def tell(self, number: signal.Signals, *, group: bool = False) -> None:
        """Sends a signal to it, or to its whole process group as a terminal does."""
        (os.killpg if group else os.kill)(self._process.pid, number)

    def left(self) -> list[str]:
        """The processes of its session that are there."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error, ProcessLookupError):
                ours = os.getsid(process.pid) == self._process.pid
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(" ".join(process.cmdline()))
        return found

    def end(self, seconds: float = COMMAND_SECONDS) -> Said:
        """Closes its standard input and returns what it came to; it may take so long."""
        try:
            out, err = self._process.communicate(timeout=seconds)
        except BaseException:
            self.kill()
            raise
        return Said(status=self._process.returncode, out=out, err=err)

    def kill(self) -> None:
        """Ends it where a test leaves it behind."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
