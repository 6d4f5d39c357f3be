"""What databases use, measured on real PostgreSQL servers, and how CloudWatch hears of it."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import psycopg
import pytest
from moto import mock_aws

from localcloud.aws import install
from localcloud.dataplane.database import DatabasePlane, DatabaseProcess, cores_of
from localcloud.dataplane.metrics import DatabaseUsage, of_databases
from localcloud.dataplane.postgres import Server, Wanted
from localcloud.dataplane.usage import DatabaseMeter
from tests.unit.databases import a_server, free_port, url
from tests.unit.test_dataplane_database import connect, create, credentials, until

STORAGE = 10 * 1024**3
ACCOUNT, REGION = "123456789012", "eu-west-1"
BURN = "SELECT count(*) FROM generate_series(1, 3000000)"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Wanted]]:
    with a_server(tmp_path_factory.mktemp("usage")) as server:
        yield server


@pytest.fixture
def server(running: tuple[Server, Wanted]) -> Server:
    return running[0]


@pytest.fixture
def wanted(running: tuple[Server, Wanted]) -> Wanted:
    return running[1]


def meter_of(server: Server, *, cores: int = 2, storage_bytes: int = STORAGE) -> DatabaseMeter:
    return DatabaseMeter(
        lambda: [
            DatabaseProcess(
                account=ACCOUNT,
                region=REGION,
                identifier="main",
                postmaster=server.postmaster,
                data=server.data,
                cores=cores,
                storage_bytes=storage_bytes,
            )
        ]
    )


def only(meter: DatabaseMeter) -> DatabaseUsage:
    (found,) = meter()
    return found


def test_connections_are_the_clients_that_are_connected_and_no_process_of_the_servers_own(
    server: Server, wanted: Wanted
) -> None:
    meter = meter_of(server)
    assert until(lambda: only(meter).connections == 0)
    three = [psycopg.connect(url(wanted)) for _ in range(3)]
    # An idle one and one in a transaction count alike.
    three[0].execute("SELECT 1")
    assert only(meter).connections == 3
    three.pop().close()
    assert until(lambda: only(meter).connections == 2)
    for connection in three:
        connection.close()
    assert until(lambda: only(meter).connections == 0)


def test_free_storage_is_what_was_allocated_less_the_files_of_the_server(
    server: Server, wanted: Wanted
) -> None:
    meter = meter_of(server)
    before = only(meter).free_storage_bytes
    with psycopg.connect(url(wanted)) as connection:
        connection.execute("CREATE TABLE much AS SELECT repeat('x', 1000) FROM generate_series(1, 20000)")
    rows = 20_000 * 1000
    assert before - only(meter).free_storage_bytes >= rows
    said = subprocess.run(
        ["find", str(server.data), "-type", "f", "-printf", "%s\\n"], stdout=subprocess.PIPE, check=True
    )
    files = sum(map(int, said.stdout.split()))
    assert only(meter).free_storage_bytes == pytest.approx(STORAGE - files, abs=10 * 1024**2)
    assert only(meter_of(server, storage_bytes=1)).free_storage_bytes == 0, "full is full, and never below"


def test_cpu_is_told_of_connections_that_live_and_of_those_that_have_ended(
    server: Server, wanted: Wanted
) -> None:
    meter = meter_of(server)
    only(meter)
    with psycopg.connect(url(wanted)) as connection:
        connection.execute(BURN)
        alive = only(meter).cpu_percent
        connection.execute(BURN)
    until(lambda: only(meter_of(server)).connections == 0)
    ended = only(meter).cpu_percent
    assert 0 < alive <= 100
    assert 0 < ended <= 100, "what a connection used in its time counts when it is gone"


def test_cpu_is_a_share_of_the_cores_of_the_class(server: Server, wanted: Wanted) -> None:
    small, large = meter_of(server, cores=1), meter_of(server, cores=1000)
    small()
    large()
    with psycopg.connect(url(wanted)) as connection:
        connection.execute(BURN)
        in_large, in_small = only(large).cpu_percent, only(small).cpu_percent
    assert in_small > 20 * in_large > 0


@pytest.mark.parametrize(
    ("instance_class", "cores"),
    [
        ("db.t4g.micro", 2),
        ("db.t4g.medium", 2),
        ("db.r6g.large", 2),
        ("db.r6g.xlarge", 4),
        ("db.m7g.2xlarge", 8),
        ("db.r6i.16xlarge", 64),
    ],
)
def test_cores_of_a_class_are_those_of_aws(instance_class: str, cores: int) -> None:
    assert cores_of(instance_class) == cores


def test_a_server_that_does_not_run_is_said_to(tmp_path: Path) -> None:
    with a_server(tmp_path) as (server, _):
        meter = meter_of(server)
        assert only(meter).running
        server.stop(keep=True)
        assert not only(meter).running
        install()
        with mock_aws():
            rds().create_db_instance(**INSTANCE)
            rds().create_db_instance(**INSTANCE | {"DBInstanceIdentifier": "other"})
            told = {dict(point.dimensions)["DBInstanceIdentifier"] for point in told_of(meter)}
        assert told == {"other"}, "silence says that a database is down; nobody measures the other one"


INSTANCE: dict[str, Any] = {
    "DBInstanceIdentifier": "main",
    "Engine": "postgres",
    "DBInstanceClass": "db.t4g.medium",
    "AllocatedStorage": 20,
    "MasterUsername": "owner",
    "MasterUserPassword": "0123456789",
}


def rds() -> Any:
    return boto3.client("rds", REGION)


def told_of(meter: DatabaseMeter) -> Any:
    return of_databases(meter())[ACCOUNT, REGION]


def test_the_instances_of_the_api_are_measured_each_by_its_own_server(tmp_path: Path) -> None:
    install()
    with mock_aws():
        plane = DatabasePlane(tmp_path / "databases")
        plane.start()
        try:
            meter = DatabaseMeter(plane.processes)
            first = create("first", free_port())
            create("second", free_port())
            rds().create_db_instance_read_replica(
                DBInstanceIdentifier="replica", SourceDBInstanceIdentifier="first"
            )
            until(lambda: len([used for used in meter() if used.running]) == 2)
            with connect(first, **credentials(first)), connect(first, **credentials(first)):
                values = {
                    (dict(point.dimensions)["DBInstanceIdentifier"], point.name): next(iter(point.counts))
                    for point in told_of(meter)
                }
        finally:
            plane.stop()
    connections = {name: count for (name, metric), count in values.items() if metric == "DatabaseConnections"}
    assert connections == {"first": 2, "second": 0, "replica": 0}
    used = {
        name: 20 * 1024**3 - free for (name, metric), free in values.items() if metric == "FreeStorageSpace"
    }
    assert used["replica"] == 0, "it has no server"
    assert all(10 * 1024**2 < used[name] < 200 * 1024**2 for name in ("first", "second"))
