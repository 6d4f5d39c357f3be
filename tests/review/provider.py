"""A provider of the test's own, so that the real engine previews and applies in seconds.

It answers to pulumi-aws's names and keeps its resources in memory, where a test may change them by hand.
"""

# ruff: noqa: ARG002, N802 - the names and arguments of RPCs are given
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import grpc
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

Message = Any
Context = Any
REPLACING = {"dbName", "bucket"}


def _struct(values: dict[str, Any]) -> struct_pb2.Struct:
    found = struct_pb2.Struct()
    found.update(values)
    return found


@dataclass(kw_only=True)
class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """What it has, by ID, and what it refuses: a method's name and the words for it.

    slow_seconds: how long a creation takes, unless it is cancelled. stubborn: it is not cancelled.
    creating: set once the first creation has begun.
    """

    things: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    slow_seconds: float = 0
    stubborn: bool = False
    creating: Event = field(default_factory=Event)
    cancelled: Event = field(default_factory=Event)
    made: int = 0
    port: int = 0
    server: Any = None

    def _may(self, method: str, context: Context) -> None:
        if method in self.refused:
            context.abort(grpc.StatusCode.UNKNOWN, self.refused[method])

    def Handshake(self, request: Message, context: Context) -> Message:
        return provider_pb2.ProviderHandshakeResponse()

    def Attach(self, request: Message, context: Context) -> Message:
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Message, context: Context) -> Message:
        return plugin_pb2.PluginInfo(version="7.51.1")

    def CheckConfig(self, request: Message, context: Context) -> Message:
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Message, context: Context) -> Message:
        return provider_pb2.DiffResponse()

    def Configure(self, request: Message, context: Context) -> Message:
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    def Check(self, request: Message, context: Context) -> Message:
        self._may("Check", context)
        return provider_pb2.CheckResponse(inputs=request.news)

    def Diff(self, request: Message, context: Context) -> Message:
        self._may("Diff", context)
        old, new = MessageToDict(request.old_inputs), MessageToDict(request.news)
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        changed = [key for key in changed if key not in set(request.ignoreChanges)]
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some, diffs=changed, replaces=[key for key in changed if key in REPLACING]
        )

    def Create(self, request: Message, context: Context) -> Message:
        if request.preview:
            return provider_pb2.CreateResponse(properties=request.properties)
        self._may("Create", context)
        self.creating.set()
        if self.slow_seconds and self.cancelled.wait(self.slow_seconds):
            context.abort(grpc.StatusCode.CANCELLED, "cancelled")
        self.made += 1
        id_ = f"{request.urn.rsplit('::', 1)[-1]}-{self.made}"
        self.things[id_] = MessageToDict(request.properties)
        return provider_pb2.CreateResponse(id=id_, properties=request.properties)

    def Read(self, request: Message, context: Context) -> Message:
        self._may("Read", context)
        found = self.things.get(request.id)
        if found is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(id=request.id, properties=_struct(found), inputs=_struct(found))

    def Update(self, request: Message, context: Context) -> Message:
        if not request.preview:
            self._may("Update", context)
            self.things[request.id] = MessageToDict(request.news)
        return provider_pb2.UpdateResponse(properties=request.news)

    def Delete(self, request: Message, context: Context) -> Message:
        self._may("Delete", context)
        self.things.pop(request.id, None)
        return empty_pb2.Empty()

    def Cancel(self, request: Message, context: Context) -> Message:
        if not self.stubborn:
            self.cancelled.set()
        return empty_pb2.Empty()


@contextmanager
def serving(provider: Provider) -> Iterator[Provider]:
    """Serves on a free port of this machine until the block ends."""
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    provider.port = server.add_insecure_port("127.0.0.1:0")
    provider.server = server
    server.start()
    try:
        yield provider
    finally:
        server.stop(0).wait()
