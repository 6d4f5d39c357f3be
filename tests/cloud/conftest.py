"""Fixtures of the cloud tests. Every worker shares the one cloud that the first of them starts."""

import fcntl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from localcloud import cloud
from localcloud.paths import WORKSPACE
from tests.cloud.releases import COMPLETED, Checkout
from tests.cloud.releasing import AT_ONCE, settings
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


@pytest.fixture(scope="module")
def checkout(
    request: pytest.FixtureRequest,
    embedded_cloud: cloud.Cloud,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Checkout]:
    """A stack with its first release, in the module's ACCOUNT, by the module's `adjusted` settings."""
    adjust = getattr(request.module, "adjusted", settings)
    folder = tmp_path_factory.mktemp("releases") / "project"
    checkout = Checkout.create(folder, request.module.ACCOUNT, adjust)
    _, image = checkout.image()
    said = checkout.released(image, *AT_ONCE, "--bake", "0")
    assert said.status == COMPLETED, said.text
    yield checkout
    checkout.close()


@pytest.fixture
def tidy(checkout: Checkout) -> Iterator[None]:
    """Leaves no process and no release behind, also where a test fails."""
    yield
    checkout.close()
