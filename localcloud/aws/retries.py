"""A call that a client makes again, because the answer to the first attempt was lost, is not done twice.

Under load a connection is lost now and then. The provider then finds what it deletes gone, and fails.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any

# A client tries again within seconds; a busy engine makes some hundred calls in that time.
ANSWERS_KEPT = 1024

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Wsgi = Callable[[Environ, StartResponse], Iterable[bytes]]


class AnsweredOnce:
    """WSGI application that gives a repeated call the answer of the attempt that succeeded before.

    AWS's SDKs name a call in `amz-sdk-invocation-id` and count its attempts in `amz-sdk-request`. Failures
    are done again: a client repeats those because it hopes for another answer.
    """

    def __init__(self, application: Wsgi) -> None:
        self._application = application
        self._lock = threading.Lock()
        self._answers: OrderedDict[str, tuple[str, list[tuple[str, str]], bytes]] = OrderedDict()

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        invocation = environ.get("HTTP_AMZ_SDK_INVOCATION_ID")
        if not invocation or environ["REQUEST_METHOD"] in ("GET", "HEAD"):
            return self._application(environ, start_response)
        with self._lock:
            answer = self._answers.get(invocation)
        if answer is None:
            answer = self._ask(environ)
            if answer[0].startswith("2"):
                self._keep(invocation, answer)
        status, headers, body = answer
        start_response(status, headers)
        return [body]

    def _ask(self, environ: Environ) -> tuple[str, list[tuple[str, str]], bytes]:
        said: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            said[:] = [(status, headers)]

        parts = self._application(environ, start_response)
        try:
            body = b"".join(parts)
        finally:
            getattr(parts, "close", lambda: None)()
        status, headers = said[0]
        return status, headers, body

    def _keep(self, invocation: str, answer: tuple[str, list[tuple[str, str]], bytes]) -> None:
        with self._lock:
            self._answers[invocation] = answer
            while len(self._answers) > ANSWERS_KEPT:
                self._answers.popitem(last=False)
