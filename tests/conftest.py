"""One embedded cloud for the whole run, apart from the developer's own, ended with the run."""

import os
import signal
import tempfile
from pathlib import Path

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that puts `make test` into the background has it ignore Ctrl-C, and all that it starts with it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
# Before anything of ours is imported, and once: workers inherit what the first process sets.
_FIRST = "PYTEST_XDIST_WORKER" not in os.environ
if _FIRST:
    _SCRATCH = tempfile.TemporaryDirectory(prefix="switchyard-tests-")
    os.environ["SWITCHYARD_HOME"] = str(Path(_SCRATCH.name) / "home")
    for _name in [_name for _name in os.environ if _name.startswith(("AWS_", "PULUMI_"))]:
        # A shell that is set up for a real account must not lend it to the tests.
        del os.environ[_name]


def pytest_sessionfinish() -> None:
    """Ends the cloud, if a test started it."""
    if _FIRST:
        from localcloud import cloud

        cloud.stop()
        _SCRATCH.cleanup()
