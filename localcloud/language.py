"""A Python language host for Pulumi's engine, for where the official one is not to be had.

The engine starts it as `pulumi-language-python … ENGINE_ADDRESS` and reads the port from its first line.
The program runs in this very process, by the SDK's own server for inline programs: one interpreter
start less than the official host, and the same runtime.
"""

import gc
import os
import platform  # noqa: F401 - loaded before the program's folder, which may hold a module of that name
import re
import runpy
import signal
import sys
import threading
from collections.abc import Callable
from concurrent import futures
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import grpc
import psutil
from pulumi import log
from pulumi.automation._server import LanguageServer
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from localcloud.plugin_process import NoProgram, PluginProcess, interpreter
from localcloud.policy_proxy import PolicyProxy, Variables
from localcloud.rpc import UNLIMITED

Message = Any
Context = Any


ENGINE_LOOK_SECONDS = 2.0
# `--debug`, or -d, also among other letters.
ASKS_FOR_DEBUG_LINES = re.compile(r"--debug|-[A-Za-z]*d")
# The engine's word for it.
POLICY_PACK = "analyzer"


class PythonHost(LanguageServer):
    """LanguageRuntime for programs that live in files."""

    def __init__(self, engine_address: str) -> None:
        super().__init__(lambda: None)
        self._engine_address = engine_address
        self._plugins: list[PluginProcess | PolicyProxy] = []

    def Handshake(self, request: Message, context: Context) -> Message:
        self._engine_address = request.engine_address or self._engine_address
        return language_pb2.LanguageHandshakeResponse()

    def GetPluginInfo(self, request: Message, context: Context) -> Message:
        return plugin_pb2.PluginInfo(version=metadata.version("pulumi"))

    def InstallDependencies(self, request: Message, context: Context) -> Message:
        """The virtual environment is made by `make up`; there is nothing to add to it here."""
        yield language_pb2.InstallDependenciesResponse()

    def GetProgramDependencies(self, request: Message, context: Context) -> Message:
        found = sorted((d.metadata["Name"], d.version) for d in metadata.distributions())
        return language_pb2.GetProgramDependenciesResponse(
            dependencies=[language_pb2.DependencyInfo(name=name, version=version) for name, version in found]
        )

    def Run(self, request: Message, context: Context) -> Message:
        directory = Path(request.info.program_directory or request.program or request.pwd)
        entry = directory / (request.info.entry_point or ".") / "__main__.py"
        if not request.args:
            request.args.append(self._engine_address)
        os.chdir(request.pwd or directory)
        if str(directory) not in sys.path:
            sys.path.insert(0, str(directory))

        def program() -> None:
            runpy.run_path(str(entry), run_name="__main__")

        self.program = program
        answer = super().Run(request, context)  # type: ignore[no-untyped-call]
        # What went wrong has been told by then: "bail" keeps the engine from telling it again.
        return language_pb2.RunResponse(bail=True) if answer.error else answer

    def RunPlugin(self, request: Message, context: Context) -> Message:
        """Runs a policy pack or a provider in a process of its own; it may need another interpreter."""
        try:
            plugin = self._plugin(request)
        except (NoProgram, OSError) as error:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, str(error))
        self._plugins.append(plugin)
        # The engine is done with a plugin when it drops the call.
        if not context.add_callback(plugin.end):
            plugin.end()
        if isinstance(plugin, PolicyProxy):
            yield language_pb2.RunPluginResponse(stdout=f"{plugin.port}\n".encode())
        for piece in plugin.pieces():
            if piece.stream == "stdout":
                yield language_pb2.RunPluginResponse(stdout=piece.content)
            else:
                yield language_pb2.RunPluginResponse(stderr=piece.content)
        yield language_pb2.RunPluginResponse(exitcode=plugin.wait())

    def _plugin(self, request: Message) -> PluginProcess | PolicyProxy:
        program = Path(request.info.program_directory)
        root = Path(request.info.root_directory or program)
        python = interpreter(root, dict(request.info.options).get("virtualenv"))
        environment = dict(variable.split("=", 1) for variable in request.env)

        def start(variables: Variables) -> PluginProcess:
            return PluginProcess(
                program,
                list(request.args),
                python=python,
                directory=request.pwd,
                environment={**(environment or os.environ), **variables},
            )

        return PolicyProxy(start) if request.kind == POLICY_PACK else start({})

    def end_plugins(self) -> None:
        """Ends what RunPlugin has started and the engine has not ended."""
        for plugin in self._plugins:
            plugin.end()


def main() -> None:
    """Serves until the engine ends the process, or is gone itself: one that was killed sends no signal."""
    engine = os.getppid()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    serve(sys.argv[-1], stop, lambda: os.getppid() == engine, engine)


def shows_debug_lines(engine: int) -> bool:
    """Whether an engine's process was told to; one that can't be asked may have been."""
    try:
        return any(map(ASKS_FOR_DEBUG_LINES.match, psutil.Process(engine).cmdline()))
    except psutil.Error:
        return True


def serve(engine_address: str, stop: threading.Event, wanted: Callable[[], bool], engine: int) -> NoReturn:
    """Says its port on standard output and serves until `stop` is set or it is no longer wanted.

    engine: the process id of the engine.
    """
    if not shows_debug_lines(engine):
        # The SDK calls the engine with several for each resource, and waits each time; it drops them.
        log.debug = lambda *_, **__: None
    # A short life that makes much and drops little: collecting costs a quarter of a preview's time.
    gc.disable()
    server = grpc.server(futures.ThreadPoolExecutor(8), options=UNLIMITED)
    host = PythonHost(engine_address)
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(host, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    print(port, flush=True)  # noqa: T201 - the protocol
    while wanted() and not stop.wait(ENGINE_LOOK_SECONDS):
        pass
    server.stop(None)
    host.end_plugins()
    # Threads of a program that hangs must not keep the engine waiting.
    os._exit(0)


if __name__ == "__main__":
    main()
