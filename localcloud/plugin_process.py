"""Programs that the engine has its language host run: policy packs, and providers written in Python.

A program is a folder with a `__main__.py`. What it writes goes to the engine piece by piece, as it comes:
its first line is the port that the engine waits for.
"""

import os
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

END_SECONDS = 5.0
PIECE_BYTES = 65536


class NoProgram(Exception):
    """There is nothing to run, and why."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Something that a program wrote."""

    stream: Literal["stdout", "stderr"]
    content: bytes


def interpreter(root: Path, virtualenv: str | None) -> str:
    """The Python of the virtual environment that a program names, or this one. Raises NoProgram."""
    if virtualenv is None:
        return sys.executable
    found = root / virtualenv / "bin" / "python"
    if not found.exists():
        raise NoProgram(
            f"{root} names the virtual environment {virtualenv}, and there is no {found}; "
            "`make up` creates the project's own"
        )
    return str(found)


class PluginProcess:
    """A running program. Ends with `end`, at the latest with its host."""

    def __init__(
        self,
        program: Path,
        arguments: Sequence[str],
        *,
        python: str,
        directory: str | None,
        environment: Mapping[str, str],
    ) -> None:
        """Starts the program. Raises NoProgram where its folder has no `__main__.py`."""
        if not (program / "__main__.py").is_file():
            raise NoProgram(f"{program} has no __main__.py, so there is nothing to run")
        self._process = subprocess.Popen(  # noqa: S603 - the program is the user's own
            [python, "-u", str(program), *arguments],
            cwd=directory or program,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            # Ctrl-C goes to the whole terminal; the engine says by itself when it is done with a plugin.
            start_new_session=True,
        )
        self._pieces: queue.SimpleQueue[Piece | None] = queue.SimpleQueue()
        for stream in ("stdout", "stderr"):
            threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def _read(self, stream: Literal["stdout", "stderr"]) -> None:
        source: IO[bytes] | None = getattr(self._process, stream)
        while source is not None and (content := os.read(source.fileno(), PIECE_BYTES)):
            self._pieces.put(Piece(stream=stream, content=content))
        self._pieces.put(None)

    def pieces(self) -> Iterator[Piece]:
        """All that it writes, until both its streams are closed."""
        open_streams = 2
        while open_streams:
            piece = self._pieces.get()
            if piece is None:
                open_streams -= 1
            else:
                yield piece

    def wait(self) -> int:
        """Its exit status, once it has ended."""
        return self._process.wait()

    def end(self) -> None:
        """Ends it, by force if it does not listen. Nothing happens if it has ended."""
        if self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
