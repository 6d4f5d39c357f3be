"""What the engine starts as its language host: asks the cloud's warm interpreter for one, and stands for it.

Usage: python -S host_launcher.py SOCKET [ARGUMENT …]. Where there is no warm interpreter it becomes a host
by itself. It imports next to nothing: being quick is all that it is for.
"""

import json
import os
import select
import signal
import socket
import struct
import sys

ENGINE_LOOK_SECONDS = 2.0


def main(address: str, arguments: "list[str]") -> int:
    """Returns when the host has ended, or the engine asks for the end, or is gone."""
    engine = os.getppid()
    stopped, stop = os.pipe()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os.write(stop, b"."))
    host = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        host.connect(address)
    except OSError:
        os.execv(sys.executable, [sys.executable, "-P", "-m", "localcloud.language", *arguments])  # noqa: S606
    asked = {
        "arguments": arguments,
        "environment": dict(os.environ),
        "directory": os.getcwd(),  # noqa: PTH109
        "engine": engine,
    }
    body = json.dumps(asked).encode()
    socket.send_fds(host, [struct.pack("!I", len(body))], [0, 1, 2])
    host.sendall(body)
    while os.getppid() == engine:
        readable, _, _ = select.select([host.fileno(), stopped], [], [], ENGINE_LOOK_SECONDS)
        if stopped in readable:
            host.shutdown(socket.SHUT_WR)
            # The host closes its end when it has ended.
            select.select([host], [], [], ENGINE_LOOK_SECONDS)
        if readable:
            break
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
