"""Runs the examples as a container runs them: a process, its variables, its signals."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from localcloud.dataplane.postgres import Wanted
from tests.unit.databases import free_port, url

START_SECONDS = 20.0


class Running:
    """A started example. `line` is the first line that it wrote."""

    def __init__(self, process: "subprocess.Popen[str]", port: int) -> None:
        self.process = process
        self.port = port
        assert process.stdout is not None
        self.line = process.stdout.readline().strip()

    def get(self, path: str, data: bytes | None = None) -> tuple[int, Any, Any]:
        """Status, body and headers of an answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=data)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - loopback
                return answer.status, answer.read().decode(), answer.headers
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode(), error.headers

    def stop(self) -> int:
        """The exit status after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)


def started(folder: Path, environment: dict[str, str] | None = None) -> "subprocess.Popen[str]":
    dockerfile = (folder / "Dockerfile").read_text()
    command = json.loads(re.findall(r"^CMD (\[.*\])$", dockerfile, re.M)[0])
    assert command[0] == "python"
    image = dict(re.findall(r"^ENV (\w+)=(.*)$", dockerfile, re.M))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DATABASE_")}
    return subprocess.Popen(
        [sys.executable, *command[1:]],
        cwd=folder,
        env=clean | image | {"HOST": "127.0.0.1"} | (environment or {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@contextmanager
def running(folder: Path, environment: dict[str, str] | None = None) -> Iterator[Running]:
    port = free_port()
    process = started(folder, {"PORT": str(port)} | (environment or {}))
    try:
        yield Running(process, port)
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def rows(server: Wanted, database: dict[str, str], query: str) -> list[Any]:
    with psycopg.connect(url(server, database["DATABASE_NAME"])) as connection:
        return connection.execute(query.encode()).fetchall()


def migrate(folder: Path, database: dict[str, str], *arguments: str, **more: str) -> dict[str, Any]:
    done = migration(folder, database, *arguments, **more)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def migration(
    folder: Path, database: dict[str, str], *arguments: str, **more: str
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "api.migrate", *arguments],
        cwd=folder,
        env={**os.environ, **database, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
