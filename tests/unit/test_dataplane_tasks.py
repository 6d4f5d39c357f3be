"""Services whose tasks are real processes: started, restarted, stopped, and truly described."""

import itertools
import os
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from localcloud.aws import elbv2
from tests.unit.task_world import SERVER, World, eventually, port_of, world

# Never listens, never ends.
SLEEPER = "import time; time.sleep(600)"
# Keeps going for a while after it was told to stop, and says when it was told.
SLOW_TO_STOP = SERVER.replace(
    "lambda *_: sys.exit(0)", "lambda *_: (print('told', flush=True), __import__('time').sleep(60))"
)


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    with world(tmp_path) as made:
        yield made


@pytest.fixture
def watched() -> Iterator[None]:
    """The tests decide about health and draining, as the load balancer does otherwise."""
    elbv2.watched(True)
    yield
    elbv2.watched(False)


def answer(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as got:
        text: str = got.read().decode()
        return text


def command_of(port: int) -> psutil.Process:
    """The process that listens on a port."""
    (found,) = {
        connection.pid
        for connection in psutil.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN and connection.laddr[1:] == (port,) and connection.pid
    }
    return psutil.Process(found)


def targets(cloud: World, group: str) -> dict[int, str]:
    found = cloud.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return {target["Target"]["Port"]: target["TargetHealth"]["State"] for target in found}


def one_stopped(cloud: World) -> dict[str, Any]:
    found: list[dict[str, Any]] = eventually(
        lambda: [task for task in cloud.tasks("STOPPED") if task["lastStatus"] == "STOPPED"], "a task stops"
    )
    return found[0]


def test_a_service_runs_as_many_processes_as_are_desired(cloud: World) -> None:
    group = cloud.target_group()
    cloud.serve(cloud.define(cloud.image("1")), 2, group)
    tasks = cloud.steady(2)
    ports = sorted(port_of(task) for task in tasks)
    assert [answer(port) for port in ports] == ["1", "1"]
    assert targets(cloud, group) == dict.fromkeys(ports, "healthy")
    assert cloud.service()["pendingCount"] == 0


def test_a_running_task_is_described_as_it_is(cloud: World) -> None:
    definition = cloud.define(cloud.image("1"))
    cloud.serve(
        definition, 1, cloud.target_group(), propagateTags="SERVICE", tags=[{"key": "a", "value": "b"}]
    )
    (task,) = cloud.steady(1)
    service = cloud.service()
    assert {key: task[key] for key in ("lastStatus", "desiredStatus", "healthStatus", "group")} == {
        "lastStatus": "RUNNING",
        "desiredStatus": "RUNNING",
        "healthStatus": "UNKNOWN",
        "group": "service:api",
    }
    assert task["taskDefinitionArn"] == definition
    assert task["startedBy"] == service["deployments"][0]["id"]
    assert task["createdAt"] <= task["startedAt"]
    assert [key for key in ("stoppedAt", "stopCode") if key in task] == []
    (container,) = task["containers"]
    assert (container["lastStatus"], container["taskArn"]) == ("RUNNING", task["taskArn"])
    assert "exitCode" not in container
    assert container["networkInterfaces"] == [{"privateIpv4Address": "127.0.0.1"}]
    assert {"name": "privateIPv4Address", "value": "127.0.0.1"} in task["attachments"][0]["details"]
    again = cloud.ecs.describe_tasks(cluster="main", tasks=[task["taskArn"]], include=["TAGS"])["tasks"][0]
    assert (again["lastStatus"], again["tags"]) == ("RUNNING", [{"key": "a", "value": "b"}]), (
        "looking is harmless"
    )
    (cluster,) = cloud.ecs.describe_clusters(clusters=["main"])["clusters"]
    assert (cluster["runningTasksCount"], cluster["pendingTasksCount"]) == (1, 0)


def test_scaling_takes_effect_when_tasks_have_come_and_gone(cloud: World) -> None:
    cloud.serve(cloud.define(cloud.image("1")), 1, cloud.target_group())
    (first,) = cloud.steady(1)
    updated = cloud.ecs.update_service(cluster="main", service="api", desiredCount=3)["service"]
    assert (updated["desiredCount"], updated["runningCount"]) == (3, 1)
    assert updated["deployments"][0]["rolloutState"] == "COMPLETED", "a count is no deployment"
    assert first["taskArn"] in {task["taskArn"] for task in cloud.steady(3)}
    cloud.ecs.update_service(cluster="main", service="api", desiredCount=1)
    (left,) = cloud.steady(1)
    assert left["taskArn"] == first["taskArn"], "the newest go first"


def test_zero_desired_stops_every_task_and_its_process(cloud: World) -> None:
    group = cloud.target_group()
    cloud.serve(cloud.define(cloud.image("1")), 1, group)
    (task,) = cloud.steady(1)
    process = command_of(port_of(task))
    cloud.ecs.update_service(cluster="main", service="api", desiredCount=0)
    cloud.steady(0)
    stopped = one_stopped(cloud)
    assert (stopped["stopCode"], stopped["containers"][0]["exitCode"]) == ("ServiceSchedulerInitiated", 0)
    assert stopped["stoppedReason"].startswith("Scaling activity initiated by (deployment ecs-svc/")
    assert stopped["startedAt"] <= stopped["stoppedAt"]
    assert targets(cloud, group) == {}
    assert not process.is_running()


def test_a_deleted_service_takes_its_tasks_along(cloud: World) -> None:
    cloud.serve(cloud.define(cloud.image("1")), 1, cloud.target_group())
    (task,) = cloud.steady(1)
    process = command_of(port_of(task))
    cloud.ecs.delete_service(cluster="main", service="api", force=True)
    one_stopped(cloud)
    assert not process.is_running()


def test_a_crashed_task_is_replaced_and_says_how_it_ended(cloud: World) -> None:
    group = cloud.target_group()
    cloud.serve(cloud.define(cloud.image("1")), 1, group)
    (task,) = cloud.steady(1)
    command_of(port_of(task)).send_signal(signal.SIGKILL)
    stopped = one_stopped(cloud)
    assert stopped["taskArn"] == task["taskArn"]
    assert (stopped["stopCode"], stopped["stoppedReason"]) == (
        "EssentialContainerExited",
        "Essential container in task exited",
    )
    assert stopped["containers"][0]["exitCode"] == 137
    (other,) = cloud.steady(1)
    assert other["taskArn"] != task["taskArn"]
    assert list(targets(cloud, group)) == [port_of(other)]


def test_a_task_that_is_stopped_by_hand_is_replaced(cloud: World) -> None:
    cloud.serve(cloud.define(cloud.image("1", SLOW_TO_STOP), stopTimeout=2), 1, cloud.target_group())
    (task,) = cloud.steady(1)
    asked = cloud.ecs.stop_task(cluster="main", task=task["taskArn"], reason="because")["task"]
    assert asked["desiredStatus"] == "STOPPED"
    assert asked["lastStatus"] in ("RUNNING", "DEACTIVATING", "STOPPING"), "it has not stopped yet"
    stopped = one_stopped(cloud)
    assert (stopped["stopCode"], stopped["stoppedReason"]) == ("UserInitiated", "because")
    (other,) = cloud.steady(1)
    assert other["taskArn"] != task["taskArn"]


@pytest.mark.usefixtures("watched")
def test_a_leaving_task_serves_until_it_has_drained_and_only_then_is_told(cloud: World) -> None:
    group = cloud.target_group()
    cloud.serve(cloud.define(cloud.image("1", SLOW_TO_STOP), stopTimeout=2), 1, group)
    (task,) = eventually(cloud.running, "a task runs")
    port = port_of(task)
    cloud.set_health(group, "healthy", [port])
    cloud.ecs.update_service(cluster="main", service="api", desiredCount=0)
    eventually(lambda: targets(cloud, group) == {port: "draining"}, "the target drains")
    time.sleep(1)
    assert answer(port) == "1"
    assert "told" not in cloud.lines(task), "requests are still in flight"
    assert cloud.tasks("STOPPED")[0]["lastStatus"] == "DEACTIVATING"
    assert cloud.service()["runningCount"] == 0
    cloud.set_health(group, "healthy", [], drained=[port])
    eventually(lambda: "told" in cloud.lines(task), "SIGTERM comes after the drain")
    stopped = one_stopped(cloud)
    assert stopped["containers"][0]["exitCode"] == 137, "SIGKILL after the stop timeout"
    took = (stopped["stoppedAt"] - stopped["stoppingAt"]).total_seconds()
    assert took >= 3, "a second of drain and two of the stop timeout"


@pytest.mark.usefixtures("watched")
def test_a_task_that_the_load_balancer_finds_sick_is_replaced_after_the_grace(cloud: World) -> None:
    group = cloud.target_group()
    cloud.serve(cloud.define(cloud.image("1")), 1, group, healthCheckGracePeriodSeconds=2)
    (task,) = eventually(cloud.running, "a task runs")
    cloud.set_health(group, "unhealthy", [port_of(task)])
    eventually(lambda: cloud.tasks("STOPPED"), "the sick task is stopped")
    cloud.set_health(group, "unhealthy", [], drained=[port_of(task)])
    stopped = one_stopped(cloud)
    assert stopped["stoppedReason"] == f"Task failed ELB health checks in (target-group {group})"
    assert (stopped["stoppingAt"] - stopped["startedAt"]).total_seconds() >= 2
    (other,) = eventually(cloud.running, "another one comes")
    cloud.set_health(group, "healthy", [port_of(other)])
    cloud.steady(1)


def test_a_task_that_never_listens_is_registered_for_the_load_balancer_to_judge(cloud: World) -> None:
    group = cloud.target_group()
    cloud.serve(cloud.define(cloud.image("1", SLEEPER)), 1, group)
    (task,) = eventually(cloud.running, "it counts as running")
    assert list(targets(cloud, group)) == [port_of(task)]


def test_what_a_task_writes_is_in_its_log_stream(cloud: World) -> None:
    program = "import sys; print('out\\n'); print('err \\u00e9', file=sys.stderr)\n" + SERVER
    cloud.serve(cloud.define(cloud.image("1", program)), 1, cloud.target_group())
    (task,) = cloud.steady(1)
    lines = eventually(lambda: len(found := cloud.lines(task)) == 4 and found, "its lines arrive")
    assert lines == ["out", " ", "err \u00e9", f"serving {port_of(task)}"]


def test_the_last_words_of_a_crash_are_kept(cloud: World) -> None:
    cloud.serve(cloud.define(cloud.image("1", "raise SystemExit('no database')")), 1, cloud.target_group())
    assert cloud.lines(one_stopped(cloud)) == ["no database"]


def test_an_image_that_nobody_published_can_not_be_pulled(cloud: World) -> None:
    reference = f"123456789012.dkr.ecr.eu-west-1.amazonaws.com/shop/api@sha256:{'0' * 64}"
    cloud.serve(cloud.define(reference), 1)
    stopped = one_stopped(cloud)
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert stopped["stoppedReason"].startswith(
        f"CannotPullContainerError: {reference} is not in the registry"
    )
    assert "startedAt" not in stopped
    assert "exitCode" not in stopped["containers"][0]


def test_an_image_that_was_deleted_from_the_registry_can_not_be_pulled(cloud: World) -> None:
    reference = cloud.image("1")
    cloud.ecr.batch_delete_image(repositoryName="shop/api", imageIds=[{"imageTag": "1"}])
    cloud.serve(cloud.define(reference), 1)
    assert one_stopped(cloud)["stoppedReason"].startswith("CannotPullContainerError")


@pytest.mark.parametrize(
    ("container", "reason"),
    [
        (
            {"secrets": [{"name": "KEY", "valueFrom": "/shop/none"}]},
            "ResourceInitializationError: unable to pull secrets",
        ),
        (
            {"logConfiguration": {"logDriver": "awslogs", "options": {"awslogs-group": "/none"}}},
            "ResourceInitializationError: failed to validate logger args",
        ),
    ],
)
def test_what_a_task_needs_and_has_not_is_a_failed_start(
    cloud: World, container: dict[str, Any], reason: str
) -> None:
    cloud.serve(cloud.define(cloud.image("1"), **container), 1)
    stopped = one_stopped(cloud)
    assert stopped["stopCode"] == "TaskFailedToStart"
    assert stopped["stoppedReason"].startswith(reason)


def test_a_crash_loop_slows_down_and_is_told(cloud: World) -> None:
    cloud.serve(cloud.define(cloud.image("1", "raise SystemExit(3)")), 1, cloud.target_group())
    eventually(lambda: cloud.service()["deployments"][0]["failedTasks"] >= 3, "three failed starts")
    stopped = sorted(cloud.tasks("STOPPED"), key=lambda task: task["createdAt"])
    created = [task["createdAt"] for task in stopped]
    pauses = [(after - before).total_seconds() for before, after in itertools.pairwise(created)]
    assert pauses[0] >= 0.5
    assert pauses[1] >= 1
    assert {task["containers"][0]["exitCode"] for task in stopped} == {3}
    events = [event["message"] for event in cloud.service()["events"]]
    assert "(service api) is unable to consistently start tasks successfully." in events


def test_the_end_of_the_cloud_is_the_end_of_its_tasks(cloud: World) -> None:
    group = cloud.target_group()
    cloud.serve(cloud.define(cloud.image("1", SLOW_TO_STOP), stopTimeout=120), 2, group)
    processes = [command_of(port_of(task)) for task in cloud.steady(2)]
    cloud.plane.stop()
    assert [process for process in processes if process.is_running()] == []


def test_the_processes_of_a_service_can_be_measured(cloud: World) -> None:
    cloud.serve(cloud.define(cloud.image("1")), 1, cloud.target_group())
    (task,) = cloud.steady(1)
    (found,) = cloud.plane.processes()
    assert (found.cluster, found.service, len(found.pids)) == ("main", "api", 1)
    descendants = psutil.Process(found.pids[0]).children(recursive=True)
    assert command_of(port_of(task)).pid in {process.pid for process in descendants}
    assert os.getpid() not in {process.pid for process in descendants}


def test_a_target_group_that_is_deleted_first_keeps_no_task_from_ending(cloud: World) -> None:
    group = cloud.target_group()
    cloud.serve(cloud.define(cloud.image("1")), 1, group)
    (task,) = cloud.steady(1)
    process = command_of(port_of(task))
    cloud.elbv2.delete_target_group(TargetGroupArn=group)
    cloud.ecs.delete_service(cluster="main", service="api", force=True)
    assert one_stopped(cloud)["containers"][0]["exitCode"] == 0
    assert not process.is_running()


def test_a_failure_inside_ends_the_task_and_its_process(
    cloud: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_: object) -> None:
        raise RuntimeError("an error of ours")

    monkeypatch.setattr("localcloud.dataplane.registration.Targets.register", breaks)
    # The thread says what went wrong, for the cloud's log.
    monkeypatch.setattr("threading.excepthook", lambda _: None)
    cloud.serve(cloud.define(cloud.image("1")), 1, cloud.target_group())
    stopped = one_stopped(cloud)
    assert (stopped["stopCode"], stopped["stoppedReason"]) == (
        "TaskFailedToStart",
        "InternalError: RuntimeError",
    )
    assert stopped["containers"][0]["exitCode"] == 137


def test_the_files_of_a_cloud_that_was_killed_are_cleared_away(tmp_path: Path) -> None:
    left = tmp_path / "tasks" / "of-a-killed-cloud"
    left.mkdir(parents=True)
    with world(tmp_path):
        assert not left.exists()
    assert not (tmp_path / "tasks").exists()


def test_a_task_counts_as_running_when_it_listens(cloud: World) -> None:
    late = "import time; time.sleep(1)\n" + SERVER
    cloud.serve(cloud.define(cloud.image("1", late)), 1)
    (task,) = eventually(cloud.running, "it runs")
    assert answer(port_of(task)) == "1"
