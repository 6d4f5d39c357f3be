"""One comment per stack on a pull request, found by its hidden marker and updated in place.

A pull request from a fork gets a token that may not comment: the report then goes to the job's summary.
GitHub's REST API: https://docs.github.com/en/rest/issues/comments.
"""

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Literal, TypeVar

import requests
from github import Auth, Github, GithubException, GithubRetry, RateLimitExceededException
from github.Issue import Issue
from github.IssueComment import IssueComment

from review.errors import CommentFailed, NoRights
from review.markdown import LIMIT, marker

Say = Callable[[str], None]
Outcome = Literal["created", "updated", "unchanged", "summary"]
Result = TypeVar("Result")

TIMEOUT_SECONDS = 20
RETRIES = 3
# A job that waits longer for GitHub's limits costs more than running it again.
LONGEST_WAIT_SECONDS = 60.0
_LARGEST_BODY = 65_536

# It writes every refused call to standard error; what matters of that is told here, once.
logging.getLogger("github").setLevel(logging.ERROR)


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """Where to comment.

    repository: owner/name.
    summary: the file whose content GitHub shows as the job's summary.
    backoff_seconds: the first pause before a failed call is repeated; the next are twice as long.
    """

    repository: str
    number: int
    token: str
    api_url: str = "https://api.github.com"
    summary: Path | None = None
    backoff_seconds: float = 1.0

    def __repr__(self) -> str:
        return f"PullRequest({self.repository}#{self.number})"


def of_environment(variables: Mapping[str, str], number: int | None = None) -> PullRequest:
    """The pull request that a GitHub job runs for. Raises CommentFailed for what is missing.

    https://docs.github.com/en/actions/reference/workflows-and-actions/variables
    """
    number = number or _number(variables)
    missing = [name for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN") if not variables.get(name)]
    if missing or not number:
        what = ", ".join([*missing, *([] if number else ["the pull request's number"])])
        raise CommentFailed(
            f"to comment, {what} must be known: in a workflow, run on `pull_request` and pass "
            "GITHUB_TOKEN: ${{ github.token }} in the step's env; elsewhere, set them yourself"
        )
    summary = variables.get("GITHUB_STEP_SUMMARY")
    return PullRequest(
        repository=variables["GITHUB_REPOSITORY"],
        number=number,
        token=variables["GITHUB_TOKEN"],
        api_url=variables.get("GITHUB_API_URL") or "https://api.github.com",
        summary=Path(summary) if summary else None,
    )


def publish(target: PullRequest, stack: str, body: str, say: Say) -> Outcome:
    """Makes the stack's comment say `body`, and returns what was done. Raises CommentFailed.

    Without the right to comment the job's summary gets it; NoRights if there is none.
    """
    if not body.startswith(marker(stack)):
        raise ValueError(f"the comment of stack {stack} has to start with {marker(stack)}")
    if len(body) > _LARGEST_BODY:
        raise CommentFailed(
            f"the comment has {len(body):,} characters, GitHub takes {_LARGEST_BODY:,}; "
            f"render it with a limit of {LIMIT:,} or less"
        )
    try:
        outcome = _comment(target, stack, body)
    except NoRights as error:
        if target.summary is None:
            raise
        with target.summary.open("a", encoding="utf-8") as summary:
            summary.write(f"{body}\n")
        say(f"{error}. The report of {stack} is in the job's summary instead")
        return "summary"
    say(f"The comment of {stack} on {target.repository}#{target.number}: {outcome}")
    return outcome


def _comment(target: PullRequest, stack: str, body: str) -> Outcome:
    github = Github(
        auth=Auth.Token(target.token),
        base_url=target.api_url.rstrip("/"),
        timeout=TIMEOUT_SECONDS,
        per_page=100,
        retry=_retries(target),
        user_agent="switchyard",
        # Else each step of the way to the comments is a call of its own.
        lazy=True,
    )
    try:
        issue = github.get_repo(target.repository).get_issue(target.number)
        login = _login(github, target)
        found = _asked(target, "read its comments", lambda: _ours(issue, stack, login))
        if found is None:
            return _create(target, issue, stack, body, login)
        if _same(found.body, body):
            return "unchanged"
        _asked(target, "update the comment", lambda: found.edit(body))
        return "updated"
    finally:
        github.close()


def _create(target: PullRequest, issue: Issue, stack: str, body: str, login: str | None) -> Outcome:
    """A create is not repeated blindly: after an error it may be there all the same."""
    try:
        _asked(target, "comment", lambda: issue.create_comment(body))
    except NoRights:
        raise
    except CommentFailed:
        there = _asked(target, "read its comments", lambda: _ours(issue, stack, login))
        if there is None or not _same(there.body, body):
            raise
    return "created"


def _retries(target: PullRequest) -> GithubRetry:
    return GithubRetry(
        total=RETRIES,
        backoff_factor=target.backoff_seconds,
        secondary_rate_wait=min(LONGEST_WAIT_SECONDS, 60 * target.backoff_seconds),
        max_rate_limit_wait=LONGEST_WAIT_SECONDS,
        # Creating a comment twice makes two.
        allowed_methods={"GET", "PATCH"},
        respect_retry_after_header=False,
    )


def _login(github: Github, target: PullRequest) -> str | None:
    """Whose token it is; None for one of an app, such as a job's own, which may not ask."""
    try:
        return github.get_user().login
    except GithubException as error:
        if error.status in (HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND):
            return None
        raise _failed(target, "ask whose token this is", error) from None
    except requests.RequestException as error:
        raise _unreachable(target, error) from None


def _ours(issue: Issue, stack: str, login: str | None) -> IssueComment | None:
    """The oldest comment with the marker that this token has written.

    Anybody can write the marker; who has written a comment can change it, also after a report is put there.
    """
    for comment in issue.get_comments():
        ours = comment.user.login == login if login else comment.user.type == "Bot"
        if ours and (comment.body or "").startswith(marker(stack)):
            return comment
    return None


def _same(one: str | None, other: str) -> bool:
    """GitHub ends lines its own way."""
    return (one or "").replace("\r\n", "\n").strip() == other.strip()


def _asked(target: PullRequest, what: str, call: Callable[[], Result]) -> Result:
    try:
        return call()
    except GithubException as error:
        raise _failed(target, what, error) from None
    except requests.RequestException as error:
        raise _unreachable(target, error) from None


def _failed(target: PullRequest, what: str, error: GithubException) -> CommentFailed:
    where = f"{target.repository}#{target.number}"
    said = _said(error).replace(target.token, "[secret]")
    if isinstance(error, RateLimitExceededException):
        return CommentFailed(
            f"GitHub's limit of calls is reached: {said}; {where} was not commented on, run it again later"
        )
    match error.status:
        case HTTPStatus.UNAUTHORIZED:
            return CommentFailed(
                f"GitHub does not know the token (GITHUB_TOKEN): {said}; give it a valid one"
            )
        case HTTPStatus.FORBIDDEN:
            return NoRights(
                f"the token may not {what} on {where}: {said} (a fork's token may not; else give the job "
                "`permissions: pull-requests: write`)"
            )
        case HTTPStatus.NOT_FOUND:
            return CommentFailed(f"there is no {where}, or the token may not see it: {said}")
        case HTTPStatus.UNPROCESSABLE_ENTITY:
            return CommentFailed(f"GitHub does not take the comment for {where}: {said}; nothing was written")
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


def _unreachable(target: PullRequest, error: requests.RequestException) -> CommentFailed:
    kind = "did not answer in time" if isinstance(error, requests.Timeout) else "can't be reached"
    if isinstance(error, requests.exceptions.RetryError):
        kind = f"failed {RETRIES + 1} times"
    cause = re.sub(r"^.*(Caused by|Error\()", "", str(error))[:200].replace(target.token, "[secret]")
    return CommentFailed(f"GitHub ({target.api_url}) {kind}: {cause.strip(' )(')}; run it again later")


def _number(variables: Mapping[str, str]) -> int | None:
    """From the event that started the job, else from its ref: refs/pull/12/merge."""
    event = variables.get("GITHUB_EVENT_PATH")
    if event and Path(event).is_file():
        try:
            found = json.loads(Path(event).read_text()).get("pull_request", {}).get("number")
        except (ValueError, AttributeError):
            found = None
        if isinstance(found, int):
            return found
    match = re.fullmatch(r"refs/pull/(\d+)/\w+", variables.get("GITHUB_REF", ""))
    return int(match[1]) if match else None
