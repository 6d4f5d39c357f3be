"""The ResourceProvider service that the engine talks to: names translated, everything else forwarded.

One server may stay up for many runs of the engine (`PULUMI_DEBUG_PROVIDERS=aws:PORT`). Checking and
configuring HashiCorp's provider takes seconds and works once per process, so bridges are kept by their
configuration and a repeated CheckConfig or Configure is answered from memory. The engine opens one
connection per provider instance: the connection tells which configuration a call belongs to.
"""

import json
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format
from pulumi.runtime.proto import engine_pb2, engine_pb2_grpc, plugin_pb2, provider_pb2, provider_pb2_grpc

from localcloud.provider import names, properties
from localcloud.provider.binaries import Binaries
from localcloud.provider.bridge import Bridge, BridgeFailed
from localcloud.rpc import UNLIMITED

# The engine keeps up to 16 operations in flight per run, each for minutes; several runs share a server.
WORKERS = 256
SESSIONS_KEPT = 1024
# Calls that never wait for AWS to make anything: nobody has to be able to cut them off.
BRIEF = frozenset({"Check", "Diff"})

Context = Any
Message = Any


@dataclass(kw_only=True)
class Session:
    """What is known of one connection of an engine."""

    engine: str = ""
    bridge: Bridge | None = None
    calls: set[Any] = field(default_factory=set)


def fingerprint(message: Message) -> str:
    """Equal for equal configurations. Versions and URNs of the asking stack are no part of it."""
    return json.dumps(json_format.MessageToDict(message), sort_keys=True)


class LogRelay(engine_pb2_grpc.EngineServicer):
    """The engine that bridges log to: it hands each line to the engine that asked for the work."""

    def __init__(self) -> None:
        self._askers: dict[str, tuple[str, str]] = {}
        self._engines: OrderedDict[str, Any] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def answering(self, bridge_urn: str, urn: str, engine: str) -> Iterator[None]:
        """While inside, lines about `bridge_urn` go to `engine` under the name `urn`."""
        with self._lock:
            self._askers[bridge_urn] = (engine, urn)
        try:
            yield
        finally:
            with self._lock:
                self._askers.pop(bridge_urn, None)

    def Log(self, request: Message, context: Context) -> Message:
        engine, urn = self._askers.get(request.urn, ("", ""))
        # Lines that belong to no resource are the provider's own chatter about its start.
        if engine and request.severity > engine_pb2.DEBUG:
            line = engine_pb2.LogRequest()
            line.CopyFrom(request)
            line.urn = urn
            try:
                self._stub(engine).Log(line, timeout=5)
            except grpc.RpcError:
                # The engine that asked has gone; there is nobody left to tell.
                return empty_pb2.Empty()
        return empty_pb2.Empty()

    def _stub(self, address: str) -> Any:
        with self._lock:
            if address not in self._engines:
                channel = grpc.insecure_channel(address, options=UNLIMITED)
                self._engines[address] = (channel, engine_pb2_grpc.EngineStub(channel))
            self._engines.move_to_end(address)
            if len(self._engines) > 32:
                _, (old, _) = self._engines.popitem(last=False)
                old.close()
            return self._engines[address][1]


class Pool:
    """Bridges by configuration, one process each, and one spare that is not configured yet."""

    def __init__(self, start: Callable[[], Bridge]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._by_configuration: dict[str, tuple[Bridge, Message]] = {}
        self._being_configured: dict[str, threading.Lock] = {}
        self._spare: Bridge | None = None
        self._checked: dict[str, bytes] = {}

    def checked(self, request: Message) -> Message:
        """The answer to CheckConfig, from memory when the same was asked before."""
        key = fingerprint(request.news)
        if key not in self._checked:
            answer = self.spare().stub.CheckConfig(request)
            if answer.failures:
                return answer
            self._checked[key] = answer.SerializeToString()
        return provider_pb2.CheckResponse.FromString(self._checked[key])

    def configured(self, request: Message) -> tuple[Bridge, Message]:
        """A bridge with this configuration and the answer to Configure."""
        key = fingerprint(request.args)
        with self._lock:
            lock = self._being_configured.setdefault(key, threading.Lock())
        with lock:
            kept = self._by_configuration.get(key)
            if kept is None or not kept[0].alive:
                bridge = self._take_spare()
                try:
                    kept = bridge, bridge.stub.Configure(request)
                except grpc.RpcError:
                    bridge.stop()
                    raise
                self._by_configuration[key] = kept
            return kept

    def spare(self) -> Bridge:
        """A bridge that may not be configured yet: enough for what needs no AWS."""
        with self._lock:
            if self._spare is None or not self._spare.alive:
                self._spare = self._start()
            return self._spare

    def prepare(self) -> None:
        """Starts the spare ahead of need. What goes wrong is told to whoever needs it."""
        with suppress(BridgeFailed):
            self.spare()

    def _take_spare(self) -> Bridge:
        bridge = self.spare()
        with self._lock:
            if self._spare is bridge:
                self._spare = None
                return bridge
        return self._start()

    def stop(self) -> None:
        """Ends every bridge."""
        with self._lock:
            spare = [self._spare] if self._spare else []
            for bridge in [*(bridge for bridge, _ in self._by_configuration.values()), *spare]:
                bridge.stop()


class AwsProvider(provider_pb2_grpc.ResourceProviderServicer):
    """pulumi-aws, served by bridges."""

    def __init__(self, pool: Pool, relay: LogRelay, engine_address: str = "") -> None:
        self._pool = pool
        self._relay = relay
        self._engine_address = engine_address
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()

    def _session(self, context: Context) -> Session:
        with self._lock:
            session = self._sessions.setdefault(context.peer(), Session(engine=self._engine_address))
            self._sessions.move_to_end(context.peer())
            while len(self._sessions) > SESSIONS_KEPT:
                self._sessions.popitem(last=False)
            return session

    # --- what the engine asks of the plugin as such

    def Handshake(self, request: Message, context: Context) -> Message:
        self._session(context).engine = request.engine_address
        return provider_pb2.ProviderHandshakeResponse(
            accept_secrets=True, accept_resources=False, accept_outputs=False
        )

    def Attach(self, request: Message, context: Context) -> Message:
        self._session(context).engine = request.address
        return empty_pb2.Empty()

    def GetPluginInfo(self, request: Message, context: Context) -> Message:
        return plugin_pb2.PluginInfo(version=names.VERSION)

    def GetSchema(self, request: Message, context: Context) -> Message:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "the AWS stand-in serves no schema")

    def GetMapping(self, request: Message, context: Context) -> Message:
        return provider_pb2.GetMappingResponse()

    def GetMappings(self, request: Message, context: Context) -> Message:
        return provider_pb2.GetMappingsResponse()

    def Cancel(self, request: Message, context: Context) -> Message:
        """Cuts off what this engine has in flight; a bridge's own Cancel would end it for everyone."""
        for call in list(self._session(context).calls):
            call.cancel()
        return empty_pb2.Empty()

    # --- configuration

    def CheckConfig(self, request: Message, context: Context) -> Message:
        with _reported(context):
            answer = self._pool.checked(properties.configuration_to_bridge(request, "olds", "news"))
            properties.configuration_from_bridge(answer)
            return answer

    def DiffConfig(self, request: Message, context: Context) -> Message:
        with _reported(context):
            asked = properties.configuration_to_bridge(request, "olds", "news", "old_inputs")
            return self._pool.spare().stub.DiffConfig(asked)

    def Configure(self, request: Message, context: Context) -> Message:
        with _reported(context):
            asked = properties.configuration_to_bridge(request, "args")
            self._session(context).bridge, answer = self._pool.configured(asked)
            return answer

    # --- resources

    def Check(self, request: Message, context: Context) -> Message:
        inputs = ("olds", "news", "old_outputs")
        answer = self._forward("Check", request, context, inputs=inputs, outputs=("inputs",))
        for failure in answer.failures:
            failure.property = names.own_path(names.urn_type(request.urn), failure.property)
        return answer

    def Diff(self, request: Message, context: Context) -> Message:
        answer = self._forward("Diff", request, context, inputs=("olds", "news", "old_inputs"))
        token = names.urn_type(request.urn)
        if not names.renames(token):
            return answer
        for paths in (answer.replaces, answer.stables, answer.diffs):
            paths[:] = [names.own_path(token, path) for path in paths]
        detailed = {names.own_path(token, path): diff for path, diff in answer.detailedDiff.items()}
        answer.ClearField("detailedDiff")
        for path, diff in detailed.items():
            answer.detailedDiff[path].CopyFrom(diff)
        return answer

    def Create(self, request: Message, context: Context) -> Message:
        return self._forward("Create", request, context, inputs=("properties",), outputs=("properties",))

    def Read(self, request: Message, context: Context) -> Message:
        both = ("properties", "inputs")
        return self._forward("Read", request, context, inputs=both, outputs=both)

    def Update(self, request: Message, context: Context) -> Message:
        inputs = ("olds", "news", "old_inputs")
        return self._forward("Update", request, context, inputs=inputs, outputs=("properties",))

    def Delete(self, request: Message, context: Context) -> Message:
        return self._forward("Delete", request, context, inputs=("properties", "old_inputs"))

    def Invoke(self, request: Message, context: Context) -> Message:
        asked = provider_pb2.InvokeRequest()
        asked.CopyFrom(request)
        with _reported(context):
            asked.tok = names.bridge_function(request.tok)
            return self._call("Invoke", asked, self._session(context))

    # --- forwarding

    def _forward(
        self,
        method: str,
        request: Message,
        context: Context,
        *,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...] = (),
    ) -> Message:
        session = self._session(context)
        with _reported(context):
            token = names.urn_type(request.urn)
            asked = type(request)()
            asked.CopyFrom(request)
            asked.urn = names.bridge_urn(request.urn)
            asked.type = names.bridge_type(token)
            if hasattr(asked, "ignoreChanges"):
                asked.ignoreChanges[:] = [names.bridge_path(token, path) for path in request.ignoreChanges]
            for name in inputs:
                properties.to_bridge(asked, name, token)
            with self._relay.answering(asked.urn, request.urn, session.engine):
                answer = self._call(method, asked, session)
            for name in outputs:
                properties.from_bridge(answer, name, token)
            return answer

    def _call(self, method: str, request: Message, session: Session) -> Message:
        bridge = session.bridge or self._pool.spare()
        ask = getattr(bridge.stub, method)
        if method in BRIEF or getattr(request, "preview", False):
            return ask(request)
        # Takes a thread for each call, which a preview of a thousand resources would feel.
        call = ask.future(request)
        session.calls.add(call)
        try:
            return call.result()
        finally:
            session.calls.discard(call)


@contextmanager
def _reported(context: Context) -> Iterator[None]:
    """Passes a bridge's error on as it is, details included, and says ours in one sentence."""
    try:
        yield
    except grpc.RpcError as error:
        context.set_trailing_metadata(
            [
                (key, value)
                for key, value in error.trailing_metadata() or ()
                if key == "grpc-status-details-bin"
            ]
        )
        context.abort(error.code(), error.details())
    except grpc.FutureCancelledError:
        context.abort(grpc.StatusCode.CANCELLED, "the engine cancelled the operation")
    except (names.UnknownType, BridgeFailed) as error:
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))


@dataclass(kw_only=True)
class Running:
    """A provider that serves on `port` of the loopback interface."""

    port: int
    _servers: list[Any]
    _pool: Pool

    def stop(self) -> None:
        """Ends the server and every bridge behind it."""
        for server in self._servers:
            server.stop(0.5)
        self._pool.stop()


def serve(binaries: Binaries, engine_address: str = "") -> Running:
    """Starts a provider. `engine_address` is where a plugin that the engine started itself logs to."""
    relay = LogRelay()
    logs = grpc.server(futures.ThreadPoolExecutor(16), options=UNLIMITED)
    engine_pb2_grpc.add_EngineServicer_to_server(relay, logs)
    log_port = logs.add_insecure_port("127.0.0.1:0")
    logs.start()
    pool = Pool(lambda: Bridge.start(binaries, f"127.0.0.1:{log_port}"))
    server = grpc.server(futures.ThreadPoolExecutor(WORKERS), options=UNLIMITED)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(AwsProvider(pool, relay, engine_address), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    # Loading the provider takes seconds: have it done by the time that it is asked for.
    threading.Thread(target=pool.prepare, daemon=True).start()
    return Running(port=port, _servers=[server, logs], _pool=pool)
