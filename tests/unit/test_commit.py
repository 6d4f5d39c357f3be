"""Which commit a release says that it is of."""

import subprocess
from pathlib import Path

import pytest

from switchyard.releases import commit_of_checkout


@pytest.fixture(autouse=True)
def no_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_SHA", "CI_COMMIT_SHA", "GIT_DIR"):
        monkeypatch.delenv(name, raising=False)


def git(folder: Path, *arguments: str) -> str:
    command = [
        "git",
        "-C",
        str(folder),
        "-c",
        "user.name=ann",
        "-c",
        "user.email=ann@example.com",
        *arguments,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_what_is_checked_out_is_found_also_where_git_has_packed_it(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    git(tmp_path, "commit", "-q", "--allow-empty", "-m", "one")
    head = git(tmp_path, "rev-parse", "HEAD")
    assert commit_of_checkout(tmp_path) == head
    git(tmp_path, "gc", "-q")
    assert commit_of_checkout(tmp_path) == head


def test_ci_knows_better_and_without_git_nobody_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert commit_of_checkout(tmp_path) is None
    monkeypatch.setenv("GITHUB_SHA", "abc123")
    assert commit_of_checkout(tmp_path) == "abc123"
    monkeypatch.delenv("GITHUB_SHA")
    monkeypatch.setenv("PATH", "")
    assert commit_of_checkout(tmp_path) is None
