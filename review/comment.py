"""One comment per stack on a pull request, found by its hidden marker and updated in place.

A pull request from a fork gets a token that may not comment: the report then goes to the job's summary.
GitHub's REST API: https://docs.github.com/en/rest/issues/comments.
"""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from github.Issue import Issue
from github.IssueComment import IssueComment

from review.errors import CommentFailed, NoRights
from review.github_calls import Target, asked, client, is_by, login_of, made_once, same
from review.markdown import LIMIT, marker

Say = Callable[[str], None]
Outcome = Literal["created", "updated", "unchanged", "summary"]

_LARGEST_BODY = 65_536


@dataclass(frozen=True, kw_only=True, repr=False)
class PullRequest(Target):
    """Where to comment. summary: the file whose content GitHub shows as the job's summary."""

    number: int
    summary: Path | None = None

    @property
    def where(self) -> str:
        """As people write it: owner/name#12."""
        return f"{self.repository}#{self.number}"

    @property
    def rights(self) -> str:
        """What the token needs."""
        return "a fork's token may not; else give the job `permissions: pull-requests: write`"


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
        try:
            with target.summary.open("a", encoding="utf-8") as summary:
                summary.write(f"{body}\n")
        except OSError as failure:
            raise CommentFailed(f"{error}. Nor can the job's summary be written: {failure}") from None
        say(f"{error}. The report of {stack} is in the job's summary instead")
        return "summary"
    say(f"The comment of {stack} on {target.where}: {outcome}")
    return outcome


def _comment(target: PullRequest, stack: str, body: str) -> Outcome:
    github = client(target)
    try:
        issue = github.get_repo(target.repository).get_issue(target.number)
        login = login_of(github, target)

        def look() -> IssueComment | None:
            return asked(target, "read its comments", lambda: _ours(issue, stack, login))

        found = look()
        if found is None:
            made_once(target, "comment", lambda: issue.create_comment(body), look, body)
            return "created"
        if same(found.body, body):
            return "unchanged"
        asked(target, "update the comment", lambda: found.edit(body))
        return "updated"
    finally:
        github.close()


def _ours(issue: Issue, stack: str, login: str | None) -> IssueComment | None:
    """The oldest comment with the marker that this token has written.

    Anybody can write the marker; who has written a comment can change it, also after a report is put there.
    """
    for comment in issue.get_comments():
        if is_by(comment.user, login) and (comment.body or "").startswith(marker(stack)):
            return comment
    return None


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
