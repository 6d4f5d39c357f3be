"""GitHub's REST API, asked with patience, and what it answers as one message for a person."""

import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Protocol, TypeVar

import requests
from github import Auth, Github, GithubException, GithubRetry, RateLimitExceededException
from github.NamedUser import NamedUser
from github.Organization import Organization

from review.errors import CommentFailed, NoRights

Result = TypeVar("Result")


class HasBody(Protocol):
    """A comment, or an issue."""

    @property
    def body(self) -> str:
        """Its text."""


Text = TypeVar("Text", bound=HasBody)

TIMEOUT_SECONDS = 20
RETRIES = 3
# A job that waits longer for GitHub's limits costs more than running it again.
LONGEST_WAIT_SECONDS = 60.0

# It writes every refused call to standard error; what matters of that is told here, once.
logging.getLogger("github").setLevel(logging.ERROR)


@dataclass(frozen=True, kw_only=True, repr=False)
class Target:
    """What is written to, and as whom.

    repository: owner/name.
    backoff_seconds: the first pause before a failed call is repeated; the next are twice as long.
    """

    repository: str
    token: str
    api_url: str = "https://api.github.com"
    backoff_seconds: float = 1.0

    @property
    def where(self) -> str:
        """As people write it."""
        return self.repository

    @property
    def rights(self) -> str:
        """What the token needs."""
        return "give the job `permissions: issues: write`"

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.where})"


def client(target: Target) -> Github:
    """GitHub, by the target's token; to be closed."""
    return Github(
        auth=Auth.Token(target.token),
        base_url=target.api_url.rstrip("/"),
        timeout=TIMEOUT_SECONDS,
        per_page=100,
        retry=_retries(target),
        user_agent="switchyard",
        # Else each step of the way to a comment is a call of its own.
        lazy=True,
    )


def _retries(target: Target) -> GithubRetry:
    return GithubRetry(
        total=RETRIES,
        backoff_factor=target.backoff_seconds,
        secondary_rate_wait=min(LONGEST_WAIT_SECONDS, 60 * target.backoff_seconds),
        max_rate_limit_wait=LONGEST_WAIT_SECONDS,
        # Creating a comment twice makes two.
        allowed_methods={"GET", "PATCH"},
        respect_retry_after_header=False,
    )


def login_of(github: Github, target: Target) -> str | None:
    """Whose token it is; None for one of an app, such as a job's own, which may not ask."""
    try:
        return github.get_user().login
    except GithubException as error:
        if error.status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
            return None
        raise _failed(target, "ask whose token this is", error) from None
    except requests.RequestException as error:
        raise _unreachable(target, error) from None


def same(one: str | None, other: str) -> bool:
    """GitHub ends lines its own way."""
    return (one or "").replace("\r\n", "\n").strip() == other.strip()


def is_by(user: NamedUser | Organization, login: str | None) -> bool:
    """Whether that token's owner is the author. A job's own token may not ask who it is: any bot then."""
    return user.login == login if login else user.type == "Bot"


def asked(target: Target, what: str, call: Callable[[], Result]) -> Result:
    """What the call gives. Raises CommentFailed and NoRights; `what` says what the token was to do."""
    try:
        return call()
    except GithubException as error:
        raise _failed(target, what, error) from None
    except requests.RequestException as error:
        raise _unreachable(target, error) from None


def made_once(
    target: Target, what: str, make: Callable[[], Text], look: Callable[[], Text | None], body: str
) -> Text:
    """What `make` gives. It is not repeated blindly: after an error it may be there, which `look` tells."""
    try:
        return asked(target, what, make)
    except NoRights:
        raise
    except CommentFailed:
        there = look()
        if there is None or not same(there.body, body):
            raise
        return there


def _failed(target: Target, what: str, error: GithubException) -> CommentFailed:
    where = target.where
    said = _said(error).replace(target.token, "[secret]")
    if isinstance(error, RateLimitExceededException):
        return CommentFailed(
            f"GitHub's limit of calls is reached: {said}; nothing was written to {where}, run it again later"
        )
    match error.status:
        case HTTPStatus.UNAUTHORIZED:
            return CommentFailed(
                f"GitHub does not know the token (GITHUB_TOKEN): {said}; give it a valid one"
            )
        case HTTPStatus.FORBIDDEN:
            return NoRights(f"the token may not {what} on {where}: {said} ({target.rights})")
        case HTTPStatus.NOT_FOUND:
            return CommentFailed(f"there is no {where}, or the token may not see it: {said}")
        case HTTPStatus.UNPROCESSABLE_ENTITY:
            return CommentFailed(
                f"GitHub does not take what was to be written to {where}: {said}; nothing was written"
            )
    return CommentFailed(f"GitHub failed to {what} on {where} ({error.status}): {said}; run it again later")


def _said(error: GithubException) -> str:
    """GitHub's own words, with the details of a validation."""
    data = error.data
    if not isinstance(data, dict):
        return str(data or error.message or "no reason given")[:300]
    details = [
        str(entry.get("message") or f"{entry.get('field')}: {entry.get('code')}")
        if isinstance(entry, dict)
        else str(entry)
        for entry in data.get("errors") or []
    ]
    return ": ".join(
        [str(data.get("message") or "no reason given"), *([", ".join(details)] if details else [])]
    )[:500]


def _unreachable(target: Target, error: requests.RequestException) -> CommentFailed:
    kind = "did not answer in time" if isinstance(error, requests.Timeout) else "can't be reached"
    if isinstance(error, requests.exceptions.RetryError):
        kind = f"failed {RETRIES + 1} times"
    cause = re.sub(r"^.*(Caused by|Error\()", "", str(error))[:200].replace(target.token, "[secret]")
    return CommentFailed(f"GitHub ({target.api_url}) {kind}: {cause.strip(' )(')}; run it again later")
