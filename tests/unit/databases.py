"""A PostgreSQL of its own for a test module."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import psycopg

from localcloud.dataplane.postgres import Server, Wanted, find


def free_port() -> int:
    """A loopback port that nobody has at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def a_server(directory: Path, word: str = "p'ss:w/rd") -> Iterator[tuple[Server, Wanted]]:
    """A running server with the database `shop` of the user `owner`."""
    binaries = find(directory)
    wanted = Wanted(
        identifier="test",
        address="127.0.0.1",
        port=free_port(),
        user="owner",
        password=word,
        database="shop",
    )
    server = Server(binaries, binaries.data / "server", wanted)
    try:
        server.start()
        yield server, wanted
    finally:
        server.stop(keep=False)
        binaries.remove_copy()


def variables(wanted: Wanted, database: str) -> dict[str, str]:
    """What a container gets to know of its database."""
    return {
        "DATABASE_HOST": wanted.address,
        "DATABASE_PORT": str(wanted.port),
        "DATABASE_NAME": database,
        "DATABASE_USERNAME": wanted.user,
        "DATABASE_PASSWORD": wanted.password,
    }


def url(wanted: Wanted, database: str = "shop") -> str:
    """The address for a driver."""
    login = f"{wanted.user}:{quote(wanted.password, safe='')}"
    return f"postgresql://{login}@{wanted.address}:{wanted.port}/{database}"


def new_database(wanted: Wanted, name: str) -> str:
    """An empty database beside the others; its name is returned."""
    with psycopg.connect(url(wanted), autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"'.encode())
    return name
