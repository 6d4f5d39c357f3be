"""One HTTP request in bounded time, for checks and notifications. Follows no redirect, keeps no cookie."""

import asyncio
import os
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import aiohttp

# More of a body is not looked at; a check names a few words of a page.
BODY_BYTES = 1024 * 1024
USER_AGENT = "switchyard"
CUT_OFF = "the connection was cut off before the answer was whole"


class Trouble(StrEnum):
    """Why there was no answer."""

    NOT_CONNECTED = "not connected"
    CUT_OFF = "cut off"
    TIMEOUT = "timeout"
    CERTIFICATE = "certificate"
    BROKEN = "broken"


class NoAnswer(Exception):
    """There was no whole answer. The message names no URL: it may be a secret."""

    def __init__(self, trouble: Trouble, message: str) -> None:
        super().__init__(message)
        self.trouble = trouble


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to ask.

    timeout_seconds: for all of it, from the first packet to the end of the body.
    tls: how a server's certificate is looked at; default: its chain and the URL's own host name.
    server_name: the name that the certificate has to be for, instead of the URL's host.
    proxied: go through the proxy that the environment names (HTTPS_PROXY).
    """

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    timeout_seconds: float
    tls: ssl.SSLContext | None = None
    server_name: str | None = None
    proxied: bool = False


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What came back.

    headers: by name in lower case; several of one name joined by a comma.
    text: the first MiB of the body; bytes that are no text are replaced.
    seconds: from the first packet to the end of the body.
    """

    status: int
    headers: Mapping[str, str]
    text: str
    seconds: float


def ask(request: Request) -> Answer:
    """Asks once. Raises NoAnswer. Not to be called inside a running event loop."""
    return asyncio.run(_asked(request))


async def _asked(request: Request) -> Answer:
    # Loading it takes a quarter of a second, which a command that asks nothing need not pay.
    import aiohttp

    began = time.monotonic()
    try:
        async with asyncio.timeout(request.timeout_seconds):
            return await _exchange(request, began)
    except TimeoutError:
        raise NoAnswer(Trouble.TIMEOUT, f"no whole answer in {request.timeout_seconds:g} s") from None
    except (aiohttp.ClientConnectorCertificateError, aiohttp.ClientConnectorSSLError) as error:
        raise NoAnswer(Trouble.CERTIFICATE, f"TLS failed: {_cause(error)}") from None
    except aiohttp.ClientConnectorError as error:
        raise NoAnswer(Trouble.NOT_CONNECTED, f"could not connect: {_cause(error)}") from None
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientPayloadError):
        raise NoAnswer(Trouble.CUT_OFF, CUT_OFF) from None
    except (aiohttp.InvalidURL, ValueError):
        raise NoAnswer(Trouble.BROKEN, "the URL is not valid") from None
    except aiohttp.ClientError as error:
        raise NoAnswer(Trouble.BROKEN, f"the answer is not HTTP ({type(error).__name__})") from None


async def _exchange(request: Request, began: float) -> Answer:
    import aiohttp

    secure: dict[str, Any] = {"ssl": request.tls} if request.tls else {}
    if request.server_name:
        secure["server_hostname"] = request.server_name
    async with (
        aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=request.proxied,
            middlewares=(_once,),
        ) as session,
        session.request(
            request.method,
            request.url,
            headers={"User-Agent": USER_AGENT, **request.headers},
            data=request.body,
            allow_redirects=False,
            **secure,
        ) as answer,
    ):
        body = await _body(answer)
        headers: dict[str, str] = {}
        for name, value in answer.headers.items():
            key = name.lower()
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
        return Answer(
            status=answer.status,
            headers=headers,
            text=body.decode(answer.charset or "utf-8", errors="replace"),
            seconds=time.monotonic() - began,
        )


async def _once(
    request: "aiohttp.ClientRequest", handler: "aiohttp.ClientHandlerType"
) -> "aiohttp.ClientResponse":
    """The client would repeat a request that was cut off by itself; whoever asks decides about that."""
    import aiohttp

    try:
        return await handler(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
        raise NoAnswer(Trouble.CUT_OFF, CUT_OFF) from None


async def _body(answer: "aiohttp.ClientResponse") -> bytes:
    body = b""
    while len(body) < BODY_BYTES and (chunk := await answer.content.read(65536)):
        body += chunk
    return body[:BODY_BYTES]


def _cause(error: Exception) -> str:
    """The operating system's or TLS's own words, without the address."""
    inner = getattr(error, "os_error", None) or getattr(error, "certificate_error", None) or error.__cause__
    if isinstance(inner, ssl.SSLCertVerificationError):
        return inner.verify_message or str(inner.reason)
    if isinstance(inner, OSError) and inner.errno:
        return os.strerror(inner.errno)
    return type(inner or error).__name__
