"""The embedded cloud's process: moto's AWS API on one port, and what makes it alive.

Beside it the engine's helpers are kept warm: the AWS plugin and the language host.

Started by `switchyard cloud start` in a process group of its own. Prints one line of JSON when it is
ready. Everything that it starts ends with it.
"""

import argparse
import json
import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from dataclasses import asdict
from http import HTTPStatus
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server

from localcloud.aws import install
from localcloud.aws.acm import hold_certificate
from localcloud.aws.retries import AnsweredOnce
from localcloud.cloud import DEFAULT_ACCOUNT, applied
from localcloud.dataplane.plane import DataPlane
from localcloud.engine import AWS_PLUGIN
from localcloud.errors import CloudError
from localcloud.paths import BIN, DATAPLANE, HOST_SOCKET, IMAGES, PROJECT, state_bucket

CONTROL = "/_switchyard/"
REGION = "eu-west-1"


class Quiet(MotoRequestHandler):
    """Says nothing of calls that went well; the log is for reading."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Called for each answer."""
        if str(code).startswith("5"):
            super().log_request(code, size)


class Dispatcher(DomainDispatcherApplication):
    """moto's, which for each call would look through the folder of its modules: half of its time."""

    def __init__(self) -> None:
        super().__init__(create_backend_app)
        self._backends: dict[str | None, Any] = {}

    def get_backend_for_host(self, host: str | None) -> Any:
        """The module that answers for the host."""
        if host not in self._backends:
            found = super().get_backend_for_host(host)
            if found is None:
                return None
            self._backends[host] = found
        return self._backends[host]


class Accounts:
    """Credentials and a warm AWS plugin per account, made when they are first asked for."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._lock = threading.Lock()
        self._plugins: dict[str, tuple[subprocess.Popen[str], int]] = {}
        self._environments: dict[str, dict[str, str]] = {}

    def environment(self, account: str) -> dict[str, str]:
        """The variables with which an AWS client reaches this account here."""
        with self._lock:
            if account not in self._environments:
                self._environments[account] = self._enter(account)
            return self._environments[account]

    def _enter(self, account: str) -> dict[str, str]:
        base = {"AWS_ENDPOINT_URL": self._endpoint, "AWS_EC2_METADATA_DISABLED": "true"}
        # boto3 reads the one, everything else the other.
        base |= {"AWS_REGION": REGION, "AWS_DEFAULT_REGION": REGION}
        base |= {"AWS_MAX_ATTEMPTS": "3"}
        keys = {"aws_access_key_id": "embedded", "aws_secret_access_key": "embedded"}
        if account != DEFAULT_ACCOUNT:
            sts = boto3.client("sts", endpoint_url=self._endpoint, region_name=REGION, **keys)  # type: ignore[call-overload]
            role = f"arn:aws:iam::{account}:role/switchyard"
            given = sts.assume_role(RoleArn=role, RoleSessionName="switchyard")["Credentials"]
            keys = {
                "aws_access_key_id": given["AccessKeyId"],
                "aws_secret_access_key": given["SecretAccessKey"],
            }
        s3 = boto3.client("s3", endpoint_url=self._endpoint, region_name=REGION, **keys)  # type: ignore[call-overload]
        s3.create_bucket(
            Bucket=state_bucket(account), CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        return base | {name.upper(): value for name, value in keys.items()}

    def plugin_port(self, account: str) -> int:
        """The port of the account's AWS plugin, started if need be. Raises RuntimeError."""
        environment = applied(self.environment(account), os.environ)
        with self._lock:
            kept = self._plugins.get(account)
            if kept is None or kept[0].poll() is not None:
                process = subprocess.Popen(  # noqa: S603 - what the engine starts too
                    [AWS_PLUGIN, "--kept"],
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                )
                assert process.stdout is not None  # noqa: S101 - asked for above
                line = process.stdout.readline()
                if not line:
                    raise RuntimeError("the AWS plugin did not start; the log of the cloud says why")
                kept = self._plugins[account] = process, int(line)
            return kept[1]

    def stop(self) -> None:
        """Ends every plugin."""
        for process, _ in self._plugins.values():
            process.terminate()


def start_warm_host() -> "subprocess.Popen[bytes] | None":
    """The interpreter that language hosts are forked from; none where the engine brings its own host."""
    if not (BIN / "pulumi-language-python").exists():
        return None
    return subprocess.Popen(  # noqa: S603 - our own module
        [sys.executable, "-P", "-m", "localcloud.warm_host", str(HOST_SOCKET)],
        env={**os.environ, "PYTHONPATH": str(PROJECT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )


class Application:
    """The AWS API, and beside it a few paths for the `switchyard` command."""

    def __init__(self, aws: Any) -> None:
        self._aws = aws
        self.accounts: Accounts | None = None
        self.plane: DataPlane | None = None

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(CONTROL):
            return self._control(path.removeprefix(CONTROL), start_response)
        answer: Iterable[bytes] = self._aws(environ, start_response)
        return answer

    def _control(self, path: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
        status, answer = HTTPStatus.OK, dict[str, Any]()
        what, _, named = path.partition("/")
        try:
            if what == "environment" and self.accounts:
                answer = self.accounts.environment(named)
            elif what == "plugin" and self.accounts:
                answer = {"port": str(self.accounts.plugin_port(named))}
            elif what == "listeners" and self.plane:
                answer = {"listeners": [asdict(listener) for listener in self.plane.listeners()]}
            elif what == "certificate":
                answer = {"certificate": hold_certificate(named)}
            elif what != "health":
                status, answer = HTTPStatus.NOT_FOUND, {"error": f"no such path: {path}"}
        except (RuntimeError, ValueError, OSError, BotoCoreError, ClientError) as error:
            status, answer = HTTPStatus.INTERNAL_SERVER_ERROR, {"error": str(error)}
        body = json.dumps(answer).encode()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
        start_response(f"{status.value} {status.phrase}", headers)
        return [body]


def main() -> None:
    """Serves until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--speed", type=float, default=1.0, help="how many times AWS's pace")
    asked = parser.parse_args()
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s: %(message)s")
    # The policies that AWS itself has, such as those for AWS Backup; moto leaves them out to be quick.
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"
    install()
    application = Application(AnsweredOnce(Dispatcher()))
    server = make_server("127.0.0.1", asked.port, application, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    plane = DataPlane(DATAPLANE, images=IMAGES, endpoint=endpoint, speed=asked.speed)
    try:
        plane.start()
    except CloudError as error:
        sys.exit(str(error))
    application.plane = plane
    application.accounts = Accounts(endpoint)
    application.accounts.environment(DEFAULT_ACCOUNT)
    warm_host = start_warm_host()
    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    print(json.dumps({"endpoint": endpoint}), flush=True)  # noqa: T201 - the protocol
    ended.wait()
    plane.stop()
    application.accounts.stop()
    if warm_host:
        warm_host.terminate()
    server.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
