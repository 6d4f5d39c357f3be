"""The AWS plugin's stand-in as a process, spoken to as engines do."""

import socketserver
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
import psutil
from google.protobuf import json_format
from pulumi.runtime.proto import provider_pb2, provider_pb2_grpc

from localcloud import cloud
from localcloud.engine import AWS_PLUGIN
from localcloud.rpc import UNLIMITED
from tests.unit.fake_engine import FakeEngine

WAIT_SECONDS = 60

# Each channel is a connection of its own, as each engine's is; gRPC would share one within a process.
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1), *UNLIMITED]


@dataclass
class Plugin:
    """A running stand-in. `stubs` are told apart by their connections."""

    process: "subprocess.Popen[str]"
    port: int
    closing: ExitStack = field(default_factory=ExitStack)
    _channels: dict[Any, grpc.Channel] = field(default_factory=dict)

    def connect(self) -> Any:
        """An engine's connection to it."""
        channel = grpc.insecure_channel(f"127.0.0.1:{self.port}", options=OWN_CONNECTION)
        self.closing.callback(channel.close)
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        self._channels[stub] = channel
        return stub

    def close(self, stub: Any) -> None:
        """Ends an engine's connection."""
        self._channels.pop(stub).close()

    def configured(self, **configuration: Any) -> Any:
        """A connection with a configuration that asks nothing of AWS."""
        stub = self.connect()
        stub.Configure(message("ConfigureRequest", args=offline(**configuration)), timeout=WAIT_SECONDS)
        return stub

    def engine(self) -> FakeEngine:
        """An engine that takes log lines."""
        engine = FakeEngine()
        self.closing.callback(engine.stop)
        return engine

    def providers(self) -> list[psutil.Process]:
        """The processes of HashiCorp's provider."""
        below = psutil.Process(self.process.pid).children(recursive=True)
        return [one for one in below if one.name().startswith("terraform-provi")]


@contextmanager
def plugin(environment: Mapping[str, str], *arguments: str) -> Iterator[Plugin]:
    """A stand-in with these variables of AWS; kept unless an engine's address is given."""
    process = subprocess.Popen(
        [AWS_PLUGIN, *(arguments or ["--kept"])],
        env=cloud.applied(environment, {"PATH": "/usr/bin:/bin"}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        line = process.stdout.readline()
        assert line.strip().isdigit(), f"it said {line!r}, not its port"
        running = Plugin(process, int(line))
        try:
            with running.closing:
                yield running
        finally:
            process.terminate()


def offline(**configuration: Any) -> dict[str, Any]:
    """A provider's configuration that asks nothing of AWS."""
    skipped = ("skipCredentialsValidation", "skipRequestingAccountId", "skipMetadataApiCheck")
    return {"region": "eu-west-1", **dict.fromkeys(skipped, "true"), **configuration}


def message(kind: str, **values: Any) -> Any:
    """A message of the provider protocol; dictionaries become property maps."""
    made = getattr(provider_pb2, kind)()
    for name, value in values.items():
        if isinstance(value, dict):
            getattr(made, name).update(value)
        else:
            setattr(made, name, value)
    return made


def plain(struct: Any) -> Any:
    """A property map as plain values."""
    return json_format.MessageToDict(struct)


class HangingAws:
    """An AWS that takes requests and answers none. `asked` counts them."""

    def __init__(self) -> None:
        self.asked = threading.Semaphore(0)
        self._closed = threading.Event()
        outer = self

        class Hang(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.recv(1)
                outer.asked.release()
                outer._closed.wait(WAIT_SECONDS)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Hang)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.endpoint = f"http://127.0.0.1:{self._server.server_address[1]}"

    def wait_for(self, requests: int) -> None:
        """Waits until so many have come."""
        for _ in range(requests):
            assert self.asked.acquire(timeout=WAIT_SECONDS)

    def close(self) -> None:
        """Ends it."""
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()
