"""A real PostgreSQL behind each PostgreSQL instance of the embedded RDS.

An instance gets a loopback address of its own, so that its endpoint and port are what the API says; on a
machine that has 127.0.0.1 alone (macOS) there is room for one instance per port. The password is that of
the secret that RDS manages. Read replicas have no server. There is no TLS. The server's version is that of
the binaries, whatever version was asked for.
"""

import hashlib
import ipaddress
import json
import logging
import secrets
import shutil
import socket
import string
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from moto.rds.models import DBInstance, MasterUserSecret, rds_backends
from moto.secretsmanager.models import secretsmanager_backends

from localcloud.dataplane.postgres import Binaries, NoPostgres, Server, ServerFailed, Wanted, find

LOG = logging.getLogger(__name__)
# How often moto's instances are looked at, and how long a server that failed to start is left alone.
LOOK_SECONDS = 0.3
RETRY_SECONDS = 10.0
# Below it: one block for the databases of all clouds of this machine, 65,534 addresses.
BLOCK = ipaddress.IPv4Network("127.78.0.0/16")
ONLY_ADDRESS = "127.0.0.1"
PASSWORD_LENGTH = 28
BYTES_PER_GIB = 1024**3


@dataclass(frozen=True, kw_only=True)
class DatabaseAddress:
    """Where an instance's server is. trouble: why it has none; None while it runs."""

    identifier: str
    address: str
    port: int
    trouble: str | None


@dataclass(frozen=True, kw_only=True)
class DatabaseProcess:
    """The server of an instance. postmaster: its process; None while it takes no connections.

    cores: virtual CPUs of the instance's class. storage_bytes: what was allocated. data: where it is used.
    """

    account: str
    region: str
    identifier: str
    postmaster: int | None
    data: Path
    cores: int
    storage_bytes: int


def loopback_address(seed: str) -> str:
    """An address of the block that is always the same for this seed, or 127.0.0.1 where only that is."""
    number = int.from_bytes(hashlib.sha256(seed.encode()).digest()[:4])
    candidate = str(BLOCK[1 + number % (BLOCK.num_addresses - 2)])
    with socket.socket() as probe:
        try:
            probe.bind((candidate, 0))
        except OSError:
            return ONLY_ADDRESS
    return candidate


def _with_own_credentials(self: MasterUserSecret) -> str:
    """The secret's text; moto has one user name and one password for all."""
    letters = string.ascii_letters + string.digits + "!#$%&*-_+?"
    password = "".join(secrets.choice(letters) for _ in range(PASSWORD_LENGTH))
    return json.dumps({"username": self.resource.master_username, "password": password})


class DatabasePlane:
    """Keeps a server running for each instance of every account and region.

    Data is kept below `directory`, or in a temporary one where the unprivileged user of the servers can't
    reach that, and goes when the instance is deleted, at `stop()`, and at the next `start()`.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._servers: dict[str, Server] = {}
        self._trouble: dict[str, tuple[float, str]] = {}
        self._addresses: dict[str, DatabaseAddress] = {}
        self._binaries: Binaries | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="databases", daemon=True)
        self._original_address: Any = None
        self._original_secret: Any = None

    def start(self) -> None:
        """Gives instances addresses and passwords, and begins to look after them. Returns at once."""
        shutil.rmtree(self._directory, ignore_errors=True)
        self._original_address = vars(DBInstance)["address"]
        self._original_secret = vars(MasterUserSecret)["_generate_secret_string"]
        setattr(DBInstance, "address", property(self._address))  # noqa: B010 - a property to mypy
        setattr(MasterUserSecret, "_generate_secret_string", _with_own_credentials)  # noqa: B010 - a method
        self._thread.start()

    def stop(self) -> None:
        """Ends all servers and removes their data; moto is as before."""
        self._ended.set()
        self._thread.join()
        for server in self._servers.values():
            server.stop(keep=False)
        self._servers.clear()
        if self._binaries is not None:
            self._binaries.remove_copy()
        setattr(DBInstance, "address", self._original_address)  # noqa: B010 - as above
        setattr(MasterUserSecret, "_generate_secret_string", self._original_secret)  # noqa: B010 - as above

    def where(self) -> list[DatabaseAddress]:
        """The instances that there are, by identifier."""
        return sorted(self._addresses.values(), key=lambda found: found.identifier)

    def processes(self) -> list[DatabaseProcess]:
        """The server of each instance that is to have one, also of one that does not run."""
        servers = dict(self._servers)
        return [
            DatabaseProcess(
                account=account,
                region=region,
                identifier=instance.db_instance_identifier,
                postmaster=server.postmaster if server else None,
                data=server.data if server else self._directory,
                cores=cores_of(instance.db_instance_class),
                storage_bytes=int(instance.allocated_storage or 0) * BYTES_PER_GIB,
            )
            for account, region, instance in _with_servers()
            for server in [servers.get(instance.dbi_resource_id)]
        ]

    def _address(self, instance: Any) -> str:
        # One of two clouds of this machine must not answer for the other.
        seed = f"{self._directory} {instance.arn} {instance.dbi_resource_id}"
        if not _has_server(instance):
            named: str = self._original_address.fget(instance)
            return named
        kept: str | None = getattr(instance, "loopback_address", None)
        if kept is None:
            kept = instance.loopback_address = loopback_address(seed)
        return kept

    def _run(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            try:
                self._look()
            except Exception:
                # moto's state may change under our eyes; the next look sees it.
                LOG.exception("looking at the databases failed")

    def _look(self) -> None:
        wanted = dict(_instances(self._address))
        for key in self._servers.keys() - wanted.keys():
            self._servers.pop(key).stop(keep=False)
        for key in self._addresses.keys() - wanted.keys():
            del self._addresses[key]
            self._trouble.pop(key, None)
        for key, instance in wanted.items():
            self._keep_running(key, instance)
            trouble = self._trouble.get(key)
            self._addresses[key] = DatabaseAddress(
                identifier=instance.identifier,
                address=instance.address,
                port=instance.port,
                trouble=trouble[1] if trouble else None,
            )

    def _keep_running(self, key: str, wanted: Wanted) -> None:
        server = self._servers.get(key)
        if server is not None and server.alive and server.wanted == wanted:
            return
        failed = self._trouble.get(key)
        if failed is not None and time.monotonic() - failed[0] < RETRY_SECONDS:
            return
        if server is not None:
            server.stop(keep=True)
        try:
            self._servers[key] = self._started(key, wanted)
            self._trouble.pop(key, None)
        except (NoPostgres, ServerFailed, OSError) as error:
            if failed is None or failed[1] != str(error):
                LOG.warning("database %s has no server: %s", wanted.identifier, error)
            self._trouble[key] = time.monotonic(), str(error)

    def _started(self, key: str, wanted: Wanted) -> Server:
        if self._binaries is None:
            self._binaries = find(self._directory)
        # The resource id alone is a good name for a folder.
        server = Server(self._binaries, self._binaries.data / key, wanted)
        server.start()
        return server


def _has_server(instance: Any) -> bool:
    return str(instance.engine) == "postgres" and not instance.is_replica


def cores_of(instance_class: str) -> int:
    """The virtual CPUs of an instance class: 2 up to `large`, then 4 for each `xlarge`.

    Source: "DB instance class hardware specifications", which holds for every current family.
    """
    size = instance_class.rpartition(".")[2]
    if not size.endswith("xlarge"):
        return 2
    return 4 * int(size.removesuffix("xlarge") or 1)


def _with_servers() -> Iterator[tuple[str, str, Any]]:
    """Account, region and instance of each one that is to have a server."""
    for account, regions in list(rds_backends.items()):
        for region, backend in list(regions.items()):
            instances: list[Any] = list(backend.databases.values())
            for instance in instances:
                if _has_server(instance):
                    yield account, region, instance


def _instances(address: Callable[[Any], str]) -> Iterator[tuple[str, Wanted]]:
    """By resource id, which a new instance of the same name does not share."""
    for account, region, instance in _with_servers():
        with suppress(LookupError, AttributeError):
            yield (
                instance.dbi_resource_id,
                Wanted(
                    identifier=instance.db_instance_identifier,
                    address=address(instance),
                    port=int(instance.port),
                    user=instance.master_username,
                    password=_password(instance, account, region),
                    database=instance.db_name or "postgres",
                ),
            )


def _password(instance: Any, account: str, region: str) -> str:
    """Of the managed secret, or the one that was given. Raises LookupError while there is none."""
    if not instance.manage_master_user_password:
        given: str = instance._master_user_password
        return given
    arn = instance.master_user_secret.secret.arn
    stored: Any = secretsmanager_backends[account][region].secrets[arn]
    version = stored.versions[stored.default_version_id]
    password: str = json.loads(version["secret_string"])["password"]
    return password
