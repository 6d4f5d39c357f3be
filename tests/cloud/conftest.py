"""Fixtures of the cloud tests. Every worker shares the one cloud that the first of them starts."""

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest

from localcloud import cloud
from localcloud.paths import WORKSPACE
from tests.cloud.stack import StackUnderTest

Begin = Callable[[str, str], StackUnderTest]


@pytest.fixture(scope="session")
def embedded_cloud() -> cloud.Cloud:
    """The running cloud."""
    WORKSPACE.mkdir(parents=True, exist_ok=True)
    with (WORKSPACE / "start.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return cloud.start(print)


@pytest.fixture(scope="module")
def begin(embedded_cloud: cloud.Cloud, tmp_path_factory: pytest.TempPathFactory) -> Begin:  # noqa: ARG001
    """Makes stacks in accounts of their own: begin("prod", "100000000003")."""

    def make(name: str, account: str) -> StackUnderTest:
        folder: Path = tmp_path_factory.mktemp(f"{name}-{account}") / "project"
        stack = StackUnderTest.create(folder, name, account)
        arn = stack.section("edge").get("certificate_arn")
        if arn:
            cloud.ensure_certificate(arn)
        return stack

    return make
