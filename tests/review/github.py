"""A server that plays the part of GitHub's REST API that comments and issues need, with faults on demand."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

TOKEN = "ghs_made-up-token-of-a-test"  # noqa: S105 - made up


@dataclass(kw_only=True)
class Answer:
    """What a call gets instead of what it asked for; `lands`: it is done all the same."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)
    lands: bool = False


@dataclass(kw_only=True)
class GitHub:
    """The repository shop/platform, with the pull request 12. Issues have the numbers from 101.

    faults: answers by method and path's end, each used once, first first.
    login: whose token it is; None for a job's own, which may not ask.
    """

    comments: list[dict[str, Any]] = field(default_factory=list)
    issues: list[dict[str, Any]] = field(default_factory=list)
    faults: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    login: str | None = None
    author: str = "github-actions[bot]"
    url: str = ""

    def add(self, body: str, *, author: str | None = None, kind: str = "Bot") -> dict[str, Any]:
        """A comment that is there."""
        number = len(self.comments) + 1
        comment = {
            "id": number,
            "body": body,
            "url": f"{self.url}/repos/shop/platform/issues/comments/{number}",
            "user": {"login": author or self.author, "type": kind, "url": f"{self.url}/users/x"},
        }
        self.comments.append(comment)
        return comment

    def open(
        self, title: str, body: str, *, author: str | None = None, kind: str = "Bot", **more: Any
    ) -> dict[str, Any]:
        """An issue that is there; pull_request={} makes it a pull request."""
        number = 101 + len(self.issues)
        issue = {
            "number": number,
            "title": title,
            "body": body,
            "state": "open",
            "url": f"{self.url}/repos/shop/platform/issues/{number}",
            "user": {"login": author or self.author, "type": kind, "url": f"{self.url}/users/x"},
            **more,
        }
        self.issues.append(issue)
        return issue

    def answer(self, method: str, path: str, sent: Any) -> Answer:
        """What GitHub would say."""
        bare, _, query = path.partition("?")
        self.calls.append((method, bare))
        fault = next(
            (found for end, found in self.faults.items() if end[0] == method and bare.endswith(end[1])), []
        )
        if fault:
            answer = fault.pop(0)
            if answer.lands:
                self._done(method, bare, query, sent)
            return answer
        return self._done(method, bare, query, sent)

    def _done(self, method: str, path: str, query: str, sent: Any) -> Answer:
        issue = "/repos/shop/platform/issues/12"
        match = re.fullmatch(r"/repos/shop/platform/issues/comments/(\d+)", path)
        if (method, path) == ("GET", "/user"):
            if self.login:
                return Answer(status=200, body={"login": self.login, "type": "User"})
            return Answer(status=403, body={"message": "Resource not accessible by integration"})
        if (method, path) == ("GET", issue):
            return Answer(status=200, body={"number": 12, "url": self.url + issue, "comments_url": "x"})
        if (method, path) == ("GET", f"{issue}/comments"):
            return self._page(self.comments, path, query)
        if (method, path) == ("POST", f"{issue}/comments"):
            return Answer(status=201, body=self.add(sent["body"]))
        if method == "PATCH" and match:
            comment = self.comments[int(match[1]) - 1]
            comment["body"] = sent["body"]
            return Answer(status=200, body=comment)
        return self._issues(method, path, query, sent)

    def _issues(self, method: str, path: str, query: str, sent: Any) -> Answer:
        issues = "/repos/shop/platform/issues"
        match = re.fullmatch(rf"{issues}/(\d{{3,}})", path)
        if (method, path) == ("GET", issues):
            return self._page([one for one in self.issues if one["state"] == "open"], path, query)
        if (method, path) == ("POST", issues):
            return Answer(status=201, body=self.open(sent["title"], sent["body"]))
        if method in ("GET", "PATCH") and match:
            self.issues[int(match[1]) - 101] |= sent or {}
            return Answer(status=200, body=self.issues[int(match[1]) - 101])
        return Answer(status=404, body={"message": "Not Found"})

    def _page(self, entries: list[dict[str, Any]], path: str, query: str) -> Answer:
        asked = dict(re.findall(r"(\w+)=(\d+)", query))
        page, size = int(asked.get("page", 1)), int(asked.get("per_page", 30))
        shown = entries[(page - 1) * size : page * size]
        more = len(entries) > page * size
        link = f'<{self.url}{path}?per_page={size}&page={page + 1}>; rel="next"'
        return Answer(status=200, body=shown, headers={"Link": link} if more else {})


@contextmanager
def serving(github: GitHub) -> Iterator[GitHub]:
    """Serves on a free port of this machine until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            sent = json.loads(self.rfile.read(length)) if length else None
            if self.headers.get("Authorization") != f"token {TOKEN}":
                answer = Answer(status=401, body={"message": "Bad credentials"})
            else:
                answer = github.answer(self.command, self.path, sent)
            body = json.dumps(answer.body).encode()
            self.send_response(answer.status)
            for name, value in {**answer.headers, "Content-Type": "application/json"}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = _serve  # noqa: N815 - the names are given

        def log_message(self, *_: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    github.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield github
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
