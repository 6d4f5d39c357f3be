"""Migrations of the example on the embedded ECS and a real PostgreSQL, and the plans that commands print."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import psycopg
import pytest

from examples.variants import variant
from localcloud.aws import install
from localcloud.dataplane.database import DatabasePlane
from localcloud.dataplane.images import publish
from release.errors import ReleaseError
from release.migrations import parse, plan_in
from tests.release.migrating import PLAN, Setup
from tests.unit.databases import free_port
from tests.unit.task_world import REGION, World, world


@pytest.fixture
def cloud(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    # How long botocore waits before it tries again is not what is tested here.
    monkeypatch.setattr("botocore.endpoint.time", SimpleNamespace(sleep=lambda _: None, time=time.time))
    with world(tmp_path) as made:
        yield made


# ---- the whole of it


@contextmanager
def shop(cloud: World, folder: Path, tmp_path: Path) -> Iterator[tuple[Setup, dict[str, Any]]]:
    """The example API on an embedded database, wired as the stack does it."""
    install()
    plane = DatabasePlane(tmp_path / "databases")
    plane.start()
    try:
        rds: Any = boto3.client("rds", REGION)
        rds.create_db_instance(
            DBInstanceIdentifier="main",
            Engine="postgres",
            DBInstanceClass="db.t4g.medium",
            AllocatedStorage=20,
            MasterUsername="owner",
            ManageMasterUserPassword=True,
            DBName="shop",
            Port=free_port(),
        )
        instance = rds.describe_db_instances()["DBInstances"][0]
        yield release(cloud, folder, instance), instance
    finally:
        plane.stop()


def release(cloud: World, folder: Path, instance: Mapping[str, Any]) -> Setup:
    """The folder published, and the service's task definition on it."""
    image = publish(folder, "api", folder.name, cloud.ecr, cloud.directory / "store").reference
    secret = instance["MasterUserSecret"]["SecretArn"]
    definition = cloud.define(
        image,
        environment=[
            {"name": "DATABASE_HOST", "value": instance["Endpoint"]["Address"]},
            {"name": "DATABASE_PORT", "value": str(instance["Endpoint"]["Port"])},
            {"name": "DATABASE_NAME", "value": "shop"},
        ],
        secrets=[
            {"name": "DATABASE_USERNAME", "valueFrom": f"{secret}:username::"},
            {"name": "DATABASE_PASSWORD", "valueFrom": f"{secret}:password::"},
        ],
    )
    if cloud.ecs.describe_services(cluster="main", services=["api"])["services"]:
        cloud.ecs.update_service(cluster="main", service="api", taskDefinition=definition)
    else:
        cloud.serve(definition, 0)
    commands = {
        "command": ["python", "-m", "api.migrate", "up"],
        "plan_command": ["python", "-m", "api.migrate", "plan"],
    }
    return Setup(cloud, image, timeout_seconds=60, **commands)


def columns(instance: Mapping[str, Any]) -> set[str]:
    secrets: Any = boto3.client("secretsmanager", REGION)
    secret = json.loads(
        secrets.get_secret_value(SecretId=instance["MasterUserSecret"]["SecretArn"])["SecretString"]
    )
    with psycopg.connect(
        host=instance["Endpoint"]["Address"],
        port=instance["Endpoint"]["Port"],
        dbname="shop",
        user=secret["username"],
        password=secret["password"],
    ) as connection:
        query = b"SELECT column_name FROM information_schema.columns WHERE table_name = 'items'"
        return {row[0] for row in connection.execute(query)}


def test_an_expand_comes_first_and_the_contract_when_it_is_asked_for(cloud: World, tmp_path: Path) -> None:
    with shop(cloud, variant(tmp_path, version="1", schema="0001"), tmp_path) as (first, instance):
        assert first.migrator.plan("api", "blue").kind == "expand"
        assert first.migrator.run("api", "blue", "r1").target == "0001"
        second = release(cloud, variant(tmp_path, version="2"), instance)
        plan = second.migrator.plan("api", "green")
        assert (plan.kind, plan.current, plan.revisions) == ("contract", "0001", ("0002", "0003"))
        done = second.migrator.run("api", "green", "r2-expand", expand_only=True)
        assert (done.kind, done.target, done.revisions, done.floor) == ("expand", "0002", ("0002",), None)
        assert columns(instance) >= {"name", "title"}, "the old version still has all that it needs"
        done = second.migrator.run("api", "green", "r2-contract")
        assert (done.kind, done.target, done.revisions, done.floor) == ("contract", "0003", ("0003",), "0002")
        assert "name" not in columns(instance)
        assert second.migrator.plan("api", "green").kind == "none"


def test_a_version_below_the_floor_is_refused(cloud: World, tmp_path: Path) -> None:
    with shop(cloud, variant(tmp_path, version="2"), tmp_path) as (newer, instance):
        newer.migrator.run("api", "blue", "r1")
        older = release(cloud, variant(tmp_path, version="1", schema="0001"), instance)
        with pytest.raises(ReleaseError, match=r"can't run on the schema.*0003.*floor of 0002.*knows 0001"):
            older.migrator.plan("api", "green")


def test_a_failing_migration_says_why_without_the_password(cloud: World, tmp_path: Path) -> None:
    folder = variant(tmp_path, version="1", migration_fails=True)
    with shop(cloud, folder, tmp_path) as (broken, _):
        assert broken.migrator.plan("api", "blue").kind == "contract"
        with pytest.raises(
            ReleaseError, match=r"api\.migrate up` of api ended with 1(.|\n)*fails on purpose"
        ):
            broken.migrator.run("api", "blue", "r1")


# ---- plans


def test_the_last_object_of_the_output_is_the_plan() -> None:
    lines = [
        "{broken",
        json.dumps(PLAN | {"target": "0009", "revisions": []}),
        "text",
        json.dumps(PLAN),
        "{no",
    ]
    found = plan_in(lines)
    assert found is not None
    assert (found.kind, found.target, found.revisions) == ("expand", "0001", ("0001",))
    assert plan_in(["nothing", "[1]"]) is None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"target": None, "current": 3}, "current is 3"),
        ({"revisions": "0001"}, "a list of objects"),
        ({"revisions": [{"id": "0001", "kind": "both"}]}, "give expand or contract"),
        ({"revisions": [{"kind": "expand"}]}, "revision None"),
        ({"revisions": [{"id": "0001", "kind": "contract"}]}, "it has a contract and no floor"),
        ({"kind": "none"}, "its revisions make it expand"),
        ({"target": "0002"}, "the last revision is '0001'"),
        ({"runs": False, "floor": "0001"}, "can't run on the schema"),
    ],
)
def test_a_plan_that_does_not_hold_is_refused_with_the_reason(change: dict[str, Any], told: str) -> None:
    with pytest.raises(ReleaseError, match=told):
        parse(PLAN | change)


@pytest.mark.parametrize("missing", ["current", "target", "floor", "revisions"])
def test_a_plan_that_lacks_something_is_refused(missing: str) -> None:
    with pytest.raises(ReleaseError, match=f"it lacks {missing}"):
        parse({name: value for name, value in PLAN.items() if name != missing})
