"""Smoke checks: does the new version answer as it should, before anybody's traffic reaches it?"""

import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from infra.settings import ServiceSettings, SmokeCheckSettings
from release.checks import command, web
from release.errors import Refused
from release.masking import masked, secrets_of
from release.ports import Outcome, Verdict

# Times that a request is made when the connection fails, and the pause between them.
ATTEMPTS = 3
PAUSE_SECONDS = 0.5
COMMAND_SECONDS = 300.0
CONNECT_SECONDS = 5.0
PORTS = {"http": 80, "https": 443}
# What of an answer's body is shown of one that is wrong.
EXCERPT_CHARACTERS = 120


class SmokeChecks:
    """The `Verifier` port: the requests and the command that the settings name.

    services: the stack's services.
    ca_file: certificates to trust instead of the system's, for a private authority.
    command_seconds: the longest that a `smoke_command` may take.

    A service whose route has hosts is asked by the first of them: the test rule has the same conditions as
    the production one. TLS is verified against that name, since the test listener is reached by the load
    balancer's own DNS name, which no certificate is for. Without hosts there is no name to verify; the chain
    still is, so the listener has to have a certificate of a trusted authority.
    """

    def __init__(
        self,
        services: Mapping[str, ServiceSettings],
        *,
        ca_file: Path | None = None,
        command_seconds: float = COMMAND_SECONDS,
    ) -> None:
        self._services = services
        self._ca_file = ca_file
        self._command_seconds = command_seconds

    def verify(self, service: str, test_url: str) -> Sequence[Verdict]:
        """One verdict for each check, in the settings' order; the command comes last."""
        if service not in self._services:
            have = ", ".join(sorted(self._services)) or "none"
            raise Refused(f"there is no service {service} in the settings; there are: {have}")
        settings = self._services[service]
        host = host_of(settings.route.hosts)
        verdicts = [self._check(check, test_url, host) for check in settings.smoke]
        if settings.smoke_command is not None:
            verdicts.append(self._command(service, settings.smoke_command, test_url))
        return verdicts

    def _check(self, check: SmokeCheckSettings, test_url: str, host: str | None) -> Verdict:
        secure = urlsplit(test_url).scheme == "https"
        request = web.Request(
            url=test_url.rstrip("/") + check.path,
            method=check.method,
            headers={"Host": host} if host else {},
            timeout_seconds=check.max_seconds,
            tls=trust(self._ca_file, named=host is not None) if secure else None,
            server_name=host if secure else None,
        )
        source = f"smoke {check.method} {check.path}"
        try:
            answer, attempts = _asked(request)
        except web.NoAnswer as error:
            return Verdict(outcome=Outcome.FAIL, source=source, reason=str(error))
        wrong = faults(check, answer)
        figures = f"answered {answer.status} in {answer.seconds:.3f} s" + (
            f", at attempt {attempts}" if attempts > 1 else ""
        )
        return Verdict(
            outcome=Outcome.FAIL if wrong else Outcome.PASS,
            source=source,
            reason="; ".join([figures, *wrong]),
        )

    def _command(self, service: str, arguments: Sequence[str], test_url: str) -> Verdict:
        ended = command.run(
            arguments,
            variables={"TEST_URL": test_url, "SERVICE": service},
            timeout_seconds=self._command_seconds,
        )
        if ended.status is None:
            reason = ended.words
        else:
            reason = f"ended with status {ended.status}" + (f": {ended.words}" if ended.words else "")
        outcome = Outcome.PASS if ended.status == 0 else Outcome.FAIL
        return Verdict(outcome=outcome, source="smoke command", reason=reason)


def host_of(hosts: Sequence[str]) -> str | None:
    """A name that the route's first host matches: a pattern's `*` and `?` are filled in. None without one."""
    return hosts[0].replace("*", "smoke").replace("?", "0") if hosts else None


def unreached(url: str) -> str | None:
    """Why no connection to the URL's server comes about from this machine; None if one does."""
    address = urlsplit(url)
    port = address.port or PORTS[address.scheme]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            socket.create_connection((address.hostname, port), CONNECT_SECONDS).close()
        except TimeoutError:
            # What a security group keeps out gets no answer at all, however often it asks.
            return f"no answer in {CONNECT_SECONDS:g} s"
        except OSError as error:
            if attempt == ATTEMPTS:
                return error.strerror or str(error)
            time.sleep(PAUSE_SECONDS)
        else:
            return None
    raise AssertionError("the last attempt returns")


def trust(ca_file: Path | None, *, named: bool) -> ssl.SSLContext:
    """How certificates are verified: the chain always, the name where there is one to expect."""
    context = ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    context.check_hostname = named
    return context


def faults(check: SmokeCheckSettings, answer: web.Answer) -> list[str]:
    """What of the answer is not as the check wants it, with what was found. Pure."""
    wrong = []
    if answer.status != check.status:
        said = f", it says {_quoted(answer.text)}" if answer.text.strip() else ""
        wrong.append(f"wanted status {check.status}{said}")
    for name, value in check.headers.items():
        found = answer.headers.get(name.lower())
        if found != value:
            wrong.append(f"header {name} is {_quoted(found)}, wanted {_quoted(value)}")
    if check.body_contains is not None and check.body_contains not in answer.text:
        wrong.append(f"the body does not contain {_quoted(check.body_contains)}: {_quoted(answer.text)}")
    if answer.seconds > check.max_seconds:
        wrong.append(f"wanted at most {check.max_seconds:g} s")
    return wrong


def _asked(request: web.Request) -> tuple[web.Answer, int]:
    """The answer, and at which attempt. Only a failed connection is tried again: an answer is an answer.

    A POST whose connection was cut off may have been carried out, so it is not repeated.
    """
    again = {web.Trouble.NOT_CONNECTED}
    if request.method != "POST":
        again.add(web.Trouble.CUT_OFF)
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return web.ask(request), attempt
        except web.NoAnswer as error:
            if error.trouble not in again:
                raise
            if attempt == ATTEMPTS:
                raise web.NoAnswer(error.trouble, f"{error}, tried {ATTEMPTS} times") from None
            time.sleep(PAUSE_SECONDS)
    raise AssertionError("the last attempt returns or raises")


def _quoted(text: str | None) -> str:
    if text is None:
        return "missing"
    # Masked as a whole first: cut in two, a secret would not be known any more.
    text = " ".join(masked(text, secrets_of()).split())
    text = "".join(character for character in text if character.isprintable())
    short = text if len(text) <= EXCERPT_CHARACTERS else text[: EXCERPT_CHARACTERS - 1] + "…"
    return f'"{short}"'
