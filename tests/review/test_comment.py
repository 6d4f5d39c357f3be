"""One comment per stack, updated in place; whatever GitHub answers, nothing is half done."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from review.comment import PullRequest, of_environment, publish
from review.errors import CommentFailed, NoRights
from review.markdown import marker
from tests.review.github import TOKEN, Answer, GitHub, serving

COMMENTS = "/issues/12/comments"
FORBIDDEN = Answer(status=403, body={"message": "Resource not accessible by integration"})


@pytest.fixture
def github() -> Iterator[GitHub]:
    with serving(GitHub()) as server:
        yield server


def target(
    github: GitHub, *, token: str = TOKEN, summary: Path | None = None, number: int = 12
) -> PullRequest:
    return PullRequest(
        repository="shop/platform",
        number=number,
        token=token,
        api_url=github.url,
        summary=summary,
        backoff_seconds=0.01,
    )


def body(text: str, stack: str = "prod") -> str:
    return f"{marker(stack)}\n\n{text}\n"


def posted(github: GitHub) -> list[str]:
    return [comment["body"] for comment in github.comments]


def writes(github: GitHub) -> list[str]:
    return [method for method, _ in github.calls if method != "GET"]


def said(_: str) -> None:
    """Nobody listens."""


def test_the_first_report_is_a_comment_and_the_next_one_takes_its_place(github: GitHub) -> None:
    assert publish(target(github), "prod", body("one"), said) == "created"
    assert publish(target(github), "prod", body("two"), said) == "updated"
    assert posted(github) == [body("two")]


def test_each_stack_has_a_comment_of_its_own(github: GitHub) -> None:
    for stack in ("prod", "prod-eu"):
        publish(target(github), stack, body(stack, stack), said)
    publish(target(github), "prod", body("again"), said)
    assert posted(github) == [body("again"), body("prod-eu", "prod-eu")]


def test_a_report_that_says_the_same_is_not_written_again(github: GitHub) -> None:
    github.add(body("one").replace("\n", "\r\n"))
    assert publish(target(github), "prod", body("one"), said) == "unchanged"
    assert writes(github) == []


def test_it_is_found_behind_hundreds_of_others(github: GitHub) -> None:
    for number in range(230):
        github.add(f"comment {number}", kind="User")
    github.add(body("one"))
    assert publish(target(github), "prod", body("two"), said) == "updated"
    assert len(github.comments) == 231


def test_a_marker_in_somebody_elses_comment_is_not_taken_for_ours(github: GitHub) -> None:
    github.add(body("all is well, merge me"), author="mallory", kind="User")
    github.add(f"look: {body('quoted')}")
    assert publish(target(github), "prod", body("two"), said) == "created"
    assert posted(github)[0] == body("all is well, merge me"), "its author could change what it says"


def test_a_persons_token_finds_that_persons_comment(github: GitHub) -> None:
    github.login = "ada"
    github.add(body("a bot's"), author="renovate[bot]")
    github.add(body("one"), author="ada", kind="User")
    assert publish(target(github), "prod", body("two"), said) == "updated"
    assert posted(github) == [body("a bot's"), body("two")]


@pytest.mark.parametrize(("method", "end"), [("POST", COMMENTS), ("PATCH", "/comments/1"), ("GET", COMMENTS)])
def test_without_rights_the_report_goes_to_the_jobs_summary(
    github: GitHub, tmp_path: Path, method: str, end: str
) -> None:
    if method == "PATCH":
        github.add(body("one"))
    github.faults[method, end] = [FORBIDDEN]
    summary, lines = tmp_path / "summary.md", list[str]()
    summary.write_text("what was there\n")
    assert publish(target(github, summary=summary), "prod", body("two"), lines.append) == "summary"
    assert summary.read_text() == "what was there\n" + body("two") + "\n"
    assert "Resource not accessible by integration" in lines[-1]
    assert "in the job's summary instead" in lines[-1]
    assert body("two") not in posted(github)


def test_without_rights_and_without_a_summary_it_fails(github: GitHub) -> None:
    github.faults["POST", COMMENTS] = [FORBIDDEN]
    with pytest.raises(NoRights, match="pull-requests: write"):
        publish(target(github), "prod", body("x"), said)


def test_what_github_does_not_take_is_told_in_its_words(github: GitHub, tmp_path: Path) -> None:
    refusal = {"message": "Validation Failed", "errors": [{"message": "body is too long"}]}
    github.faults["POST", COMMENTS] = [Answer(status=422, body=refusal)]
    with pytest.raises(CommentFailed, match="Validation Failed: body is too long") as failure:
        publish(target(github, summary=tmp_path / "s"), "prod", body("x"), said)
    assert not isinstance(failure.value, NoRights)
    assert not (tmp_path / "s").exists(), "a mistake is not hidden in a summary"
    assert posted(github) == []


def test_a_failing_server_is_asked_again(github: GitHub) -> None:
    github.add(body("one"))
    broken = Answer(status=502, body={"message": "Server Error"})
    github.faults["GET", COMMENTS] = [broken, broken]
    github.faults["PATCH", "/comments/1"] = [broken]
    assert publish(target(github), "prod", body("two"), said) == "updated"
    assert posted(github) == [body("two")]


def test_a_server_that_keeps_failing_is_given_up_and_the_comment_is_as_it_was(github: GitHub) -> None:
    github.add(body("one"))
    github.faults["PATCH", "/comments/1"] = [Answer(status=500, body={"message": "Server Error"})] * 10
    with pytest.raises(CommentFailed, match="run it again later"):
        publish(target(github), "prod", body("two"), said)
    assert posted(github) == [body("one")]
    assert writes(github) == ["PATCH"] * 4


def test_a_comment_that_was_made_though_the_answer_was_an_error_is_not_made_twice(github: GitHub) -> None:
    github.faults["POST", COMMENTS] = [Answer(status=500, body={"message": "Server Error"}, lands=True)]
    assert publish(target(github), "prod", body("one"), said) == "created"
    assert posted(github) == [body("one")]


def test_a_create_that_failed_is_not_tried_again_blindly(github: GitHub) -> None:
    github.faults["POST", COMMENTS] = [Answer(status=500, body={"message": "Server Error"})]
    with pytest.raises(CommentFailed, match="500"):
        publish(target(github), "prod", body("one"), said)
    assert writes(github) == ["POST"]


def test_a_limit_that_takes_too_long_is_told(github: GitHub, tmp_path: Path) -> None:
    limit = {"message": "API rate limit exceeded for installation."}
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4102444800"}
    github.faults["GET", COMMENTS] = [Answer(status=403, body=limit, headers=headers)]
    with pytest.raises(CommentFailed, match="limit of calls is reached") as failure:
        publish(target(github, summary=tmp_path / "s"), "prod", body("x"), said)
    assert not isinstance(failure.value, NoRights), (
        "it is no question of rights, and the comment would be stale"
    )


def test_a_wrong_token_is_told_and_not_shown(github: GitHub) -> None:
    with pytest.raises(CommentFailed, match="does not know the token") as failure:
        publish(target(github, token="ghs_another-made-up"), "prod", body("x"), said)  # noqa: S106 - made up
    assert "another-made-up" not in str(failure.value)


def test_a_pull_request_that_is_not_there_is_told(github: GitHub) -> None:
    with pytest.raises(CommentFailed, match="there is no shop/platform#13"):
        publish(target(github, number=13), "prod", body("x"), said)


def test_no_network_is_told(github: GitHub) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        github.url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CommentFailed, match=r"can't be reached.*run it again later"):
            publish(target(github), "prod", body("x"), said)


def test_what_is_too_long_for_github_is_not_even_sent(github: GitHub) -> None:
    with pytest.raises(CommentFailed, match="65,536"):
        publish(target(github), "prod", body("x" * 70_000), said)
    assert github.calls == []


def test_a_body_without_the_marker_is_a_mistake_of_the_caller(github: GitHub) -> None:
    with pytest.raises(ValueError, match="has to start with"):
        publish(target(github), "prod", "hello", said)


def test_the_token_is_in_no_representation(github: GitHub) -> None:
    assert TOKEN not in repr(target(github))


def test_a_job_knows_its_pull_request_by_its_event_and_by_its_ref(tmp_path: Path) -> None:
    event = tmp_path / "event.json"
    event.write_text(json.dumps({"pull_request": {"number": 7}}))
    variables = {"GITHUB_REPOSITORY": "shop/platform", "GITHUB_TOKEN": TOKEN, "GITHUB_STEP_SUMMARY": "s.md"}
    found = of_environment({**variables, "GITHUB_EVENT_PATH": str(event)})
    assert (found.number, found.api_url, found.summary) == (7, "https://api.github.com", Path("s.md"))
    assert of_environment({**variables, "GITHUB_REF": "refs/pull/9/merge"}).number == 9
    assert of_environment(variables, 3).number == 3


@pytest.mark.parametrize(
    ("variables", "missing"),
    [
        ({"GITHUB_TOKEN": "t", "GITHUB_REF": "refs/pull/9/merge"}, "GITHUB_REPOSITORY"),
        ({"GITHUB_REPOSITORY": "a/b", "GITHUB_REF": "refs/pull/9/merge"}, "GITHUB_TOKEN"),
        ({"GITHUB_REPOSITORY": "a/b", "GITHUB_TOKEN": "t", "GITHUB_REF": "refs/heads/main"}, "number"),
    ],
)
def test_a_job_that_does_not_know_is_told_what_is_missing(variables: dict[str, str], missing: str) -> None:
    with pytest.raises(CommentFailed, match=missing):
        of_environment(variables)
