"""RunTask, and what a task's process finds in its environment."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from botocore.exceptions import ClientError

from localcloud.dataplane import environment
from tests.unit.task_world import World, client, eventually, world

NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "securityGroups": ["sg-1"]}}
PRINTS = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), dict(os.environ)]))"


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    with world(tmp_path) as made:
        yield made


def start(cloud: World, definition: str, **given: Any) -> dict[str, Any]:
    answer = cloud.ecs.run_task(
        cluster="main",
        taskDefinition=definition,
        launchType="FARGATE",
        networkConfiguration=NETWORK,
        **given,
    )
    (task,) = answer["tasks"]
    return dict(task)


def ended(cloud: World, task: dict[str, Any]) -> dict[str, Any]:
    def stopped() -> Any:
        (found,) = cloud.ecs.describe_tasks(cluster="main", tasks=[task["taskArn"]])["tasks"]
        return found["lastStatus"] == "STOPPED" and found

    return dict(eventually(stopped, "the task ends"))


def command(*words: str, **variables: str) -> dict[str, Any]:
    pairs = [{"name": name, "value": value} for name, value in variables.items()]
    return {"containerOverrides": [{"name": "api", "command": list(words), "environment": pairs}]}


def found_by(cloud: World, definition: str, **given: Any) -> tuple[list[str], str, dict[str, str]]:
    """Arguments, working directory and environment of a one-off task."""
    task = ended(cloud, start(cloud, definition, **given))
    assert task["containers"][0]["exitCode"] == 0, cloud.lines(task)
    (line,) = cloud.lines(task)
    words, directory, variables = json.loads(line)
    return words, directory, variables


def test_a_one_off_task_runs_its_command_and_ends_with_its_status(cloud: World) -> None:
    definition = cloud.define(cloud.image("1"))
    given = start(
        cloud,
        definition,
        overrides=command("python", "-c", "print('migrated'); raise SystemExit(4)"),
        startedBy="release-7",
    )
    assert (given["lastStatus"], given["startedBy"], given["group"]) == (
        "PROVISIONING",
        "release-7",
        "family:api",
    )
    task = ended(cloud, given)
    assert (task["containers"][0]["exitCode"], task["stopCode"]) == (4, "EssentialContainerExited")
    assert task["overrides"]["containerOverrides"][0]["command"][0] == "python"
    assert cloud.lines(task) == ["migrated"]
    listed = cloud.ecs.list_tasks(cluster="main", startedBy="release-7", desiredStatus="STOPPED")["taskArns"]
    assert listed == [task["taskArn"]]


def test_the_same_client_token_is_the_same_task(cloud: World) -> None:
    definition = cloud.define(cloud.image("1"))
    given = {"overrides": command("python", "-c", "print('once')"), "clientToken": "release-7-up"}
    first = start(cloud, definition, **given)
    assert start(cloud, definition, **given)["taskArn"] == first["taskArn"]
    ended(cloud, first)
    again = start(cloud, definition, **given)
    assert (again["taskArn"], again["lastStatus"]) == (first["taskArn"], "STOPPED")
    assert start(cloud, definition, **{**given, "clientToken": "other"})["taskArn"] != first["taskArn"]
    with pytest.raises(ClientError, match="ConflictException"):
        start(cloud, definition, **{**given, "overrides": command("python", "-c", "print('twice')")})


def test_a_one_off_task_can_be_stopped(cloud: World) -> None:
    definition = cloud.define(cloud.image("1"), stopTimeout=2)
    program = (
        "import signal, time; signal.signal(15, lambda *_: exit(9)); print('up', flush=True); time.sleep(600)"
    )
    task = start(cloud, definition, overrides=command("python", "-c", program))
    eventually(lambda: cloud.lines(task) == ["up"], "it runs")
    cloud.ecs.stop_task(cluster="main", task=task["taskArn"])
    stopped = ended(cloud, task)
    assert (stopped["stopCode"], stopped["containers"][0]["exitCode"]) == ("UserInitiated", 9)
    cloud.ecs.stop_task(cluster="main", task=task["taskArn"], reason="late")
    assert ended(cloud, task)["stoppedReason"] == stopped["stoppedReason"]


def test_mistakes_are_refused_as_aws_refuses_them(cloud: World) -> None:
    definition = cloud.define(cloud.image("1"))
    with pytest.raises(ClientError, match="Override for container named web is not a container"):
        start(cloud, definition, overrides={"containerOverrides": [{"name": "web"}]})
    with pytest.raises(ClientError, match="The referenced task was not found"):
        cloud.ecs.stop_task(cluster="main", task="none")


def test_a_service_never_takes_a_one_off_task_for_its_own(cloud: World) -> None:
    definition = cloud.define(cloud.image("1"))
    cloud.serve(definition, 1, cloud.target_group())
    one_off = start(cloud, definition, overrides=command("python", "-c", "import time; time.sleep(600)"))
    (task,) = cloud.steady(1)
    assert task["taskArn"] != one_off["taskArn"]
    everything = cloud.ecs.list_tasks(cluster="main")["taskArns"]
    assert sorted(everything) == sorted([task["taskArn"], one_off["taskArn"]])


def test_the_environment_is_the_images_then_the_definitions_then_the_overrides(
    cloud: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "the-users-own")
    monkeypatch.setenv("MINE", "the-users-own")
    image = cloud.image("1", PRINTS, dockerfile="ENV A=image B=image C=image PYTHONPATH=/app PATH=/nowhere")
    definition = cloud.define(
        image,
        {"taskRoleArn": "arn:aws:iam::123456789012:role/api"},
        environment=[{"name": "B", "value": "definition"}, {"name": "C", "value": "definition"}],
    )
    _, directory, found = found_by(cloud, definition, overrides=command("python", "app.py", C="override"))
    assert [found[name] for name in ("A", "B", "C", "VERSION")] == ["image", "definition", "override", "1"]
    assert (found["HOST"], found["AWS_ENDPOINT_URL"], found["AWS_REGION"]) == (
        "127.0.0.1",
        "http://127.0.0.1:9",
        "eu-west-1",
    )
    assert found["PYTHONPATH"] == directory, "a path of the image is where the image is"
    assert not found["PATH"].startswith("/nowhere")
    assert found["AWS_ACCESS_KEY_ID"].startswith("ASIA")
    assert "the-users-own" not in found.values()
    assert "PORT" not in found, "nobody looks for a one-off task"


def test_a_task_without_a_role_has_no_credentials(cloud: World) -> None:
    _, _, found = found_by(cloud, cloud.define(cloud.image("1", PRINTS)))
    assert [name for name in found if "ACCESS_KEY" in name or "TOKEN" in name] == []


def test_secrets_reach_the_environment_and_nothing_else(cloud: World) -> None:
    made = client("secretsmanager").create_secret(
        Name="shop/database", SecretString=json.dumps({"password": "hunter2", "port": 5432})
    )["ARN"]
    client("ssm").put_parameter(Name="/shop/key", Value="s3cret", Type="SecureString")
    references = {
        "WHOLE": made,
        "PASSWORD": f"{made}:password::",
        "NUMBER": f"{made}:port:AWSCURRENT:",
        "BY_NAME": "/shop/key",
        "BY_ARN": "arn:aws:ssm:eu-west-1:123456789012:parameter/shop/key",
    }
    definition = cloud.define(
        cloud.image("1", "import os, time; time.sleep(600) if os.environ['PASSWORD'] == 'hunter2' else 1"),
        secrets=[{"name": name, "valueFrom": reference} for name, reference in references.items()],
    )
    task = start(cloud, definition)
    process = eventually(lambda: _process_of(task), "it runs with its secret")
    found = process.environ()
    assert {name: found[name] for name in references} == {
        "WHOLE": '{"password": "hunter2", "port": 5432}',
        "PASSWORD": "hunter2",
        "NUMBER": "5432",
        "BY_NAME": "s3cret",
        "BY_ARN": "s3cret",
    }
    family = [process, *process.parents()]
    assert "hunter2" not in json.dumps([member.cmdline() for member in family])
    described = cloud.ecs.describe_tasks(cluster="main", tasks=[task["taskArn"]])
    assert "hunter2" not in json.dumps(described, default=str)


def _process_of(task: dict[str, Any]) -> psutil.Process | None:
    """The command of a task: the only process that works in the task's folder and is no keeper."""
    identity = task["taskArn"].split("/")[-1]
    for process in psutil.Process().children(recursive=True):
        try:
            if identity in process.cwd() and "keeper.py" not in " ".join(process.cmdline()):
                return process
        except psutil.Error:
            continue
    return None


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("arn:aws:secretsmanager:eu-west-1:123456789012:secret:gone-AbCdEf", "can't be read"),
        ("{arn}:none::", "has no key none"),
        ("/shop/none", "there is no parameter /shop/none"),
        ("arn:aws:s3:::bucket", "neither the ARN of a secret nor of a parameter"),
    ],
)
def test_a_secret_that_is_not_there_is_named_without_any_value(
    cloud: World, reference: str, said: str
) -> None:
    made = client("secretsmanager").create_secret(Name="shop/x", SecretString='{"password": "hunter2"}')
    definition = cloud.define(
        cloud.image("1"), secrets=[{"name": "X", "valueFrom": reference.replace("{arn}", made["ARN"])}]
    )
    task = ended(cloud, start(cloud, definition))
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("ResourceInitializationError: unable to pull secrets")
    assert said in task["stoppedReason"]
    assert "hunter2" not in task["stoppedReason"]


def test_a_secret_that_is_no_json_is_not_in_the_error(cloud: World) -> None:
    made = client("secretsmanager").create_secret(Name="shop/x", SecretString="hunter2")["ARN"]
    with pytest.raises(environment.SecretUnavailable) as refused:
        environment.resolve(f"{made}:key::", "123456789012", "eu-west-1")
    assert "hunter2" not in str(refused.value)
    assert refused.value.__cause__ is None
    assert refused.value.__suppress_context__
    assert cloud


@pytest.mark.parametrize(
    ("container", "overrides", "words"),
    [
        ({}, {}, []),
        ({"command": ["python", "app.py", "definition"]}, {}, ["definition"]),
        ({"command": ["python", "app.py", "definition"]}, command("python", "app.py", "run"), ["run"]),
        ({"entryPoint": ["python"], "command": ["app.py", "both"]}, {}, ["both"]),
        ({"entryPoint": ["python", "app.py"]}, command("more"), ["more"]),
        ({"command": ["python", "/app/app.py", "/etc/none"]}, {}, ["/etc/none"]),
    ],
)
def test_the_command_is_the_overrides_or_the_definitions_or_the_images(
    cloud: World, container: dict[str, Any], overrides: dict[str, Any], words: list[str]
) -> None:
    found, _, _ = found_by(cloud, cloud.define(cloud.image("1", PRINTS), **container), overrides=overrides)
    assert found == words


def test_every_task_has_files_of_its_own_which_go_with_it(cloud: World) -> None:
    definition = cloud.define(cloud.image("1", "import os; open('mine', 'x'); print(os.getcwd())"))
    folders = [cloud.lines(ended(cloud, start(cloud, definition)))[0] for _ in range(2)]
    assert folders[0] != folders[1]
    assert [folder for folder in folders if Path(folder).exists()] == []


def test_a_task_of_two_containers_says_why_it_is_not_run(cloud: World) -> None:
    image = cloud.image("1")
    definition = cloud.ecs.register_task_definition(
        family="two", memory="512", containerDefinitions=[{"name": n, "image": image} for n in ("a", "b")]
    )["taskDefinition"]["taskDefinitionArn"]
    assert "tasks of one container" in ended(cloud, start(cloud, definition))["stoppedReason"]


def test_the_tasks_of_a_crash_loop_are_forgotten_and_a_one_off_task_is_not(
    cloud: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("localcloud.dataplane.tasks.STOPPED_TASKS", 2)
    definition = cloud.define(cloud.image("1", "raise SystemExit(1)"))
    one_off = ended(cloud, start(cloud, definition))["taskArn"]
    cloud.serve(definition, 1)
    eventually(lambda: cloud.service()["deployments"][0]["failedTasks"] >= 4, "four failed starts")
    crashed = [task["taskArn"] for task in cloud.tasks("STOPPED")]
    assert len(crashed) in (2, 3), "the latest one may have ended just now"
    assert one_off in cloud.ecs.list_tasks(cluster="main", desiredStatus="STOPPED")["taskArns"]
