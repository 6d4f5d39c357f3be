"""`pulumi-resource-aws ENGINE_ADDRESS`: prints its port and serves until it is ended.

With `--kept` it serves many engines, and ends when its standard input closes.
"""

import os
import signal
import sys
import threading

from localcloud import engine
from localcloud.errors import CloudError
from localcloud.provider.server import serve


def main() -> int:
    """Returns the exit status: 0 after a normal end, 1 where it could not start."""
    kept = "--kept" in sys.argv
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    try:
        binaries = engine.bridge_binaries(lambda line: print(line, file=sys.stderr))  # noqa: T201
        provider = serve(binaries, "" if kept else sys.argv[-1])
    except CloudError as error:
        print(error, file=sys.stderr)  # noqa: T201
        return 1
    print(provider.port, flush=True)  # noqa: T201 - the protocol
    if kept:
        threading.Thread(target=_set_at_end_of_input, args=(ended,), daemon=True).start()
    ended.wait()
    provider.stop()
    os._exit(0)


def _set_at_end_of_input(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    sys.exit(main())
