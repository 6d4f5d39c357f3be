"""Bridges of the AWS stand-in that run in this process and write down what they are asked."""

import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partialmethod
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import engine_pb2_grpc, provider_pb2, provider_pb2_grpc

from localcloud.provider.binaries import Binaries
from localcloud.provider.bridge import Bridge
from localcloud.provider.server import Running, serve

WAIT_SECONDS = 30

# Each channel is a connection of its own, as each engine's is; gRPC would share one within a process.
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]

ANSWERS: dict[str, Callable[[], Any]] = {
    "CheckConfig": provider_pb2.CheckResponse,
    "DiffConfig": provider_pb2.DiffResponse,
    "Configure": provider_pb2.ConfigureResponse,
    "Check": provider_pb2.CheckResponse,
    "Diff": provider_pb2.DiffResponse,
    "Create": provider_pb2.CreateResponse,
    "Read": provider_pb2.ReadResponse,
    "Update": provider_pb2.UpdateResponse,
    "Delete": empty_pb2.Empty,
    "Invoke": provider_pb2.InvokeResponse,
}


class _Recorder(provider_pb2_grpc.ResourceProviderServicer):
    """Answers what the fleet says, or an empty message; a method without an answer is UNIMPLEMENTED."""

    def __init__(self, fleet: "Fleet", log_address: str) -> None:
        self.fleet = fleet
        self.log_address = log_address
        self.requests: list[tuple[str, Any]] = []

    def take(self, method: str, request: Any, context: Any) -> Any:
        self.requests.append((method, request))
        answer = self.fleet.answers.get(method)
        return answer(request, context) if answer else ANSWERS[method]()

    def log(self, line: Any) -> None:
        """Logs a line as a bridge does."""
        with grpc.insecure_channel(self.log_address) as channel:
            engine_pb2_grpc.EngineStub(channel).Log(line, timeout=WAIT_SECONDS)


for _name in ANSWERS:
    setattr(_Recorder, _name, partialmethod(_Recorder.take, _name))


@dataclass
class _Process:
    """What a bridge needs of its process."""

    server: Any
    dead: bool = False
    stdin: None = None

    def poll(self) -> int | None:
        return 1 if self.dead else None

    def wait(self, _: float) -> None:
        """Ends it."""
        self.dead = True
        self.server.stop(None)


@dataclass
class Fleet:
    """The bridges that were started, and how they answer: by method, a function of request and context."""

    answers: dict[str, Callable[[Any, Any], Any]] = field(default_factory=dict)
    recorders: list[_Recorder] = field(default_factory=list)
    bridges: list[Bridge] = field(default_factory=list)

    def start(self, _: Any, log_address: str) -> Bridge:
        """Stands in for Bridge.start."""
        recorder = _Recorder(self, log_address)
        server = grpc.server(futures.ThreadPoolExecutor(16))
        provider_pb2_grpc.add_ResourceProviderServicer_to_server(recorder, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=OWN_CONNECTION)
        process: Any = _Process(server)
        stub = provider_pb2_grpc.ResourceProviderStub(channel)
        self.recorders.append(recorder)
        self.bridges.append(Bridge(process=process, channel=channel, stub=stub))
        return self.bridges[-1]

    def kill(self, number: int) -> None:
        """Ends a bridge as a crash would."""
        self.bridges[number].process.wait(0)

    def asked(self, method: str) -> list[Any]:
        """The requests of a method, of all bridges in the order of their start."""
        return [request for r in self.recorders for name, request in r.requests if name == method]

    def one(self, method: str) -> Any:
        """The only request of a method."""
        found = self.asked(method)
        assert len(found) == 1, f"expected one {method}, got {len(found)}"
        return found[0]


class FakeEngine(engine_pb2_grpc.EngineServicer):
    """An engine that keeps what is logged to it."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []
        self.severities: list[int] = []
        self._server = grpc.server(futures.ThreadPoolExecutor(4))
        engine_pb2_grpc.add_EngineServicer_to_server(self, self._server)
        self.address = f"127.0.0.1:{self._server.add_insecure_port('127.0.0.1:0')}"
        self._server.start()

    def Log(self, request: Any, context: Any) -> Any:  # noqa: N802, ARG002 - the name of the RPC
        self.lines.append((request.urn, request.message))
        self.severities.append(request.severity)
        return empty_pb2.Empty()

    def stop(self) -> None:
        """Ends it."""
        self._server.stop(None)


@dataclass
class Gate:
    """Holds calls inside a bridge until it is opened."""

    inside: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    opened: threading.Event = field(default_factory=threading.Event)

    def hold(self) -> None:
        """Waits inside a call."""
        self.inside.release()
        assert self.opened.wait(WAIT_SECONDS)

    def wait_for(self, calls: int) -> None:
        """Waits until so many calls are inside."""
        for _ in range(calls):
            assert self.inside.acquire(timeout=WAIT_SECONDS)


@dataclass
class Served:
    """A running stand-in."""

    fleet: Fleet
    provider: Running
    closing: ExitStack

    @classmethod
    @contextmanager
    def over(cls, fleet: Fleet) -> Iterator["Served"]:
        """Serves, and closes all that was opened."""
        with ExitStack() as closing, pytest.MonkeyPatch.context() as patch:
            patch.setattr(Bridge, "start", fleet.start)
            provider = serve(Binaries(bridge=Path("/bridge"), provider=Path("/terraform-provider-aws")))
            closing.callback(provider.stop)
            yield cls(fleet, provider, closing)

    def connect(self) -> Any:
        """An engine's connection to it."""
        channel = grpc.insecure_channel(f"127.0.0.1:{self.provider.port}", options=OWN_CONNECTION)
        self.closing.callback(channel.close)
        return provider_pb2_grpc.ResourceProviderStub(channel)

    def engine(self) -> FakeEngine:
        """An engine that takes log lines."""
        engine = FakeEngine()
        self.closing.callback(engine.stop)
        return engine


def message(kind: str, **values: Any) -> Any:
    """A message of the provider protocol; dictionaries become property maps."""
    made = getattr(provider_pb2, kind)()
    for name, value in values.items():
        if isinstance(value, dict):
            getattr(made, name).update(value)
        elif isinstance(value, list):
            getattr(made, name).extend(value)
        else:
            setattr(made, name, value)
    return made


def plain(struct: Any) -> Any:
    """A property map as plain values."""
    return json_format.MessageToDict(struct)
