"""The embedded cloud as a background process of this checkout: start, stop, look, reach."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import psutil

from localcloud import engine
from localcloud.errors import CloudError, CloudNotRunning
from localcloud.paths import BIN, CLOUD_LOG, CLOUD_STATE, PROJECT, PULUMI_HOME, WORKSPACE, state_bucket

START_SECONDS = 60.0
STOP_SECONDS = 15.0
DEFAULT_ACCOUNT = "123456789012"
# A minute of AWS's metrics and alarms takes five seconds here; see `switchyard cloud start --speed`.
SPEED = 12.0

# What a user has configured for the real AWS; it would win over the embedded cloud's credentials.
FOREIGN = ("AWS_PROFILE", "AWS_SESSION_TOKEN")

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Cloud:
    """A running embedded cloud.

    pid, started: the process that leads its group, and when that started (seconds since the epoch): a
        process id alone may have gone to somebody else.
    endpoint: URL of the AWS API.
    speed: by how much health checks, metrics, alarms and scaling are faster than AWS's.
    """

    pid: int
    started: float
    endpoint: str
    speed: float = 1.0

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            return abs(process.create_time() - self.started) < 1 and _lives(process)
        return False


def recorded() -> Cloud | None:
    """The cloud that was started last, alive or not."""
    try:
        return Cloud(**json.loads(CLOUD_STATE.read_text()))
    except (OSError, ValueError, TypeError):
        return None


def running() -> Cloud:
    """The running cloud. Raises CloudNotRunning."""
    cloud = recorded()
    if cloud is None or not cloud.alive:
        raise CloudNotRunning("the embedded cloud is not running; start it with `switchyard cloud start`")
    return cloud


def start(say: Say, port: int = 0, speed: float = SPEED) -> Cloud:
    """Starts the cloud in the background, unless it runs. Raises CloudError."""
    with suppress(CloudNotRunning):
        return running()
    stop()
    engine.ensure(say)
    say("Starting the AWS API")
    WORKSPACE.mkdir(parents=True, exist_ok=True)
    with CLOUD_LOG.open("w") as log:
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "localcloud.server", "--port", str(port), "--speed", f"{speed:g}"],
            cwd=PROJECT,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            start_new_session=True,
        )
    try:
        cloud = replace(_started(process), speed=speed)
    except BaseException:
        # Ctrl-C does not reach a session of its own, and nobody would know of it.
        process.kill()
        raise
    CLOUD_STATE.write_text(json.dumps(asdict(cloud)) + "\n")
    if engine_uses_the_bridge():
        say("Starting the AWS plugin")
        _ask(cloud, f"plugin/{DEFAULT_ACCOUNT}")
    return cloud


def _started(process: "subprocess.Popen[str]") -> Cloud:
    """The cloud, once its process has said where it is."""
    assert process.stdout is not None  # noqa: S101 - asked for above
    line = process.stdout.readline()
    if not line:
        said = CLOUD_LOG.read_text().strip().splitlines()[-5:]
        raise CloudError(f"the embedded cloud did not start; {CLOUD_LOG} ends with:\n  " + "\n  ".join(said))
    return Cloud(
        pid=process.pid,
        started=psutil.Process(process.pid).create_time(),
        endpoint=json.loads(line)["endpoint"],
    )


def engine_uses_the_bridge() -> bool:
    """Whether the AWS plugin is the stand-in, which can be kept warm."""
    found = engine.current()
    return found is not None and found.aws_plugin == "bridge"


def stop() -> bool:
    """Ends the cloud and all that it started. Returns whether there was anything to end."""
    cloud = recorded()
    if cloud is None:
        return False
    members = _group(cloud)
    if cloud.alive:
        with suppress(ProcessLookupError):
            os.kill(cloud.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_SECONDS
    while any(map(_lives, members)) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in filter(_lives, members):
        with suppress(psutil.Error):
            process.kill()
    CLOUD_STATE.unlink(missing_ok=True)
    return bool(members)


def _lives(process: psutil.Process) -> bool:
    """Whether it runs. In a container nobody may ever take away what has ended."""
    with suppress(psutil.Error):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def _group(cloud: Cloud) -> list[psutil.Process]:
    """The cloud's processes: its group, and what its members started in groups of their own.

    A group whose leader has died is known by its number alone; members older than the leader are not ours.
    """
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            ours = os.getpgid(process.pid) == cloud.pid and process.create_time() >= cloud.started - 1
            if ours and _lives(process):
                found[process.pid] = process
                found |= {child.pid: child for child in process.children(recursive=True)}
    return list(found.values())


def environment(account: str = DEFAULT_ACCOUNT) -> dict[str, str]:
    """The variables with which pulumi, the AWS CLI, boto3 and Terraform reach an account of the cloud.

    Raises CloudNotRunning.
    """
    cloud = running()
    found = _ask(cloud, f"environment/{account}")
    path = os.environ.get("PATH", "").split(os.pathsep)
    entries = [str(BIN), str(PROJECT / ".venv" / "bin")]
    found |= {
        "PATH": os.pathsep.join([*entries, *(entry for entry in path if entry not in entries)]),
        "PULUMI_HOME": str(PULUMI_HOME),
        "PULUMI_BACKEND_URL": (
            f"s3://{state_bucket(account)}?region={found['AWS_REGION']}"
            f"&endpoint={cloud.endpoint}&disableSSL=true&s3ForcePathStyle=true"
        ),
        # Nothing on the embedded cloud is secret; a real stack uses the awskms provider.
        "PULUMI_CONFIG_PASSPHRASE": "",
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
    }
    if engine_uses_the_bridge():
        found["PULUMI_DEBUG_PROVIDERS"] = "aws:" + _ask(cloud, f"plugin/{account}")["port"]
    return found


def ensure_certificate(arn: str) -> Path:
    """Makes the cloud hold a self-signed certificate under this ARN of ACM, unless it holds one.

    Returns the file that it is in, for clients to trust.

    Raises CloudNotRunning, and CloudError for what is not the ARN of a certificate.
    """
    file = WORKSPACE / f"certificate-{arn.rpartition('/')[2]}.pem"
    file.write_text(_ask(running(), f"certificate/{arn}")["certificate"])
    return file


def exports(variables: Mapping[str, str]) -> str:
    """The variables as lines for a POSIX shell's `eval`."""
    lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items())]
    return "\n".join([*lines, "unset " + " ".join(FOREIGN)])


def applied(variables: Mapping[str, str], shell: Mapping[str, str]) -> dict[str, str]:
    """A shell's environment with the variables in it, and without what would lead elsewhere."""
    return {name: value for name, value in shell.items() if name not in FOREIGN} | dict(variables)


def _ask(cloud: Cloud, path: str) -> dict[str, str]:
    deadline = time.monotonic() + START_SECONDS
    url = f"{cloud.endpoint}/_switchyard/{path}"
    while True:
        try:
            with urllib.request.urlopen(url, timeout=START_SECONDS) as answer:  # noqa: S310 - our own loopback URL
                found: dict[str, str] = json.load(answer)
                return found
        except urllib.error.HTTPError as error:
            raise CloudError(f"the embedded cloud says: {json.load(error)['error']} ({CLOUD_LOG})") from error
        except OSError as error:
            if time.monotonic() > deadline or not cloud.alive:
                raise CloudError(f"the embedded cloud does not answer at {url}: {error}") from error
            time.sleep(0.1)
