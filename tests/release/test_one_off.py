"""One-off tasks as real processes on the embedded ECS, and faults in the way of every call."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from botocore.exceptions import ClientError

from release.errors import NeedsPerson, ReleaseError, Unavailable
from release.migrations import NOTHING
from tests.release.aws_stack import ALWAYS, FAULTS, Fault, in_the_way
from tests.release.migrating import PLAN, Setup, migrating, printing
from tests.unit.task_world import World, world


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    # How long botocore waits before it tries again is not what is tested here.
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None, time=time.time))
    with world(tmp_path) as made:
        yield made


# ---- the task


def test_a_service_without_migrations_has_nothing_to_do_and_runs_nothing(cloud: World) -> None:
    setup = migrating(cloud, printing())
    assert setup.migrator.plan("web", "blue") == setup.migrator.run("web", "blue", "r1") == NOTHING
    assert setup.one_offs() == []


def test_the_command_gets_the_services_surroundings_and_what_it_may_do(cloud: World) -> None:
    program = (
        "import json, os, sys\n"
        "print(json.dumps({'current': sys.argv[1], 'target': os.environ['SWITCHYARD_MIGRATE'],"
        " 'floor': os.environ['OWN'], 'revisions': []}))\n"
    )
    image = cloud.image("1", program)
    cloud.serve(cloud.define(image, environment=[{"name": "OWN", "value": "own"}]), 0)
    migrator = Setup(cloud, image).migrator
    seen = [
        (found.current, found.target, found.floor)
        for found in (
            migrator.plan("api", "blue"),
            migrator.run("api", "blue", "a", expand_only=True),
            migrator.run("api", "blue", "b"),
        )
    ]
    assert seen == [("plan", "all", "own"), ("up", "expand", "own"), ("up", "all", "own")]


def test_a_repeated_call_with_the_token_finds_the_same_task(cloud: World) -> None:
    setup = migrating(cloud, printing())
    found = [setup.migrator.run("api", "blue", "token") for _ in range(3)]
    assert [plan.target for plan in found] == ["0001"] * 3
    assert len(setup.one_offs()) == 1
    setup.migrator.run("api", "blue", "another")
    assert len(setup.one_offs()) == 2


def test_the_same_task_is_found_after_a_new_revision_of_the_definition(cloud: World) -> None:
    setup = migrating(cloud, printing())
    setup.migrator.run("api", "blue", "token")
    again = cloud.define(setup.tasks._images.read("api")["blue"])
    cloud.ecs.update_service(cluster="main", service="api", taskDefinition=again)
    setup.migrator.run("api", "blue", "token")
    assert len(setup.one_offs()) == 1, "it must not be migrated twice"


def test_the_same_task_is_found_where_the_list_does_not_know_it_yet(cloud: World) -> None:
    setup = migrating(cloud, printing())

    def know_nothing(parsed: dict[str, Any], **_: Any) -> None:
        parsed["taskArns"] = []

    setup.ecs.meta.events.register("after-call.ecs.ListTasks", know_nothing)
    for _ in range(2):
        setup.migrator.run("api", "blue", "token")
    assert len(setup.one_offs()) == 1, "ECS itself knows the token"


def test_a_task_that_ecs_names_in_a_conflict_is_the_task(cloud: World) -> None:
    setup = migrating(cloud, printing())
    setup.migrator.run("api", "blue", "token")
    (task,) = setup.one_offs()

    def know_nothing(parsed: dict[str, Any], **_: Any) -> None:
        parsed["taskArns"] = []

    def conflict(**_: Any) -> None:
        told = {"Error": {"Code": "ConflictException"}, "resourceIds": [task["taskArn"]]}
        raise ClientError(cast(Any, told), "RunTask")

    setup.ecs.meta.events.register("after-call.ecs.ListTasks", know_nothing)
    setup.ecs.meta.events.register("before-call.ecs.RunTask", conflict)
    assert setup.migrator.run("api", "blue", "token").target == "0001"
    assert len(setup.one_offs()) == 1


def test_a_long_token_is_shortened_and_still_its_own(cloud: World) -> None:
    setup = migrating(cloud, printing())
    for token in ("x" * 100 + "1", "x" * 100 + "2", "x" * 100 + "1"):
        setup.migrator.run("api", "blue", token)
    assert len(setup.one_offs()) == 2


def test_an_answer_that_was_lost_does_not_start_a_second_task(cloud: World) -> None:
    setup = migrating(cloud, printing())
    with in_the_way(setup.ecs, "RunTask", Fault(FAULTS["read-timeout"], times=1, after=True)) as fault:
        assert setup.migrator.run("api", "blue", "token").target == "0001"
    assert fault.met == 1
    assert len(setup.one_offs()) == 1


def test_another_image_than_the_released_one_is_not_run(cloud: World) -> None:
    migrating(cloud, printing())
    other = cloud.image("2", printing())
    setup = Setup(cloud, other)
    with pytest.raises(ReleaseError, match="the program was not applied"):
        setup.migrator.run("api", "blue", "token")
    assert setup.one_offs() == []


def test_a_task_that_takes_too_long_is_stopped(cloud: World) -> None:
    setup = migrating(cloud, "import time; time.sleep(600)", timeout_seconds=1)
    with pytest.raises(ReleaseError, match="was stopped after it had taken longer than 1 s"):
        setup.migrator.run("api", "blue", "token")
    (task,) = setup.one_offs()
    assert task["lastStatus"] == "STOPPED"
    assert task["stoppedReason"] == "took longer than 1 seconds"


def test_a_task_that_does_not_start_says_why(cloud: World) -> None:
    missing = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/api@sha256:" + "0" * 64
    cloud.serve(cloud.define(missing), 0)
    setup = Setup(cloud, missing)
    with pytest.raises(ReleaseError, match=r"did not start: .*CannotPullContainerError"):
        setup.migrator.plan("api", "blue")


def test_a_command_that_fails_shows_its_last_lines_without_secrets(cloud: World) -> None:
    program = (
        "import sys\n"
        "for n in range(30): print('line', n)\n"
        "print('connecting to postgresql://owner:sesame-open@host/shop')\n"
        "sys.exit('relation items does not exist')\n"
    )
    with pytest.raises(ReleaseError) as told:
        migrating(cloud, program).migrator.run("api", "blue", "token")
    text = str(told.value)
    assert text.startswith("`python app.py up` of api ended with 1 in task ")
    assert "relation items does not exist" in text
    assert "sesame-open" not in text
    assert "line 29" in text
    assert "line 3\n" not in text, "the last lines are enough"


def test_a_plan_that_is_none_is_an_error_with_what_was_printed(
    cloud: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("release.migrations.LATE_LOOKS", 3)
    with pytest.raises(ReleaseError, match=r"printed no plan;(.|\n)*up to date"):
        migrating(cloud, "print('up to date')").migrator.plan("api", "blue")


def test_a_command_that_prints_nothing_is_followed_by_a_look_at_the_schema(cloud: World) -> None:
    after = {"current": "0002", "target": "0002", "floor": "0001", "revisions": []}
    program = f"import sys\nif sys.argv[1] == 'plan': print({json.dumps(after)!r})\n"
    done = migrating(cloud, program).migrator.run("api", "blue", "token")
    assert (done.current, done.target, done.floor, done.revisions) == ("0002", "0002", "0001", ())


def test_a_contract_that_came_too_early_needs_a_person(cloud: World) -> None:
    contract = PLAN | {"floor": "0001", "revisions": [{"id": "0001", "kind": "contract"}]}
    setup = migrating(cloud, printing(contract))
    with pytest.raises(NeedsPerson, match="has run a contract"):
        setup.migrator.run("api", "blue", "token", expand_only=True)
    assert setup.migrator.run("api", "blue", "another").kind == "contract", "after the bake it may"


def test_a_task_that_ecs_has_forgotten_is_run_again(cloud: World) -> None:
    setup = migrating(cloud, printing())
    setup.migrator.run("api", "blue", "token")
    (task,) = setup.one_offs()
    seen: list[Any] = []

    def forget(parsed: dict[str, Any], **_: Any) -> None:
        if [one["taskArn"] for one in parsed["tasks"]] == [task["taskArn"]]:
            seen.append(parsed["tasks"])
            parsed["tasks"] = []

    setup.ecs.meta.events.register("after-call.ecs.DescribeTasks", forget)
    assert setup.migrator.run("api", "blue", "token").target == "0001"
    assert len(seen) == 1
    assert len(setup.one_offs()) == 2
    setup.migrator.run("api", "blue", "token")
    assert len(setup.one_offs()) == 2, "the second one is known by the token too"


def test_a_service_that_is_gone_needs_a_person(cloud: World) -> None:
    setup = migrating(cloud, printing())
    cloud.ecs.delete_service(cluster="main", service="api", force=True)
    with pytest.raises(NeedsPerson, match="no active service api"):
        setup.migrator.plan("api", "blue")


# ---- faults

OPERATIONS = ["DescribeServices", "DescribeTaskDefinition", "ListTasks", "RunTask", "DescribeTasks"]
JSON_FAULTS = sorted(FAULTS.keys() - {"throttled"})


@pytest.mark.parametrize("operation", [*OPERATIONS, "GetLogEvents"])
def test_one_fault_of_any_call_is_survived(cloud: World, operation: str) -> None:
    setup = migrating(cloud, printing())
    client = setup.logs if operation == "GetLogEvents" else setup.ecs
    for fault in JSON_FAULTS:
        with in_the_way(client, operation, Fault(FAULTS[fault], times=1)) as met:
            assert setup.migrator.run("api", "blue", fault).target == "0001", fault
        assert met.met == 1, fault
    assert len(setup.one_offs()) == len(JSON_FAULTS)


@pytest.mark.parametrize("operation", [*OPERATIONS, "GetLogEvents"])
def test_a_call_that_never_answers_is_unavailable_and_a_later_try_goes_on(
    cloud: World, operation: str
) -> None:
    setup = migrating(cloud, printing())
    client = setup.logs if operation == "GetLogEvents" else setup.ecs
    with (
        in_the_way(client, operation, Fault(FAULTS["unavailable"], times=ALWAYS)),
        pytest.raises(Unavailable),
    ):
        setup.migrator.run("api", "blue", "token")
    assert setup.migrator.run("api", "blue", "token").target == "0001"
    assert len(setup.one_offs()) == 1, "what was started before is the same task"


def test_a_stop_that_never_answers_is_unavailable(cloud: World) -> None:
    setup = migrating(cloud, "import time; time.sleep(600)", timeout_seconds=1)
    with (
        in_the_way(setup.ecs, "StopTask", Fault(FAULTS["throttled-json"], times=ALWAYS)),
        pytest.raises(Unavailable, match="stop the one-off task"),
    ):
        setup.migrator.run("api", "blue", "token")
    with pytest.raises(ReleaseError, match="was stopped after it had taken longer"):
        setup.migrator.run("api", "blue", "token")


def test_a_task_that_ecs_can_t_place_says_why(cloud: World) -> None:
    setup = migrating(cloud, printing())

    def full(parsed: dict[str, Any], **_: Any) -> None:
        parsed["tasks"], parsed["failures"] = [], [{"reason": "RESOURCE:ENI", "detail": "none is free"}]

    setup.ecs.meta.events.register("after-call.ecs.RunTask", full)
    with pytest.raises(ReleaseError, match="did not start a one-off task of api: RESOURCE:ENI none is free"):
        setup.migrator.plan("api", "blue")
