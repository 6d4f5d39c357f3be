"""Stands between the engine and a policy pack, as the official language hosts do.

The engine configures a pack by a call (ConfigureStack) after it has started it; packs of pulumi-policy read
the stack's configuration from environment variables when they start. So the pack is started by that call,
and everything else goes to it and back as it is. github.com/pulumi/pulumi sdk/policy_proxy.go, v3.230.0.
"""

import json
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent import futures
from typing import Any

import grpc
from pulumi.runtime.proto import analyzer_pb2

from localcloud.plugin_process import NoProgram, Piece, PluginProcess
from localcloud.rpc import UNLIMITED

Variables = Mapping[str, str]
START_SECONDS = 60.0
ANSWER_SECONDS = 1.0
SERVICE = "/pulumirpc.Analyzer/"


def variables(request: Any) -> dict[str, str]:
    """What pulumi-policy reads of the stack, out of an AnalyzerStackConfigureRequest."""
    return {
        "PULUMI_CONFIG": json.dumps(dict(request.config)),
        "PULUMI_ORGANIZATION": request.organization,
        "PULUMI_PROJECT": request.project,
        "PULUMI_STACK": request.stack,
        "PULUMI_DRY_RUN": "true" if request.dry_run else "false",
    }


class PolicyProxy:
    """A pack's analyzer, started when it is configured.

    `start` starts the pack's program with these variables beside the engine's.
    """

    def __init__(self, start: Callable[[Variables], PluginProcess]) -> None:
        self._start = start
        self._lock = threading.Lock()
        self._process: PluginProcess | None = None
        self._ended = False
        self._channel: futures.Future[grpc.Channel] = futures.Future()
        self._pieces: queue.SimpleQueue[Piece | None] = queue.SimpleQueue()
        self._server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[self], options=UNLIMITED)
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def service(self, handler_call_details: Any) -> Any:
        """How a call of the engine is answered, its messages as bytes."""
        method = handler_call_details.method
        if not method.startswith(SERVICE):
            return None
        if method == f"{SERVICE}Handshake":
            answer = analyzer_pb2.AnalyzerHandshakeResponse().SerializeToString()
            return grpc.unary_unary_rpc_method_handler(lambda _request, _context: answer)
        if method == f"{SERVICE}ConfigureStack":
            return grpc.unary_unary_rpc_method_handler(self._configure)
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._forward(method, request, context)
        )

    def _configure(self, request: bytes, context: Any) -> bytes:
        asked = analyzer_pb2.AnalyzerStackConfigureRequest.FromString(request)
        self._ensure_started(variables(asked), context)
        return self._forward(f"{SERVICE}ConfigureStack", request, context)

    def _forward(self, method: str, request: bytes, context: Any) -> bytes:
        # Some commands ask for the pack's policies without a stack.
        self._ensure_started({}, context)
        try:
            channel = self._channel.result(START_SECONDS)
            answer: bytes = channel.unary_unary(method)(request)
        except (NoProgram, TimeoutError) as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f"the policy pack did not start: {error}")
        except grpc.RpcError as error:
            context.abort(error.code(), error.details())
        return answer

    def _ensure_started(self, found: Variables, context: Any) -> None:
        with self._lock:
            if self._process is not None or self._ended:
                return
            try:
                self._process = self._start(found)
            except (NoProgram, OSError) as error:
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
            else:
                threading.Thread(target=self._relay, args=(self._process,), daemon=True).start()

    def _relay(self, process: PluginProcess) -> None:
        """Takes the pack's port out of what it writes; the engine has the proxy's."""
        line = b""
        for piece in process.pieces():
            if piece.stream == "stderr" or self._channel.done():
                self._pieces.put(piece)
                continue
            line += piece.content
            first, newline, rest = line.partition(b"\n")
            if newline and first.strip().isdigit():
                self._channel.set_result(grpc.insecure_channel(f"127.0.0.1:{int(first)}", options=UNLIMITED))
                line = rest
            elif newline:
                # What it says before its port is for the user.
                self._pieces.put(Piece(stream="stdout", content=first + newline))
                line = rest
        if not self._channel.done():
            self._channel.set_exception(NoProgram("it ended before it said its port"))
        self._pieces.put(None)

    def pieces(self) -> Iterator[Piece]:
        """What the pack writes, but its port, until it has ended."""
        while (piece := self._pieces.get()) is not None:
            yield piece

    def wait(self) -> int:
        """The exit status of the pack; 0 if it was never started."""
        return self._process.wait() if self._process is not None else 0

    def end(self) -> None:
        """Ends the pack and the proxy."""
        with self._lock:
            first, self._ended = not self._ended, True
        if first:
            # The call that ended the pack is still to be told why.
            self._server.stop(ANSWER_SECONDS)
            if self._process is None:
                self._pieces.put(None)
            else:
                self._process.end()
