"""One issue per stack, opened, updated and closed; whatever GitHub answers, nothing is half done."""

import socket
from collections.abc import Iterator

import pytest

from review import drift_issue
from review.drift_issue import Told, body, marker, of_environment, tell
from review.errors import CommentFailed, NoRights
from review.github_calls import Target
from review.markdown import LIMIT
from review.report import Report
from tests.review.events import SERVICE, ended, recorded, report_of, said, step
from tests.review.github import TOKEN, Answer, GitHub, serving

ISSUES = "/repos/shop/platform/issues"
FORBIDDEN = Answer(status=403, body={"message": "Resource not accessible by integration"})
BROKEN = Answer(status=500, body={"message": "Server Error"})


@pytest.fixture
def github() -> Iterator[GitHub]:
    with serving(GitHub()) as server:
        yield server


def target(github: GitHub, token: str = TOKEN) -> Target:
    return Target(repository="shop/platform", token=token, api_url=github.url, backoff_seconds=0.01)


def quiet(_: str) -> None:
    """Nobody listens."""


def moved(**values: object) -> Report:
    """Somebody has changed these properties of a service; nothing if there are none."""
    old = dict.fromkeys(values, "as declared")
    step_ = step("refresh", SERVICE, "api", old, values, event="resOutputsEvent")
    return report_of([step_, ended()], refreshed=True)


NOTHING = moved()


def writes(github: GitHub) -> list[tuple[str, str]]:
    return [call for call in github.calls if call[0] != "GET"]


def test_drift_opens_one_issue_and_the_next_night_updates_it(github: GitHub) -> None:
    first, second = moved(role="other"), moved(role="another")
    assert tell(target(github), first, quiet) == Told(outcome="created", number=101)
    assert tell(target(github), second, quiet) == Told(outcome="updated", number=101)
    (issue,) = github.issues
    assert (issue["title"], issue["state"]) == ("Drift in stack local", "open")
    assert issue["body"] == body(second)
    assert "another" in issue["body"]


def test_the_same_drift_is_not_written_again(github: GitHub) -> None:
    github.open("Drift in stack local", body(moved(role="other")).replace("\n", "\r\n"))
    assert tell(target(github), moved(role="other"), quiet) == Told(outcome="unchanged", number=101)
    assert writes(github) == []


def test_the_issue_is_closed_when_the_drift_is_gone_and_a_new_one_opened_when_it_comes_back(
    github: GitHub,
) -> None:
    tell(target(github), moved(role="other"), quiet)
    assert tell(target(github), NOTHING, quiet) == Told(outcome="closed", number=101)
    assert (github.issues[0]["state"], github.issues[0]["state_reason"]) == ("closed", "completed")
    assert "other" in github.issues[0]["body"], "what it was stays to be read"
    assert tell(target(github), moved(role="other"), quiet) == Told(outcome="created", number=102)


def test_without_drift_and_without_an_issue_nothing_is_written(github: GitHub) -> None:
    assert tell(target(github), NOTHING, quiet) == Told(outcome="none")
    assert writes(github) == []


def test_what_others_are_meant_to_write_opens_no_issue(github: GitHub) -> None:
    assert tell(target(github), moved(desiredCount=4), quiet) == Told(outcome="none")


def test_of_a_real_refresh_the_issue_tells_what_was_changed_and_nothing_of_the_weights() -> None:
    text = body(report_of(recorded("weight-shift"), refreshed=True))
    assert text.startswith(marker("local"))
    assert "monitoring-api" in text
    assert "retentionInDays" in text
    assert "api-production" not in text
    assert "<details>" not in text.partition("#### Changed")[0]


def test_an_issue_that_is_not_ours_is_left_alone(github: GitHub) -> None:
    report = moved(role="other")
    github.open("Drift", body(report), author="mallory", kind="User")
    github.open("quoted", f"look: {body(report)}")
    github.open("a pull request", body(report), pull_request={"url": "x"})
    github.open("Drift in stack prod", f"{marker('prod')}\n\nanother stack's")
    before = [dict(one) for one in github.issues]
    assert tell(target(github), report, quiet) == Told(outcome="created", number=105)
    assert github.issues[:4] == before, "who wrote an issue can change what it says"


def test_it_is_found_behind_hundreds_of_others(github: GitHub) -> None:
    for number in range(230):
        github.open(f"issue {number}", "x", kind="User")
    github.open("Drift in stack local", body(moved(role="other")))
    assert tell(target(github), moved(role="another"), quiet) == Told(outcome="updated", number=331)
    assert len(github.calls) == 6, "the token's owner, three pages, ours, and the update"


def test_a_persons_token_finds_that_persons_issue(github: GitHub) -> None:
    github.login = "ada"
    github.open("Drift in stack local", body(moved(role="other")))
    github.open("Drift in stack local", body(moved(role="other")), author="ada", kind="User")
    assert tell(target(github), NOTHING, quiet) == Told(outcome="closed", number=102)


def test_who_could_not_look_changes_no_issue(github: GitHub) -> None:
    github.open("Drift in stack local", body(moved(role="other")))
    with pytest.raises(ValueError, match="nothing is known"):
        tell(target(github), report_of([said("error", "no credentials")]), quiet)
    assert github.calls == []


@pytest.mark.parametrize(
    ("method", "end"), [("POST", ISSUES), ("PATCH", "/issues/101"), ("GET", ISSUES)], ids=lambda v: str(v)
)
def test_without_rights_it_fails_and_says_which(github: GitHub, method: str, end: str) -> None:
    if method == "PATCH":
        github.open("Drift in stack local", body(moved(role="other")))
    before = [dict(one) for one in github.issues]
    github.faults[method, end] = [FORBIDDEN]
    with pytest.raises(NoRights, match=r"Resource not accessible by integration.*issues: write"):
        tell(target(github), moved(role="another"), quiet)
    assert github.issues == before


def test_what_github_does_not_take_is_told_in_its_words(github: GitHub) -> None:
    refusal = {"message": "Validation Failed", "errors": [{"message": "issues are disabled"}]}
    github.faults["POST", ISSUES] = [Answer(status=422, body=refusal)]
    with pytest.raises(CommentFailed, match="Validation Failed: issues are disabled"):
        tell(target(github), moved(role="other"), quiet)
    assert github.issues == []


def test_a_failing_server_is_asked_again_and_a_create_is_not(github: GitHub) -> None:
    github.faults["GET", ISSUES] = [BROKEN, BROKEN]
    github.faults["POST", ISSUES] = [BROKEN]
    with pytest.raises(CommentFailed, match="500"):
        tell(target(github), moved(role="other"), quiet)
    assert writes(github) == [("POST", ISSUES)]
    assert tell(target(github), moved(role="other"), quiet) == Told(outcome="created", number=101)


def test_an_issue_that_was_opened_though_the_answer_was_an_error_is_not_opened_twice(github: GitHub) -> None:
    github.faults["POST", ISSUES] = [Answer(status=500, body={"message": "x"}, lands=True)]
    assert tell(target(github), moved(role="other"), quiet) == Told(outcome="created", number=101)
    assert len(github.issues) == 1


def test_a_server_that_keeps_failing_is_given_up_and_the_issue_is_as_it_was(github: GitHub) -> None:
    github.open("Drift in stack local", body(moved(role="other")))
    github.faults["PATCH", "/issues/101"] = [BROKEN] * 10
    with pytest.raises(CommentFailed, match="run it again later"):
        tell(target(github), NOTHING, quiet)
    assert github.issues[0]["state"] == "open"


def test_no_network_and_a_wrong_token_are_told(github: GitHub) -> None:
    with pytest.raises(CommentFailed, match="does not know the token") as failure:
        tell(target(github, token="ghs_another-made-up"), NOTHING, quiet)  # noqa: S106 - made up
    assert "another-made-up" not in str(failure.value)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        github.url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CommentFailed, match="can't be reached"):
            tell(target(github), NOTHING, quiet)


def test_a_thousand_changes_fit_into_an_issue() -> None:
    events = [
        step("refresh", SERVICE, f"api-{n}", {"role": "a"}, {"role": "b" * 200}, event="resOutputsEvent")
        for n in range(1000)
    ]
    text = body(report_of([*events, ended()], refreshed=True))
    assert len(text.encode()) <= LIMIT
    assert "more: " in text


def test_a_job_knows_its_repository_and_is_told_what_is_missing() -> None:
    found = of_environment({"GITHUB_REPOSITORY": "shop/platform", "GITHUB_TOKEN": TOKEN})
    assert (found.repository, found.api_url) == ("shop/platform", "https://api.github.com")
    assert TOKEN not in repr(found)
    with pytest.raises(CommentFailed, match="GITHUB_REPOSITORY and GITHUB_TOKEN"):
        of_environment({})
    assert drift_issue.title("prod") == "Drift in stack prod"
