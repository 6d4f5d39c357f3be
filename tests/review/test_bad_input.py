"""Whatever is wrong, the real command says it in one message and ends; no hang, nothing half-done."""

import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from subprocess import DEVNULL, PIPE, Popen
from threading import Thread

import pytest
import yaml

from tests.cloud.commands import Said
from tests.review.checkout import STACK, Checkout, checkout
from tests.review.github import TOKEN, Answer, GitHub
from tests.review.github import serving as github_serving
from tests.review.provider import Provider

pytestmark = pytest.mark.cloud

# What waits for AWS gives up within this, on a busy machine.
BOUNDED_SECONDS = 400
FORBIDDEN = Answer(status=403, body={"message": "Resource not accessible by integration"})
PULL_REQUEST = {"GITHUB_REPOSITORY": "shop/platform", "GITHUB_TOKEN": TOKEN}


@pytest.fixture
def place(endpoint: str, tmp_path: Path, real_engine: object) -> Iterator[Checkout]:  # noqa: ARG001 - it has to be there
    """A checkout in which nothing is wrong yet."""
    with checkout(tmp_path / "checkout", Provider(), endpoint) as made:
        made.declares(first={"value": "x"})
        yield made


def told(said: Said, status: int, *words: str) -> None:
    """One message with these words, this status, and no sign of a crash."""
    assert said.status == status, said.text
    assert "Traceback" not in said.text
    for each in words:
        assert re.search(each, said.out + said.err), f"{each!r} is to be told, in:\n{said.text}"


def all_of(place: Checkout, commands: Sequence[Sequence[str]]) -> list[Said]:
    """Runs commands side by side."""
    with ThreadPoolExecutor(max_workers=3) as pool:
        return list(pool.map(lambda command: place.switchyard(*command), commands))


def untouched(place: Checkout) -> None:
    """Nothing was made, kept or left."""
    assert place.provider.things == {}
    assert not list(place.locks.glob("*.json")) if place.locks.exists() else True
    assert place.left_behind() == []


def test_an_unknown_stack_is_told_with_those_that_there_are(place: Checkout) -> None:
    refused = [
        ("up", "--stack", "nowhere"),
        ("unlock", "--stack", "nowhere"),
        ("recover", "--stack", "nowhere"),
        ("updates", "--stack", "nowhere"),
        ("render", "--stack", "nowhere"),
        ("cost", "--stack", "nowhere"),
        ("drift", "--stack", "nowhere"),
        ("preview", "--stack", "nowhere"),
        ("review", "up", "--pr", "7", "--base", "nowhere"),
    ]
    for command, said in zip(refused, all_of(place, refused), strict=True):
        told(said, 3 if command[0] == "up" else 1, r"there is no Pulumi\.nowhere\.yaml; the stacks are: dev")
    assert sorted(path.name for path in place.folder.glob("Pulumi*.yaml")) == [
        "Pulumi.dev.yaml",
        "Pulumi.yaml",
    ]
    untouched(place)


def test_a_mistake_in_the_yaml_is_told_with_its_file_and_place(place: Checkout) -> None:
    broken = place.file.read_text() + "  switchyard:oops: [unclosed\n"
    place.file.write_text(broken)
    commands = [(name, "--stack", STACK) for name in ("up", "unlock", "render", "cost", "drift", "preview")]
    for command, said in zip(commands, all_of(place, commands), strict=True):
        told(said, 3 if command[0] == "up" else 1, r"Pulumi\.dev\.yaml", r"line \d+")
    assert place.file.read_text() == broken
    untouched(place)


@pytest.mark.parametrize("wrong", ["no credentials", "another account", "no answer"])
def test_who_is_not_let_in_is_told_before_anything(place: Checkout, wrong: str) -> None:
    words = ["AWS does not say which account this is"]
    if wrong == "no credentials":
        place.variables |= {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
        words.append("sign in")
    elif wrong == "no answer":
        place.variables["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{closed_port()}"
        words.append("Could not connect")
    else:
        settings = yaml.safe_load(place.file.read_text())
        settings["config"]["switchyard:accounts"] = ["999999999999"]
        place.file.write_text(yaml.safe_dump(settings))
        words = ["these credentials are for account 123456789012", "may only go to 999999999999"]
    commands = [(name, "--stack", STACK) for name in ("up", "unlock", "recover", "preview")]
    for command, said in zip(commands, all_of(place, commands), strict=True):
        told(said, 3 if command[0] == "up" else 1, *words)
    untouched(place)


def closed_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def test_an_aws_that_never_answers_is_given_up(place: Checkout) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        place.variables["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{silent.getsockname()[1]}"
        began = time.monotonic()
        commands = [(name, "--stack", STACK) for name in ("up", "preview")]
        for command, said in zip(commands, all_of(place, commands), strict=True):
            told(said, 3 if command[0] == "up" else 1, "does not say which account", "[Tt]ime")
        assert time.monotonic() - began < BOUNDED_SECONDS
    untouched(place)


def test_a_state_that_never_answers_is_given_up_by_who_looks_for_locks(place: Checkout) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(64)
        store = f"127.0.0.1:{silent.getsockname()[1]}"
        place.variables["PULUMI_BACKEND_URL"] = (
            f"s3://state?region=eu-west-1&endpoint=http://{store}&s3ForcePathStyle=true"
        )
        for name, status in (("up", 3), ("unlock", 1)):
            told(
                place.switchyard(name, "--stack", STACK, seconds=BOUNDED_SECONDS),
                status,
                r"s3://state/\.pulumi/locks/.* can't be read: .*[Tt]imeout",
            )
    untouched(place)


DYING = """
import os, signal, sys, time
from tests.review.provider import Provider, serving

class Dying(Provider):
    def {method}(self, request, context):
        if not {in_preview} and getattr(request, "preview", False):
            return super().{method}(request, context)
        os.kill(os.getpid(), signal.SIGKILL)

with serving(Dying()) as provider:
    print(provider.port, flush=True)
    time.sleep(600)
"""


@contextmanager
def dying_provider(method: str, *, in_preview: bool) -> Iterator["Popen[str]"]:
    """A provider in a process of its own that is killed as it is asked for this."""
    root = str(Path(__file__).parents[2])
    process = Popen(
        [sys.executable, "-c", DYING.format(method=method, in_preview=in_preview)],
        env={**os.environ, "PYTHONPATH": root},
        stdin=DEVNULL,
        stdout=PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def test_a_provider_that_is_killed_is_a_failure_that_is_told_and_the_next_up_goes_on(place: Checkout) -> None:
    place.make_table()
    alive = place.provider.port
    for method, command, status, words in (
        ("Check", "preview", 1, "the preview failed"),
        ("Check", "up", 3, "nothing was done"),
        ("Create", "up", 1, "was not brought to its plan. Done: nothing"),
    ):
        with dying_provider(method, in_preview=method == "Check") as process:
            assert process.stdout is not None
            place.provider.port = int(process.stdout.readline())
            said = place.switchyard(command, "--stack", STACK, seconds=BOUNDED_SECONDS)
            assert process.wait(5) == -signal.SIGKILL, "it was to be killed in the middle"
            told(said, status, words)
        untouched(place)
    place.provider.port = alive
    (failed,) = place.switchyard("updates", "--stack", STACK, "--json").json
    assert (failed["outcome"], failed["counts"]) == ("failed", {})
    again = place.switchyard("up", "--stack", STACK)
    assert again.status == 0, again.text
    assert len(place.provider.things) == 1


def test_a_file_that_cannot_be_written_is_told_and_what_was_there_stays(place: Checkout) -> None:
    before = place.folder / "before.md"
    before.write_text("what was there\n")
    before.chmod(0o444)
    (place.folder / "folder.md").mkdir()
    commands = [
        ("preview", "--stack", STACK, "--format", "markdown", "--out", "missing/report.md"),
        ("render", "--stack", STACK, "--out", "missing/main.tf.json"),
        ("render", "--stack", STACK, "--out", "folder.md"),
        ("render", "--stack", STACK, "--out", "/dev/full"),
        ("preview", "--stack", STACK, "--format", "json", "--out", "/dev/full"),
    ]
    for command, said in zip(commands, all_of(place, commands), strict=True):
        told(said, 1, f"--out {re.escape(command[-1])} can't be written")
    assert before.read_text() == "what was there\n"
    assert not (place.folder / "missing").exists()
    untouched(place)


def test_plans_that_cannot_be_kept_and_digests_that_are_none_are_told(place: Checkout) -> None:
    (place.folder / "file").write_text("no folder")
    place.variables["SWITCHYARD_PLANS"] = str(place.folder / "file")
    told(place.switchyard("preview", "--stack", STACK), 1, "can't be kept in .*/file: ", "SWITCHYARD_PLANS")
    for garbage in ("", "latest", "../../etc/passwd", "f" * 63):
        told(place.switchyard("up", "--stack", STACK, "--plan", garbage), 3, "is no digest of a plan")
    told(place.switchyard("up", "--stack", STACK, "--lock-wait", "soon"), 2, "is no length of time")
    untouched(place)


class Torn(BaseHTTPRequestHandler):
    """Ends each answer in its middle."""

    def do_GET(self) -> None:
        body = json.dumps({"login": "ada", "type": "User"}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2])
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def test_a_github_that_tears_its_answer_is_told(place: Checkout) -> None:
    server = HTTPServer(("127.0.0.1", 0), Torn)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        place.variables |= {**PULL_REQUEST, "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}"}
        said = place.switchyard("comment", "--stack", STACK, "--pr", "12", seconds=BOUNDED_SECONDS)
        told(said, 1, r"GitHub \(http://127.0.0.1:\d+\) ")
        assert TOKEN not in said.text
    finally:
        server.shutdown()
        server.server_close()


def test_a_github_that_refuses_is_told_by_the_command_and_nothing_is_commented(place: Checkout) -> None:
    with github_serving(GitHub()) as github:
        place.variables |= {**PULL_REQUEST, "GITHUB_API_URL": github.url, "GITHUB_TOKEN": "ghp_wrong"}
        said = place.switchyard("comment", "--stack", STACK, "--pr", "12")
        told(said, 1, r"GitHub does not know the token \(GITHUB_TOKEN\)")
        assert "ghp_wrong" not in said.text
        place.variables["GITHUB_TOKEN"] = None
        told(place.switchyard("comment", "--stack", STACK, "--pr", "12"), 1, "GITHUB_TOKEN .*must be known")
        place.variables |= {"GITHUB_TOKEN": TOKEN, "GITHUB_STEP_SUMMARY": str(place.folder / "none" / "x.md")}
        github.comments.clear()
        github.faults["POST", "/issues/12/comments"] = [FORBIDDEN]
        said = place.switchyard("comment", "--stack", STACK, "--pr", "12")
        told(said, 1, "the token may not comment", "Nor can the job's summary be written")
        for status, words in (
            (422, "GitHub does not take what was to be written .* nothing was written"),
            (500, r"GitHub failed to comment on .* \(500\): .* run it again later"),
        ):
            github.faults["POST", "/issues/12/comments"] = [
                Answer(status=status, body={"message": f"said with {TOKEN}"})
            ]
            said = place.switchyard("comment", "--stack", STACK, "--pr", "12")
            told(said, 1, words)
            assert TOKEN not in said.text
        assert github.comments == []
