"""Smoke checks against a real server that answers rightly, wrongly, late, or not at all."""

import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.settings import ServiceSettings, SmokeCheckSettings
from release.checks import smoke, web
from release.checks.smoke import SmokeChecks, faults, host_of, unreached
from release.errors import Refused
from release.ports import Outcome, Verdict
from tests.release.certificates import server_context
from tests.release.faulty import Fault, Seen, Told, free_port, serving
from tests.unit.stacks import settings


def service(
    checks: Sequence[dict[str, Any]] = (), *, hosts: Sequence[str] = (), command: list[str] | None = None
) -> dict[str, ServiceSettings]:
    """The local stack's api, with these smoke checks and no others."""
    found = settings("local").services["api"].model_dump()
    found |= {"smoke": list(checks), "smoke_command": command}
    found["route"] |= {"hosts": list(hosts)}
    return {"api": ServiceSettings.model_validate(found)}


def verdicts(url: str, *checks: dict[str, Any], **more: Any) -> Sequence[Verdict]:
    return SmokeChecks(service(checks, **more)).verify("api", url)


def one(url: str, check: dict[str, Any], **more: Any) -> Verdict:
    found = verdicts(url, check, **more)
    assert len(found) == 1
    return found[0]


def test_an_answer_as_wanted_passes_with_its_figures() -> None:
    with serving(Told(body="shop version 2", headers={"X-Version": "2"})) as server:
        verdict = one(
            server.url,
            {"path": "/api/version", "body_contains": "version 2", "headers": {"x-version": "2"}},
        )
    assert verdict.outcome is Outcome.PASS
    assert verdict.source == "smoke GET /api/version"
    assert verdict.reason.startswith("answered 200 in 0.")


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        ({"status": 201}, 'wanted status 201, it says "shop version 2"'),
        ({"body_contains": "version 3"}, 'the body does not contain "version 3": "shop version 2"'),
        ({"headers": {"X-Version": "3"}}, 'header X-Version is "2", wanted "3"'),
        ({"headers": {"X-Other": "1"}}, 'header X-Other is missing, wanted "1"'),
    ],
    ids=["status", "body", "header", "no header"],
)
def test_a_wrong_answer_fails_and_says_what_was_wrong(check: dict[str, Any], reason: str) -> None:
    with serving(Told(body="shop version 2", headers={"X-Version": "2"})) as server:
        verdict = one(server.url, {"path": "/", **check})
        assert len(server.seen) == 1, "an answer is an answer, and not asked for again"
    assert verdict.outcome is Outcome.FAIL
    assert reason in verdict.reason


def test_each_check_has_a_verdict_in_the_order_of_the_settings() -> None:
    def behave(seen: Seen) -> Told:
        return Told(status=500 if seen.path == "/b" else 200)

    with serving(behave) as server:
        found = verdicts(server.url, {"path": "/a"}, {"path": "/b"}, {"path": "/c", "method": "POST"})
    assert [verdict.source for verdict in found] == ["smoke GET /a", "smoke GET /b", "smoke POST /c"]
    assert [verdict.outcome.value for verdict in found] == ["pass", "fail", "pass"]


def test_no_check_at_all_is_an_empty_list() -> None:
    assert verdicts("http://127.0.0.1:1") == []


def test_a_service_that_is_not_there_is_refused() -> None:
    with pytest.raises(Refused, match="no service shop in the settings; there are: api"):
        SmokeChecks(service()).verify("shop", "http://127.0.0.1:1")


def test_a_redirect_is_an_answer_and_not_followed() -> None:
    with serving(Told(status=302, headers={"Location": "/login"})) as server:
        verdict = one(server.url, {"path": "/", "status": 302, "headers": {"Location": "/login"}})
        assert [seen.path for seen in server.seen] == ["/"]
    assert verdict.outcome is Outcome.PASS


@pytest.mark.parametrize("fault", ["hang", "drip"])
def test_an_answer_that_takes_too_long_fails(fault: Fault) -> None:
    with serving(fault) as server:
        verdict = one(server.url, {"path": "/", "max_seconds": 0.5})
        assert len(server.seen) == 1, "slowness is not tried away"
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason == "no whole answer in 0.5 s"


def test_what_is_no_http_fails() -> None:
    with serving("garbage") as server:
        verdict = one(server.url, {"path": "/"})
    assert verdict.outcome is Outcome.FAIL
    assert "not HTTP" in verdict.reason


def test_a_connection_that_fails_once_is_tried_again_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "PAUSE_SECONDS", 0)
    asked: list[Seen] = []

    def behave(seen: Seen) -> Told | Fault:
        asked.append(seen)
        return "reset" if len(asked) == 1 else Told()

    with serving(behave) as server:
        verdict = one(server.url, {"path": "/"})
    assert verdict.outcome is Outcome.PASS
    assert verdict.reason.endswith(", at attempt 2")


def test_connections_are_tried_a_bounded_number_of_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "PAUSE_SECONDS", 0)
    with serving("reset") as server:
        verdict = one(server.url, {"path": "/"})
        assert len(server.seen) == 3
    assert verdict.outcome is Outcome.FAIL
    assert verdict.reason == "the connection was cut off before the answer was whole, tried 3 times"
    refused = one(f"http://127.0.0.1:{free_port()}", {"path": "/"})
    assert refused.reason == "could not connect: Connection refused, tried 3 times"


def test_a_listener_is_reached_whatever_it_says_or_refuses_the_connection() -> None:
    with serving("garbage") as server:
        assert unreached(server.url) is None
        assert server.seen == [], "it is not asked anything"
    assert unreached(server.url) == "Connection refused"


def test_a_listener_that_lets_nobody_in_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(smoke, "CONNECT_SECONDS", 0.2)
    with closed_door() as port:
        assert unreached(f"http://127.0.0.1:{port}") == "no answer in 0.2 s"


@contextmanager
def closed_door() -> Iterator[int]:
    """A port that takes no connection any more: its queue is full."""
    with ExitStack() as open_until_then:
        listening = open_until_then.enter_context(socket.socket())
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        for _ in range(4):
            waiting = open_until_then.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        yield address[1]


def test_a_post_that_was_cut_off_is_not_repeated() -> None:
    with serving("reset") as server:
        verdict = one(server.url, {"path": "/orders", "method": "POST"})
        assert len(server.seen) == 1, "it may have been carried out"
    assert verdict.outcome is Outcome.FAIL


def test_a_secret_in_an_answer_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_PASSWORD", "correct horse battery")
    with serving(Told(status=500, body="no login with correct horse battery for shop")) as server:
        verdict = one(server.url, {"path": "/"})
    assert "no login with *** for shop" in verdict.reason


# --- the host name


def test_a_service_with_hosts_is_asked_by_the_first_of_them() -> None:
    with serving(Told()) as server:
        one(server.url, {"path": "/"}, hosts=["shop.example.com", "www.example.com"])
        one(server.url, {"path": "/"})
        hosts = [seen.headers["host"] for seen in server.seen]
    assert hosts == ["shop.example.com", server.url.removeprefix("http://")]


def test_a_pattern_of_hosts_is_filled_in() -> None:
    assert host_of(["*.example.com"]) == "smoke.example.com"
    assert host_of(["shop-?.example.com"]) == "shop-0.example.com"


def test_tls_is_verified_against_the_services_own_name(tmp_path: Path) -> None:
    tls, ca_file = server_context(tmp_path, "shop.example.com")
    with serving(Told(), tls=tls) as server:
        for host, outcome in (("shop.example.com", Outcome.PASS), ("other.example.com", Outcome.FAIL)):
            checks = SmokeChecks(service([{"path": "/"}], hosts=[host]), ca_file=ca_file)
            verdict = checks.verify("api", server.url)[0]
            assert verdict.outcome is outcome, verdict.reason
        assert server.server_names == ["shop.example.com", "other.example.com"], "asked for by SNI too"
        assert [seen.headers["host"] for seen in server.seen] == ["shop.example.com"]
    assert "TLS failed: Hostname mismatch" in verdict.reason


def test_without_hosts_the_chain_alone_is_verified(tmp_path: Path) -> None:
    tls, ca_file = server_context(tmp_path, "shop.example.com")
    with serving(Told(), tls=tls) as server:
        trusted = SmokeChecks(service([{"path": "/"}]), ca_file=ca_file).verify("api", server.url)[0]
        stranger = SmokeChecks(service([{"path": "/"}])).verify("api", server.url)[0]
        assert len(server.seen) == 1, "nothing is said to a stranger"
    assert trusted.outcome is Outcome.PASS, trusted.reason
    assert stranger.outcome is Outcome.FAIL
    assert "TLS failed" in stranger.reason
    assert "tried" not in stranger.reason, "a wrong certificate stays wrong"


# --- the user's own command


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def test_a_command_finds_the_address_and_passes_by_its_status() -> None:
    command = python("import os; print(os.environ['SERVICE'], os.environ['TEST_URL'])")
    found = verdicts("http://test.example:8080", command=command)
    assert found == [
        Verdict(
            outcome=Outcome.PASS,
            source="smoke command",
            reason="ended with status 0: api http://test.example:8080",
        )
    ]


def test_a_command_comes_after_the_checks_and_fails_by_its_status() -> None:
    with serving(Told()) as server:
        found = verdicts(server.url, {"path": "/"}, command=python("print('no cart'); exit(75)"))
    assert [verdict.source for verdict in found] == ["smoke GET /", "smoke command"]
    assert found[1].outcome is Outcome.FAIL, "before any traffic there is no reason to wait and see"
    assert found[1].reason == "ended with status 75: no cart"


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (["/does/not/exist"], "/does/not/exist could not be started: No such file or directory"),
        (python("import time; time.sleep(60)"), "not done after 0.5 s, so it was ended"),
    ],
    ids=["missing", "hanging"],
)
def test_a_command_that_gives_no_answer_fails(command: list[str], reason: str) -> None:
    checks = SmokeChecks(service(command=command), command_seconds=0.5)
    assert checks.verify("api", "http://t") == [
        Verdict(outcome=Outcome.FAIL, source="smoke command", reason=reason)
    ]


# --- the judgement by itself


@given(
    wanted=st.integers(100, 599),
    status=st.integers(100, 599),
    body=st.text(max_size=50),
    part=st.none() | st.text(max_size=5),
    seconds=st.floats(0, 20),
)
def test_only_an_answer_that_meets_all_has_no_fault(
    wanted: int, status: int, body: str, part: str | None, seconds: float
) -> None:
    check = SmokeCheckSettings(path="/", status=wanted, body_contains=part, max_seconds=10)
    answer = web.Answer(status=status, headers={}, text=body, seconds=seconds)
    met = status == wanted and (part is None or part in body) and seconds <= 10
    assert (faults(check, answer) == []) is met
