"""What an interrupted run left is decided one by one, in the real engine's state; the rest stays pending."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from review.apply import up
from switchyard import unlock
from switchyard.locks import StackLocked, locks
from switchyard.pending import Pending
from switchyard.recovery import exported
from switchyard.state_edit import NotEdited, edit
from switchyard.unlock import NotResolved, adopt, finish, forget, interrupted, named_operation
from tests.review.conftest import Project
from tests.review.test_apply import said, service, things

pytestmark = pytest.mark.cloud

QUEUE = "aws:sqs/queue:Queue"


class Cut:
    """A stack `test` with one service, whose next run was cut off in the middle."""

    def __init__(self, project: Project) -> None:
        self.project, self.engine = project, project.engine
        project.declares(api=service(cpu=1))
        up(project.request(), said)
        self.state = Path(project.engine.env_vars["PULUMI_BACKEND_URL"].removeprefix("file://"))
        self.file = self.state / ".pulumi/stacks/review/test.json"
        self.rewrite(self._cut_off)

    def rewrite(self, change: Callable[[dict[str, Any]], None]) -> None:
        """Writes the state as an engine that is killed leaves it."""
        document = json.loads(self.file.read_text())
        change(document["checkpoint"]["latest"])
        self.file.write_text(json.dumps(document))

    def _cut_off(self, latest: dict[str, Any]) -> None:
        (made,) = [each for each in latest["resources"] if each["urn"].endswith("::api")]
        self.provider = made["provider"]
        operations = [{"type": "updating", "resource": made}]
        for name in ("one", "two", "three"):
            new = {
                key: value
                for key, value in made.items()
                if key not in ("id", "outputs", "created", "modified")
            }
            new |= {"urn": self.urn(name), "type": QUEUE, "inputs": {"name": name}}
            operations.append({"type": "creating", "resource": new})
        latest["pending_operations"] = operations

    def urn(self, name: str) -> str:
        return f"urn:pulumi:test::review::{QUEUE}::{name}"

    def pending(self) -> list[str]:
        return [f"{one.operation} {one.name}" for one in interrupted("test", self.engine).operations]

    def one(self, name: str) -> Pending:
        return named_operation(interrupted("test", self.engine), name)[0]

    def held(self) -> dict[str, str]:
        """Names of the resources in the state, and their IDs."""
        found = exported("test", self.engine)["deployment"]["resources"]
        return {
            each["urn"].rsplit("::", 1)[-1]: each["id"] for each in found if each["type"].startswith("aws:")
        }

    def backups(self) -> list[str]:
        return sorted(path.name for path in self.file.parent.iterdir())


@pytest.fixture
def cut(project: Project) -> Cut:
    return Cut(project)


ALL = ["updating api", "creating one", "creating two", "creating three"]


def test_all_is_listed_with_what_is_known_of_it(cut: Cut) -> None:
    found = interrupted("test", cut.engine)
    assert cut.pending() == ALL
    update, create = found.operations[:2]
    assert (update.modified is not None, create.modified) == (True, None)
    assert create.as_dict() == {
        "urn": cut.urn("one"),
        "type": QUEUE,
        "name": "one",
        "operation": "creating",
        "modified": None,
    }
    assert found.written


def test_one_is_forgotten_and_all_others_stay_pending(cut: Cut) -> None:
    before = cut.file.read_bytes()
    forget("test", cut.one("two"), cut.engine)
    assert cut.pending() == ["updating api", "creating one", "creating three"]
    assert cut.file.with_name("test.json.bak").read_bytes() == before
    forget("test", cut.one("api"), cut.engine)
    assert cut.pending() == ["creating one", "creating three"]
    assert list(cut.held()) == ["api"], "what the state holds is not touched"
    assert locks("test", cut.engine) == []


def test_one_is_adopted_by_its_id_and_read_and_the_other_creates_stay_pending(cut: Cut) -> None:
    cut.project.provider.things["q-1"] = {"name": "one", "arn": "arn:one"}
    assert adopt("test", cut.one("one"), cut.engine, "q-1") == "q-1"
    assert cut.held()["one"] == "q-1"
    (read,) = [
        each for each in exported("test", cut.engine)["deployment"]["resources"] if each.get("id") == "q-1"
    ]
    assert read["outputs"]["arn"] == "arn:one"
    assert [name for name in cut.pending() if "creating" in name] == ["creating two", "creating three"]


def test_what_aws_does_not_have_is_not_adopted_and_is_told(cut: Cut) -> None:
    with pytest.raises(NotResolved, match=r"AWS has no aws:sqs/queue:Queue q-9: one is forgotten"):
        adopt("test", cut.one("one"), cut.engine, "q-9")
    assert list(cut.held()) == ["api"]
    assert "creating two" in cut.pending()


def test_without_an_id_and_without_a_finder_it_is_left_and_the_ways_are_told(cut: Cut) -> None:
    with pytest.raises(
        NotResolved, match=r"nothing here can look for(.|\n)*--forget urn:.*--adopt urn:.*=ID"
    ):
        adopt("test", cut.one("one"), cut.engine)
    assert cut.pending() == ALL


def test_an_update_that_was_cut_off_is_not_adopted(cut: Cut) -> None:
    with pytest.raises(NotResolved, match="api is in the state already"):
        adopt("test", cut.one("api"), cut.engine, "api-1")
    assert cut.pending() == ALL


def test_what_the_state_holds_twice_is_not_adopted(cut: Cut) -> None:
    def replaced(latest: dict[str, Any]) -> None:
        latest["pending_operations"] = [{"type": "creating", "resource": latest["resources"][-1]}]

    cut.rewrite(replaced)
    with pytest.raises(NotResolved, match="the state holds another api already"):
        adopt("test", cut.one("api"), cut.engine, "api-2")


def test_a_failure_in_the_middle_leaves_what_was_decided_before(
    cut: Cut, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut.project.provider.things |= {"q-1": {"name": "one"}, "q-2": {"name": "two"}}
    adopt("test", cut.one("one"), cut.engine, "q-1")

    def die(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(unlock, "read_from_aws", die)
        with pytest.raises(KeyboardInterrupt):
            adopt("test", cut.one("two"), cut.engine, "q-2")
    lines: list[str] = []
    finish("test", cut.engine, lines.append)
    assert lines == ["two was adopted before and is read now"]
    assert cut.held() == {"api": "api-1", "one": "q-1", "two": "q-2"}
    assert cut.pending() == ["creating three"]


def test_after_all_is_decided_the_next_run_makes_what_is_missing_and_nothing_twice(cut: Cut) -> None:
    cut.project.provider.things["q-1"] = {"name": "one"}
    adopt("test", cut.one("one"), cut.engine, "q-1")
    forget("test", cut.one("two"), cut.engine)
    forget("test", cut.one("three"), cut.engine)
    queues = {name: {"type": QUEUE, "properties": {"name": name}} for name in ("one", "two")}
    cut.project.declares(api=service(cpu=1), **queues)
    assert up(cut.project.request(), said).counts == {"create": 1}
    assert things(cut.project) == [{"cpu": 1.0}, {"name": "one"}, {"name": "two"}]


def test_a_name_a_urn_and_an_id_are_understood(cut: Cut) -> None:
    found = interrupted("test", cut.engine)
    assert named_operation(found, "one") == (found.operations[1], None)
    assert named_operation(found, cut.urn("one")) == (found.operations[1], None)
    assert named_operation(found, f"{cut.urn('one')}=q-1") == (found.operations[1], "q-1")
    assert named_operation(found, "one=a/b") == (found.operations[1], "a/b")
    with pytest.raises(NotResolved, match=r"four is no pending operation(.|\n)*- creating urn:.*::three"):
        named_operation(found, "four")


def test_nothing_is_changed_while_somebody_holds_the_stack(cut: Cut) -> None:
    one, before = cut.one("one"), cut.file.read_bytes()
    folder = cut.state / ".pulumi/locks/organization/review/test"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "x.json").write_text(
        '{"pid": 1, "username": "alice", "hostname": "elsewhere", "timestamp": "2026"}'
    )
    with pytest.raises(StackLocked, match="lock x"):
        forget("test", one, cut.engine)
    assert (cut.file.read_bytes(), [path.name for path in folder.iterdir()]) == (before, ["x.json"])


def test_the_engine_itself_is_kept_out_while_the_state_is_edited(cut: Cut) -> None:
    def change(now: dict[str, Any]) -> dict[str, Any]:
        engine = cut.engine
        with pytest.raises(Exception, match="currently locked by 1 lock"):
            engine.pulumi_command.run(
                ["refresh", "--yes", "--stack", "test"], engine.work_dir, dict(engine.env_vars)
            )
        return now

    edit("test", cut.engine, change)
    assert locks("test", cut.engine) == []


def test_a_state_that_was_written_meanwhile_is_not_written_over(cut: Cut) -> None:
    def change(now: dict[str, Any]) -> dict[str, Any]:
        cut.file.write_text(cut.file.read_text() + "\n")
        return now

    with pytest.raises(NotEdited, match="meanwhile"):
        edit("test", cut.engine, change)
    assert locks("test", cut.engine) == []


def test_a_compressed_state_stays_compressed(cut: Cut) -> None:
    packed = cut.file.with_name("test.json.gz")
    packed.write_bytes(gzip.compress(cut.file.read_bytes()))
    cut.file.unlink()
    forget("test", cut.one("one"), cut.engine)
    assert cut.pending() == [each for each in ALL if each != "creating one"]
    assert not cut.file.exists()
    assert json.loads(gzip.decompress(packed.read_bytes()))["version"] == 3


def test_a_state_of_another_form_is_left_alone(cut: Cut) -> None:
    document = json.loads(cut.file.read_text())
    cut.file.write_text(json.dumps({**document, "version": 4}))
    with pytest.raises(NotEdited, match="version 4"):
        edit("test", cut.engine, dict)


def test_a_stack_without_a_state_has_nothing_pending(project: Project) -> None:
    assert interrupted("nowhere", project.engine).operations == ()
