"""An engine that language hosts and plugins log to."""

from concurrent import futures
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2_grpc

WAIT_SECONDS = 30


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
