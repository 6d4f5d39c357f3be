"""Language hosts without the wait for their imports.

The engine starts a language host twice a run, and importing Pulumi and pulumi-aws takes it more than a
second. One interpreter of the cloud has imported them already and is forked for each host. The engine still
starts a program of its own (localcloud/host_launcher.py), which hands over its arguments, environment and
streams through a Unix socket, and stands for the host from then on: when it ends, the host ends.

Only libraries are kept: the project's own modules are forgotten after the import, so each run reads them as
they are then.
"""

import contextlib
import gc
import importlib
import json
import os
import select
import signal
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import NoReturn

from localcloud import aws_names, language

# What a program of this project imports; a broken one still leaves the libraries that it got to.
PROGRAM = "infra.platform", "infra.account", "infra.load"
OWN = ("components", "infra")
STREAMS = 3
LENGTH = struct.Struct("!I")


def import_libraries() -> None:
    """Imports all that the program does, and forgets what is the project's own."""
    for name in PROGRAM:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
    # pulumi-aws reads each of its modules at the first use of a type, which is when a program runs.
    for token in (*aws_names.RESOURCES, *aws_names.FUNCTIONS):
        _, path, kind = token.split(":")
        with contextlib.suppress(ImportError):
            getattr(importlib.import_module(f"pulumi_aws.{path.partition('/')[0]}"), kind, None)
    for name in [name for name in sys.modules if name.partition(".")[0] in OWN]:
        del sys.modules[name]


def main(address: str) -> None:
    """Forks a host for each connection, until its standard input closes."""
    import_libraries()
    # What is here stays; a collection would only unshare the memory of every host.
    gc.freeze()
    gc.disable()
    # Taken away when it ends, and its CPU time counted, which SIG_IGN would not do.
    signal.signal(signal.SIGCHLD, take_away_the_ended)
    Path(address).unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(address)
        listener.listen(64)
        while True:
            readable, _, _ = select.select([listener, sys.stdin], [], [])
            if sys.stdin in readable:
                break
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                become_host(connection)
            connection.close()
    Path(address).unlink(missing_ok=True)


def take_away_the_ended(*_: object) -> None:
    """Waits for every host that has ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def become_host(connection: socket.socket) -> NoReturn:
    """Turns this process into the host that the other end of the connection stands for."""
    try:
        header, streams, _, _ = socket.recv_fds(connection, LENGTH.size, STREAMS)
        with connection.makefile("rb") as body:
            asked = json.loads(body.read(LENGTH.unpack(header)[0]))
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.environ.clear()
        os.environ.update(asked["environment"])
        os.chdir(asked["directory"])
        sys.argv[1:] = asked["arguments"]
    except (OSError, ValueError, struct.error):
        # Whoever asked has gone again.
        os._exit(1)
    # Ctrl-C goes to everyone on the terminal; the launcher is told by the engine, and tells by leaving.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    stop = threading.Event()

    def wait_for_the_launcher() -> None:
        with contextlib.suppress(OSError):
            connection.recv(1)
        stop.set()

    threading.Thread(target=wait_for_the_launcher, daemon=True).start()
    language.serve(asked["arguments"][-1], stop, lambda: True, asked["engine"])


if __name__ == "__main__":
    main(sys.argv[1])
