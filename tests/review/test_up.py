"""`switchyard up` on the real engine: patient with locks, truthful at its end, and on record."""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from release.errors import Unavailable
from release.model import Release
from release.store import Owner, Store
from review.changes import Reading
from review.plans import FolderPlans
from review.preview import preview
from review.report import Report
from switchyard.up import Author, Ended, Up
from switchyard.up_record import Outcome, UpdateRecord
from switchyard.up_summary import markdown
from tests.release.samples import a_release
from tests.release.tables import DictTable
from tests.review.conftest import Project
from tests.review.test_apply import database, service, things

pytestmark = pytest.mark.cloud

AUTHOR = Author(actor="ada", commit="4be1d0c", job="https://ci/1")


class Runs:
    """Runs `up` on a project, and keeps what it said and wrote."""

    def __init__(self, project: Project) -> None:
        self.project = project
        self.table = DictTable()
        self.said: list[str] = []
        self.told: list[str] = []

    def up(self, *, wait_seconds: float = 0, **more: Any) -> Ended:
        store = Store(self.table, Owner(who="ada", pid=1, run="x"), lambda: datetime.now(UTC))
        update = Up(
            request=more.pop("request", None) or self.project.request(),
            author=AUTHOR,
            say=more.pop("say", self.said.append),
            tell=self.told.append,
            record=more.pop("record", UpdateRecord(self.table)),
            releases=store,
            lock_wait=timedelta(seconds=wait_seconds),
            poll_seconds=0.2,
            **more,
        )
        return update.run()

    @property
    def recorded(self) -> list[dict[str, Any]]:
        """The record, the newest first, without times."""
        times = ("began", "ended", "duration_seconds", "plan")
        updates = UpdateRecord(self.table).updates()
        return [{key: value for key, value in each.as_dict().items() if key not in times} for each in updates]

    @property
    def folder(self) -> Path:
        """Where the engine keeps the stack's locks."""
        url = self.project.engine.env_vars["PULUMI_BACKEND_URL"].removeprefix("file://")
        folder = Path(url) / ".pulumi/locks/organization/review/test"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def lock(self, *, pid: int = 0, host: str = "elsewhere", text: str | None = None) -> Path:
        """Puts a lock in the stack's way."""
        since = (datetime.now(UTC) - timedelta(minutes=3)).isoformat()
        content = {"pid": pid or os.getpid(), "username": "alice", "hostname": host, "timestamp": since}
        path = self.folder / f"{len(list(self.folder.iterdir()))}.json"
        path.write_text(json.dumps(content) if text is None else text)
        return path


@pytest.fixture
def runs(project: Project) -> Runs:
    project.declares(api=service(cpu=1))
    return Runs(project)


def soon(seconds: float, act: Callable[[], Any]) -> None:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()


def test_what_was_applied_is_on_record_and_so_is_that_nothing_was_to_be_done(
    runs: Runs, tmp_path: Path
) -> None:
    plans = FolderPlans(tmp_path / "plans")
    plan = preview(runs.project.request(), print).plan
    assert plan is not None
    done = runs.up(digest=plan.digest, plans=plans)
    assert (done.status, done.outcome, done.counts) == (0, Outcome.SUCCEEDED, {"create": 1})
    assert runs.up().outcome is Outcome.UNCHANGED
    common = {"actor": "ada", "commit": "4be1d0c", "job": "https://ci/1", "reason": ""}
    assert runs.recorded == [
        {"number": 2, "outcome": "unchanged", "counts": {}, **common},
        {"number": 1, "outcome": "succeeded", "counts": {"create": 1}, **common},
    ]
    assert UpdateRecord(runs.table).updates()[1].plan == plan.digest
    assert list(runs.folder.iterdir()) == []


def test_a_failed_update_says_what_it_has_done_and_is_on_record(runs: Runs) -> None:
    runs.up()
    runs.project.declares(api=service(cpu=1), web=service(cpu=1), old=service(cpu=1))
    runs.project.provider.refused["Create"] = "Throttling: slow down"
    ended = runs.up()
    assert (ended.status, ended.outcome) == (1, Outcome.FAILED)
    assert "Throttling: slow down" in ended.reason
    newest = runs.recorded[0]
    assert (newest["outcome"], newest["counts"]) == ("failed", dict(ended.counts))
    assert "Throttling: slow down" in newest["reason"]
    assert list(runs.folder.iterdir()) == []


def test_what_is_refused_is_status_3_and_not_on_record(runs: Runs) -> None:
    runs.project.declares(main=database())
    runs.up()
    runs.project.declares(main=database(dbName="store"))
    for digest, words in (
        (None, "because of dbName"),
        ("0" * 64, "is not the plan"),
        ("latest", "64 hex digits"),
    ):
        ended = runs.up(digest=digest)
        assert (ended.status, ended.outcome) == (3, Outcome.REFUSED)
        assert words in ended.reason
    assert [each["number"] for each in runs.recorded] == [1]
    assert things(runs.project) == [{"dbName": "shop"}]


def test_a_record_that_cannot_be_written_is_told_and_fails_nothing(runs: Runs) -> None:
    def fail(what: str, _: Callable[[], Any]) -> Any:
        raise Unavailable(f"{what}: no answer")

    ended = runs.up(record=UpdateRecord(DictTable(fail)))
    assert (ended.status, ended.outcome, ended.counts) == (0, Outcome.SUCCEEDED, {"create": 1})
    assert "no answer" in ended.unrecorded
    assert [line for line in runs.told if line.startswith("This update is not on record: table.")]
    assert "Not on record" in markdown("prod", ended, AUTHOR)


def test_an_update_that_was_begun_is_on_record_before_anything_is_done(runs: Runs) -> None:
    seen: list[Outcome] = []

    def look(event: Any) -> None:
        if event.resource_pre_event and not seen:
            seen.extend(each.outcome for each in UpdateRecord(runs.table).updates())

    runs.up(observe=look)
    assert seen == [Outcome.UNKNOWN], "who kills it now leaves that it was begun"


def test_a_lock_whose_process_is_gone_is_cleared_and_told(runs: Runs) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    lock = runs.lock(pid=process.pid, host=socket.gethostname())
    assert runs.up().status == 0
    assert not lock.exists()
    who = f"alice on {socket.gethostname()} (process {process.pid}), 3 minutes ago"
    assert runs.told == [f"Cleared lock 0 of stack test: {who}"]


def test_somebody_elses_lock_is_waited_for(runs: Runs) -> None:
    lock = runs.lock()
    soon(1.0, lock.unlink)
    assert runs.up(wait_seconds=60).status == 0
    assert runs.said[0] == "waiting for the lock of alice on host elsewhere, 3 minutes"
    assert runs.said.count(runs.said[0]) == 1, "a log is no clock"
    assert things(runs.project) == [{"cpu": 1.0}]


@pytest.mark.parametrize("text", [None, "{"])
def test_who_waits_too_long_is_told_whose_lock_it_is_and_nothing_is_done(
    runs: Runs, text: str | None
) -> None:
    lock = runs.lock(text=text)
    ended = runs.up(wait_seconds=0.5)
    assert (ended.status, ended.outcome) == (3, Outcome.LOCKED)
    assert "--force 0" in ended.reason
    assert ("can't be read" if text else "alice on elsewhere") in ended.reason
    assert lock.exists()
    assert (things(runs.project), runs.recorded) == ([], [])


def test_somebody_who_is_faster_by_a_moment_is_waited_for_too(runs: Runs) -> None:
    """Between the look at the locks and the engine's own, which is the one that counts."""

    def say(line: str) -> None:
        if line.startswith("Applying") and not locks:
            locks.append(runs.lock())
        if line.startswith("waiting"):
            locks[0].unlink()

    locks: list[Path] = []
    ended = runs.up(say=say, wait_seconds=120)
    assert (ended.status, ended.outcome, ended.counts) == (0, Outcome.SUCCEEDED, {"create": 1})
    assert any("Somebody was faster" in line and "alice@elsewhere" in line for line in runs.told)
    assert [(each["outcome"], each["number"]) for each in runs.recorded] == [("succeeded", 1)]


def test_somebody_who_is_faster_and_stays_is_no_failure_of_ours(runs: Runs) -> None:
    ended = runs.up(say=lambda line: line.startswith("Applying") and runs.lock())
    assert (ended.status, ended.outcome) == (3, Outcome.LOCKED)
    assert "Nothing was done" in ended.reason
    assert [each["outcome"] for each in runs.recorded] == ["locked"], "its begin was on record already"
    assert things(runs.project) == []


def test_what_an_interrupted_run_left_undecided_is_decided_first(runs: Runs) -> None:
    runs.up()
    url = runs.project.engine.env_vars["PULUMI_BACKEND_URL"].removeprefix("file://")
    file = Path(url) / ".pulumi/stacks/review/test.json"
    document = json.loads(file.read_text())
    latest = document["checkpoint"]["latest"]
    new = {**latest["resources"][-1], "urn": latest["resources"][-1]["urn"].replace("::api", "::web")}
    latest["pending_operations"] = [{"resource": new, "type": "creating"}]
    # Not by an import: that drops what is pending.
    file.write_text(json.dumps(document))
    runs.project.declares(api=service(cpu=2))
    ended = runs.up()
    assert (ended.status, ended.outcome) == (3, Outcome.REFUSED)
    assert "switchyard unlock --stack test" in ended.reason
    assert things(runs.project) == [{"cpu": 1.0}]


def test_a_mistake_of_ours_is_neither_hidden_nor_called_done(
    runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    def append(*_: Any) -> None:
        raise ZeroDivisionError("a mistake of ours")

    monkeypatch.setattr(UpdateRecord, "append", append)
    with pytest.raises(ZeroDivisionError):
        runs.up()
    assert things(runs.project) == []
    assert list(runs.folder.iterdir()) == []


def test_a_release_in_progress_is_told(runs: Runs) -> None:
    runs.table.items["current", "release"] = json.dumps(
        {"pk": "current", "sk": "release", "release": TypeAdapter(Release).dump_json(a_release()).decode()}
    )
    assert runs.up().status == 0
    assert runs.told == [
        "Release prod-1 is in progress (PLANNED, by ann): its weights, counts and images are its own and "
        "stay as they are"
    ]


def test_the_summary_of_a_job_says_what_was_applied(runs: Runs) -> None:
    ended = runs.up()
    plan = ended.report.plan if ended.report else None
    assert plan is not None
    text = markdown("prod", replace(ended, duration_seconds=12.4), AUTHOR)
    assert text == (
        "### ✅ `prod`: applied\n\n| | |\n| --- | --- |\n| Done | 1 create |\n| By | `ada` |\n"
        f"| Commit | `4be1d0c` |\n| Plan | `{plan.digest}` |\n| Took | 12 s |\n\n"
        "<details><summary>1 operations</summary>\n\n- `create` `api`\n\n</details>\n\n"
    )


def test_the_summary_of_a_failure_can_hold_no_markup_of_others() -> None:
    report = Report(project="p", stack="s", reading=Reading(errors=()))
    reason = "line one\n</pre><img src=x> @team"
    text = markdown("prod", Ended(status=1, outcome=Outcome.FAILED, report=report, reason=reason), AUTHOR)
    assert text.startswith("### ❌ `prod`: failed\n")
    assert "<pre>line one\n&lt;/pre&gt;&lt;img src=x&gt; &#64;\u200bteam</pre>" in text
