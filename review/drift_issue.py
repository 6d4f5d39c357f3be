"""One GitHub issue per stack that tells what drifted, updated in place, closed when the drift is gone.

It is found by its hidden marker among the open issues of the token's own: anybody can write the marker.
GitHub's REST API: https://docs.github.com/en/rest/issues/issues.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

from github.Issue import Issue
from github.Repository import Repository

from review.errors import CommentFailed
from review.escaping import code
from review.github_calls import Target, asked, client, is_by, login_of, made_once, same
from review.markdown import render_drift
from review.report import Report

Say = Callable[[str], None]
Outcome = Literal["created", "updated", "unchanged", "closed", "none"]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What was done: `none` if there was nothing to tell and no issue. number: the issue's."""

    outcome: Outcome
    number: int | None = None


def of_environment(variables: Mapping[str, str]) -> Target:
    """The repository that a GitHub job runs for. Raises CommentFailed for what is missing."""
    missing = [name for name in ("GITHUB_REPOSITORY", "GITHUB_TOKEN") if not variables.get(name)]
    if missing:
        raise CommentFailed(
            f"to open an issue, {' and '.join(missing)} must be known: in a workflow, pass "
            "GITHUB_TOKEN: ${{ github.token }} in the step's env; elsewhere, set them yourself"
        )
    return Target(
        repository=variables["GITHUB_REPOSITORY"],
        token=variables["GITHUB_TOKEN"],
        api_url=variables.get("GITHUB_API_URL") or "https://api.github.com",
    )


def marker(stack: str) -> str:
    """The hidden line by which the issue of a stack is found again."""
    return f"<!-- switchyard:drift:{stack} -->"


def tell(target: Target, report: Report, say: Say) -> Told:
    """Makes the stack's issue say what drifted, or closes it. Raises CommentFailed, NoRights among them.

    Raises ValueError for a report without a plan: who could not look knows nothing of drift.
    """
    if report.plan is None:
        raise ValueError(f"nothing is known of the drift of {report.stack}: its preview has failed")
    github = client(target)
    try:
        repository = github.get_repo(target.repository)
        login = login_of(github, target)

        def look() -> Issue | None:
            return asked(target, "read its issues", lambda: _ours(repository, report.stack, login))

        told = _write(target, repository, report, look)
    finally:
        github.close()
    if told.number is not None:
        say(f"The issue of {report.stack}, {target.repository}#{told.number}: {told.outcome}")
    return told


def title(stack: str) -> str:
    """The issue's title."""
    return f"Drift in stack {stack}"


def body(report: Report) -> str:
    """The issue's text. It has no date: the same drift is the same text."""
    stack = report.stack
    return render_drift(
        report,
        f"{marker(stack)}\n\nSomebody changed {code(stack)} outside the program. "
        f"`switchyard preview --refresh --stack {stack}` shows it again. Bring it into the program, or let "
        f"`switchyard up --stack {stack}` put it back. This issue follows what the next check finds, and is "
        "closed when nothing is left.",
    )


def _write(target: Target, repository: Repository, report: Report, look: Callable[[], Issue | None]) -> Told:
    found = look()
    if not report.outside:
        if found is None:
            return Told(outcome="none")
        asked(target, "close the issue", lambda: found.edit(state="closed", state_reason="completed"))
        return Told(outcome="closed", number=found.number)
    text = body(report)
    if found is None:
        about = title(report.stack)
        made = made_once(
            target, "open an issue", lambda: repository.create_issue(about, body=text), look, text
        )
        return Told(outcome="created", number=made.number)
    if same(found.body, text):
        return Told(outcome="unchanged", number=found.number)
    asked(target, "update the issue", lambda: found.edit(body=text))
    return Told(outcome="updated", number=found.number)


def _ours(repository: Repository, stack: str, login: str | None) -> Issue | None:
    """The oldest open issue with the marker that this token has written."""
    for issue in repository.get_issues(state="open", sort="created", direction="asc"):
        ours = (issue.body or "").startswith(marker(stack)) and is_by(issue.user, login)
        # Last: where a list does not say that it is a pull request, each is asked for by itself.
        if ours and issue.pull_request is None:
            return issue
    return None
