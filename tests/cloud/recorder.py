"""A proxy in front of the embedded cloud that takes down every call of the AWS API."""

import json
import re
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import botocore.session
from botocore.model import OperationModel, ServiceModel
from botocore.parsers import RpcV2CBORParser

# The signature names a service otherwise than botocore does.
SIGNED_AS = {
    "monitoring": "cloudwatch",
    "elasticloadbalancing": "elbv2",
    "tagging": "resourcegroupstaggingapi",
}
ANSWER_SECONDS = 300


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call: botocore's names of service and operation, what it was given, and the start of the answer."""

    service: str
    operation: str
    region: str
    given: Mapping[str, Any]
    status: int
    answer: str


# Gets a request's verb, path and body before it is passed on, and says whether it is.
Before = Callable[[str, str, bytes], bool]


class Recorder:
    """The calls so far. `endpoint` is where clients find the proxy."""

    def __init__(self, endpoint: str, target: str, before: Before) -> None:
        self.endpoint = endpoint
        self.target = urllib.parse.urlsplit(target).netloc
        self.before = before
        self.calls: list[Call] = []
        self.unread: list[str] = []


@contextmanager
def recording(target: str, before: Before = lambda *_: True) -> Iterator[Recorder]:
    """A proxy that passes on to the cloud at `target` all that `before` lets it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    recorder = Recorder(f"http://127.0.0.1:{server.server_port}", target, before)
    server.recorder = recorder  # type: ignore[attr-defined]
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield recorder
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Passes any request on."""
        body = self._body()
        recorder: Recorder = self.server.recorder  # type: ignore[attr-defined]
        if not recorder.before(self.command, self.path, body):
            self.close_connection = True
            return
        link = HTTPConnection(recorder.target, timeout=ANSWER_SECONDS)
        headers = {
            name: value
            for name, value in self.headers.items()
            if name.lower() not in ("connection", "expect")
        }
        link.request(self.command, self.path, body=body, headers=headers)
        answer = link.getresponse()
        content = answer.read()
        call = self._read(body, answer.status, content)
        if call is not None:
            recorder.calls.append(call)
        self.send_response_only(answer.status, answer.reason)
        for name, value in answer.getheaders():
            if name.lower() not in ("transfer-encoding", "connection", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else None
        self.send_header("Content-Length", length or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        link.close()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_GET  # noqa: N815 - http.server's names

    def log_message(self, *_: Any) -> None:
        """Says nothing."""

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            raise NotImplementedError("no client of ours sends chunks")
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _read(self, body: bytes, status: int, content: bytes) -> Call | None:
        scope = re.search(r"Credential=[^/]+/\d+/([^/]+)/([^/]+)/", self.headers.get("Authorization", ""))
        recorder: Recorder = self.server.recorder  # type: ignore[attr-defined]
        what = f"{self.command} {self.path}"
        if scope is None:
            recorder.unread.append(what)
            return None
        region, signed_as = scope.groups()
        service = SIGNED_AS.get(signed_as, signed_as)
        try:
            operation, given = read(service, self.command, self.path, dict(self.headers), body)
        except LookupError as error:
            recorder.unread.append(f"{service}: {what}: {error}")
            return None
        return Call(
            service=service,
            operation=operation,
            region=region,
            given=given,
            status=status,
            answer=content[:4000].decode(errors="replace"),
        )


@cache
def model(service: str) -> ServiceModel:
    """What botocore knows of a service."""
    found: ServiceModel = botocore.session.get_session().get_service_model(service)
    return found


def read(
    service: str, verb: str, path: str, headers: Mapping[str, str], body: bytes
) -> tuple[str, dict[str, Any]]:
    """The operation and its parameters. Raises LookupError for what is none."""
    protocol = model(service).metadata["protocol"]
    target = {name.lower(): value for name, value in headers.items()}.get("x-amz-target")
    if target:
        return target.rpartition(".")[2], json.loads(body or b"{}")
    if "smithy-protocol" in {name.lower() for name in headers}:
        parser = RpcV2CBORParser()
        return path.rpartition("/")[2], parser.parse_data_item(parser.get_peekable_stream_from_bytes(body))
    if protocol in ("query", "ec2") or service == "cloudwatch":
        form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True))
        return form.pop("Action"), form
    return _rest(service, verb, path, headers, body)


def _rest(
    service: str, verb: str, path: str, headers: Mapping[str, str], body: bytes
) -> tuple[str, dict[str, Any]]:
    bare, _, query = path.partition("?")
    asked = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    has = {"querystring": set(asked), "header": {name.lower() for name in headers}}
    found: list[tuple[int, str, dict[str, str]]] = []
    for name in model(service).operation_names:
        operation = model(service).operation_model(name)
        labels = _labels(operation, verb, bare, asked)
        needed = _needed(operation)
        if labels is not None and all(wanted <= has[place] for place, wanted in needed.items()):
            # Of several that fit, it is the one that asks for most.
            fixed = [part for part in operation.http["requestUri"].partition("?")[2].split("&") if part]
            found.append((len(fixed) + sum(map(len, needed.values())), name, labels))
    if not found:
        raise LookupError("no such operation")
    most = max(score for score, _, _ in found)
    # A deprecated operation has the path of the one that took its place; IAM knows them by one name.
    name, labels = min((name, labels) for score, name, labels in found if score == most)
    return name, {**asked, **labels, **(json.loads(body) if body[:1] == b"{" else {})}


def _needed(operation: OperationModel) -> dict[str, set[str]]:
    """The query's parameters and the headers without which it is another operation."""
    needed: dict[str, set[str]] = {"querystring": set(), "header": set()}
    shape = operation.input_shape
    if shape is None:
        return needed
    for member in shape.required_members:
        form = shape.members[member].serialization
        name = form.get("name", member)
        if form.get("location") in needed:
            needed[form["location"]].add(name.lower() if form["location"] == "header" else name)
    return needed


def _labels(
    operation: OperationModel, verb: str, bare: str, asked: Mapping[str, str]
) -> dict[str, str] | None:
    template, _, fixed = operation.http["requestUri"].partition("?")
    if operation.http["method"] != verb:
        return None
    for part in filter(None, fixed.split("&")):
        name, _, value = part.partition("=")
        if name not in asked or (value and asked[name] != value):
            return None
    pattern = re.sub(
        r"\\\{(\w+)(\\\+)?\\\}", lambda m: f"(?P<{m[1]}>{'.+' if m[2] else '[^/]+'})", re.escape(template)
    )
    matched = re.fullmatch(pattern.rstrip("/") + "/?", bare) or (
        re.fullmatch(pattern, bare) if bare == "/" else None
    )
    return {k: urllib.parse.unquote(v) for k, v in matched.groupdict().items()} if matched else None
