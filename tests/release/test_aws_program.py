"""The program adapter with the real engine, on a project without any cloud resource."""

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pulumi.automation as auto
import pytest

from components.colours import Colour
from localcloud import engine
from localcloud.paths import BIN, WORKSPACE
from release.aws.program import PulumiProgram
from release.errors import NeedsPerson, ReleaseError, Unavailable

pytestmark = pytest.mark.cloud

PATIENCE_SECONDS = 60
COLOURS: dict[str, Colour] = {"api": "green"}
PROGRAM = """
import os, time
import pulumi

class Thing(pulumi.ComponentResource):
    def __init__(self, name):
        super().__init__("shop:index:Thing", name)
        self.register_outputs({})

Thing("api-blue")
mode = open("mode").read()
if mode == "fail":
    raise ValueError("planted: the subnet is full")
if mode == "wait":
    open("waiting", "w").close()
    while not os.path.exists("go"):
        time.sleep(0.05)
if mode in ("more", "ahead"):
    Thing("api-green")
    Thing("api-green-cpu")
if mode == "ahead":
    Thing("api-greenish")
    Thing("vpc")
"""


@dataclass
class Project:
    """A project folder, with a state folder of its own."""

    folder: Path
    opened: int = 0

    @property
    def program(self) -> PulumiProgram:
        return PulumiProgram("test", self.open)

    @contextmanager
    def open(self) -> Iterator[auto.Stack]:
        self.opened += 1
        yield auto.create_or_select_stack("test", work_dir=str(self.folder), opts=self.options())
        self.opened -= 1

    def options(self) -> auto.LocalWorkspaceOptions:
        environment = {
            "PATH": os.pathsep.join([str(BIN), os.environ["PATH"]]),
            "PULUMI_HOME": str(self.folder / "home"),
            "PULUMI_BACKEND_URL": f"file://{self.folder / 'state'}",
            "PULUMI_CONFIG_PASSPHRASE": "",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
        }
        command = auto.PulumiCommand(root=str(WORKSPACE)) if (BIN / "pulumi").exists() else None
        return auto.LocalWorkspaceOptions(env_vars=environment, pulumi_command=command)

    def will(self, mode: str) -> None:
        (self.folder / "mode").write_text(mode)

    def apply(self) -> list[str]:
        """What was said of one `pulumi up`."""
        said: list[str] = []
        self.program.apply(COLOURS, said.append)
        return said

    @property
    def locks(self) -> list[Path]:
        return list((self.folder / "state" / ".pulumi" / "locks").rglob("*.json"))


@pytest.fixture(scope="module", autouse=True)
def _engine() -> None:
    engine.ensure(lambda _: None)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    (tmp_path / "state").mkdir()
    runtime = {"name": "python", "options": {"virtualenv": sys.prefix}}
    (tmp_path / "Pulumi.yaml").write_text(json.dumps({"name": "shop", "runtime": runtime}))
    (tmp_path / "__main__.py").write_text(PROGRAM)
    made = Project(tmp_path)
    made.will("work")
    return made


def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.05)


def test_what_was_changed_is_said_and_what_stays_is_not(project: Project) -> None:
    project.apply()
    assert project.apply() == ["pulumi up of test"]
    project.will("more")
    assert sorted(project.apply()) == [
        "create: shop:index:Thing api-green",
        "create: shop:index:Thing api-green-cpu",
        "pulumi up of test",
    ]
    assert project.opened == 0, "what was opened is closed again"


def test_nothing_but_what_belongs_to_the_colours_is_applied_and_the_rest_is_told(project: Project) -> None:
    project.apply()
    assert list(project.program.unapplied({"api": "blue"})) == []
    project.will("ahead")
    left = [f"create shop:index:Thing {name}" for name in ("api-blue", "api-greenish", "vpc")]
    assert sorted(project.program.unapplied(COLOURS)) == left
    said = project.apply()
    assert [line for line in said if "api-greenish" in line or "vpc" in line] == []
    assert "create: shop:index:Thing api-green-cpu" in said
    assert sorted(project.program.unapplied(COLOURS)) == left, "it is still to be done"
    assert len(project.program.unapplied({})) == len(left)
    assert project.opened == 0, "what was opened is closed again"


def test_a_program_that_cant_be_previewed_says_why(project: Project) -> None:
    project.will("fail")
    with pytest.raises(ReleaseError, match="planted: the subnet is full"):
        project.program.unapplied(COLOURS)


def test_a_program_that_fails_ends_in_the_engines_own_words(project: Project) -> None:
    project.will("fail")
    with pytest.raises(ReleaseError, match="planted: the subnet is full") as failed:
        project.apply()
    assert str(failed.value).startswith("the program of stack test could not be applied:\n")
    assert "<{%" not in str(failed.value), "the engine's marks for colours are for terminals"


def test_while_somebody_else_updates_the_stack_it_is_unavailable_and_says_who_does(project: Project) -> None:
    project.apply()
    project.will("wait")
    other = threading.Thread(target=project.apply)
    other.start()
    try:
        until((project.folder / "waiting").exists, "the other update")
        with pytest.raises(Unavailable, match=r"somebody else is updating stack test: created by .*recover"):
            project.apply()
    finally:
        (project.folder / "go").touch()
        other.join()
    project.will("work")
    assert project.apply() == ["pulumi up of test"]


def test_what_an_interrupted_update_left_is_told_and_nothing_is_done_over_it(project: Project) -> None:
    project.apply()
    assert list(project.program.pending_operations()) == []
    state = project.folder / "state" / ".pulumi" / "stacks" / "shop" / "test.json"
    kept = json.loads(state.read_text())
    left = {
        "urn": "urn:pulumi:test::shop::aws:ecs/service:Service::api-green",
        "custom": True,
        "type": "aws:ecs/service:Service",
    }
    kept["checkpoint"]["latest"]["pending_operations"] = [
        {"resource": left, "type": kind} for kind in ("reading", "updating", "creating", "deleting")
    ]
    state.write_text(json.dumps(kept))
    assert list(project.program.pending_operations()) == ["creating aws:ecs/service:Service api-green"]
    project.will("more")
    said: list[str] = []
    with pytest.raises(NeedsPerson, match=r"creating aws:ecs/service:Service api-green; `switchyard recover"):
        project.program.apply(COLOURS, said.append)
    assert said == [], "nothing was begun"


def test_an_interrupt_lets_the_engine_end_and_leaves_no_lock(project: Project) -> None:
    project.apply()
    project.will("wait")

    def interrupt() -> None:
        until((project.folder / "waiting").exists, "the update")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        project.program.apply(COLOURS, said.append)
    assert said[-1] == "Interrupted: waiting for the engine to end what it has begun"
    assert project.locks == [], "a lock that stays would stop whoever resumes"
    running = [process for process in psutil.Process().children() if "pulumi" in process.name()]
    assert [process for process in running if process.status() != psutil.STATUS_ZOMBIE] == []
    project.will("work")
    assert project.apply() == ["pulumi up of test"]
