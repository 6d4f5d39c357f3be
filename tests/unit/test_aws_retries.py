"""localcloud/aws/retries.py: a call whose answer was lost is not done twice."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest

from localcloud.aws import retries
from localcloud.aws.retries import AnsweredOnce

Call = Callable[..., tuple[str, bytes]]


class Cloud:
    """Answers each call with its number, and with the statuses it was told to."""

    def __init__(self) -> None:
        self.calls = 0
        self.statuses: list[str] = []

    def __call__(self, _environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        self.calls += 1
        start_response(self.statuses.pop(0) if self.statuses else "200 OK", [("x-number", str(self.calls))])
        return [b"answer ", str(self.calls).encode()]


@pytest.fixture
def cloud() -> Cloud:
    return Cloud()


@pytest.fixture
def call(cloud: Cloud) -> Call:
    application = AnsweredOnce(cloud)

    def ask(invocation: str | None, method: str = "POST") -> tuple[str, bytes]:
        said: list[str] = []
        environ = {"REQUEST_METHOD": method}
        if invocation is not None:
            environ["HTTP_AMZ_SDK_INVOCATION_ID"] = invocation
        body = b"".join(application(environ, lambda status, _headers: said.append(status)))
        return said[0], body

    return ask


def test_a_second_attempt_gets_the_answer_of_the_first(cloud: Cloud, call: Call) -> None:
    assert call("a") == ("200 OK", b"answer 1")
    assert call("a") == ("200 OK", b"answer 1")
    assert cloud.calls == 1


def test_another_call_is_done(cloud: Cloud, call: Call) -> None:
    assert [call("a"), call("b")] == [("200 OK", b"answer 1"), ("200 OK", b"answer 2")]
    assert cloud.calls == 2


@pytest.mark.parametrize("failure", ["400 Bad Request", "404 Not Found", "500 Internal Server Error"])
def test_what_failed_is_done_again(cloud: Cloud, call: Call, failure: str) -> None:
    cloud.statuses = [failure]
    assert call("a") == (failure, b"answer 1")
    assert call("a") == ("200 OK", b"answer 2")


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_what_only_reads_is_done_every_time(cloud: Cloud, call: Call, method: str) -> None:
    call("a", method)
    call("a", method)
    assert cloud.calls == 2


def test_calls_without_a_name_are_done_every_time(cloud: Cloud, call: Call) -> None:
    call(None)
    call(None)
    assert cloud.calls == 2


def test_old_answers_are_forgotten(cloud: Cloud, call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "ANSWERS_KEPT", 2)
    for name in ("a", "b", "c", "a"):
        call(name)
    assert cloud.calls == 4, "a was forgotten when c was kept"
