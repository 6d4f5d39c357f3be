"""One running bridge: Pulumi's Terraform bridge with HashiCorp's AWS provider behind it."""

import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

import grpc
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from localcloud import guard
from localcloud.provider.binaries import Binaries
from localcloud.rpc import UNLIMITED

START_TIMEOUT_SECONDS = 120
# Both programs drop much and keep hundreds of megabytes: collecting at Go's usual 100 % takes a quarter of
# their time. https://go.dev/doc/gc-guide#GOGC
GO_COLLECTION = {"GOGC": "400"}


class BridgeFailed(RuntimeError):
    """The bridge or the provider behind it did not start."""


@dataclass(kw_only=True)
class Bridge:
    """A bridge process that has loaded the AWS provider. `stub` speaks Pulumi's ResourceProvider."""

    process: "subprocess.Popen[bytes]"
    channel: Any
    stub: Any

    @classmethod
    def start(cls, binaries: Binaries, engine_address: str) -> "Bridge":
        """Starts a bridge and loads the provider into it (about 3 s). Raises BridgeFailed."""
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-S", guard.__file__, str(binaries.bridge), engine_address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**GO_COLLECTION, **os.environ},
        )
        assert process.stdout is not None  # noqa: S101 - asked for above
        line = process.stdout.readline().strip()
        if not line.isdigit():
            _end(process)
            raise BridgeFailed(f"{binaries.bridge} printed no port but {line!r}; run it by hand to see why")
        # Whatever else it prints must not fill the pipe.
        threading.Thread(target=process.stdout.read, daemon=True).start()
        channel = grpc.insecure_channel(f"127.0.0.1:{int(line)}", options=UNLIMITED)
        bridge = cls(process=process, channel=channel, stub=provider_pb2_grpc.ResourceProviderStub(channel))
        try:
            bridge.stub.Parameterize(
                provider_pb2.ParameterizeRequest(
                    args=provider_pb2.ParameterizeRequest.ParametersArgs(args=[str(binaries.provider)])
                ),
                timeout=START_TIMEOUT_SECONDS,
            )
        except grpc.RpcError as error:
            bridge.stop()
            raise BridgeFailed(f"{binaries.provider} could not be loaded: {error.details()}") from error
        return bridge

    @property
    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def stop(self) -> None:
        """Ends the bridge and the provider behind it."""
        self.channel.close()
        _end(self.process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Has the guard end what it started; killing the guard would leave all of that behind."""
    if process.stdin:
        process.stdin.close()
    try:
        process.wait(guard.GRACE_SECONDS + 2)
    except subprocess.TimeoutExpired:
        process.kill()
