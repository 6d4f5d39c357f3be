"""Migrations of the schema as one-off tasks on the release's own image.

The plan command of a service prints one line of JSON, the last line of its output that is a JSON object:

    {"current": "0001", "target": "0003", "floor": "0002",
     "revisions": [{"id": "0002", "kind": "expand"}, {"id": "0003", "kind": "contract"}]}

`"runs": false` beside it says that the image is too old for the schema. The migration command prints the
same of what it did, or nothing. It gets the variable SWITCHYARD_MIGRATE: `expand` before the new version
takes traffic (stop before the first contract), `all` after the bake.
docs/migrations.md says how to write both.
"""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from components.colours import Colour
from release.errors import NeedsPerson, ReleaseError
from release.masking import masked
from release.ports import MigrationPlan

if TYPE_CHECKING:
    from infra.settings import MigrationSettings
    from release.aws.one_off import Ended

VARIABLE = "SWITCHYARD_MIGRATE"
NOTHING = MigrationPlan(kind="none", current=None, target=None, revisions=(), floor=None)
# A log line that was written last may be read last.
LATE_LOOKS = 10
Kind = Literal["none", "expand", "contract"]


class Tasks(Protocol):
    """Runs commands on a colour's task definition: `release.aws.one_off.OneOffTasks`."""

    def run(
        self,
        service: str,
        colour: Colour,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        token: str | None,
        timeout_seconds: float,
    ) -> "Ended":
        """The task, once it has ended."""

    def lines(self, ended: "Ended") -> list[str]:
        """What it has written so far."""

    def last_words(self, ended: "Ended") -> str:
        """Its last lines, masked, for a message."""

    def wait_for_lines(self) -> None:
        """A pause in which more lines may come."""


class TaskMigrator:
    """The migrations of a stack's services. A service without settings for it has nothing to migrate.

    settings: `services.<name>.migrations`, by service; None for a service without.
    """

    def __init__(self, *, tasks: Tasks, settings: Mapping[str, "MigrationSettings | None"]) -> None:
        self._tasks = tasks
        self._settings = settings

    def plan(self, service: str, colour: Colour) -> MigrationPlan:
        """What is to be done, by the service's plan command on the colour's image.

        Raises ReleaseError for a command that fails, or prints no plan; Unavailable and NeedsPerson.
        """
        settings = self._settings.get(service)
        if settings is None:
            return NOTHING
        ended = self._run(service, colour, settings.plan_command, "all", None, settings.timeout_seconds)
        return self._told(service, ended, settings.plan_command)

    def run(self, service: str, colour: Colour, token: str, *, expand_only: bool = False) -> MigrationPlan:
        """Migrates and returns what was done. A repeated call with the token finds the same task again.

        expand_only: stop before the first contract revision. Raises ReleaseError for a command that fails,
        NeedsPerson for one that ran a contract all the same; Unavailable.
        """
        settings = self._settings.get(service)
        if settings is None:
            return NOTHING
        what = "expand" if expand_only else "all"
        ended = self._run(service, colour, settings.command, what, token, settings.timeout_seconds)
        done = self._found(ended) or self._after(service, colour)
        if expand_only and done.kind == "contract":
            raise NeedsPerson(
                f"the migration of {service} has run a contract ({', '.join(done.revisions)}) although "
                f"{VARIABLE} was `expand`: the version that has the traffic may not run on the schema any "
                f"more. Look at it now; {' '.join(settings.command)} has to stop before the first contract"
            )
        return done

    def _after(self, service: str, colour: Colour) -> MigrationPlan:
        """How the schema is now, by the plan command: for a migration command that prints nothing."""
        left = self.plan(service, colour)
        return MigrationPlan(
            kind="none", current=left.current, target=left.current, revisions=(), floor=left.floor
        )

    def _run(
        self,
        service: str,
        colour: Colour,
        command: Sequence[str],
        what: str,
        token: str | None,
        timeout_seconds: float,
    ) -> "Ended":
        ended = self._tasks.run(
            service,
            colour,
            command,
            environment={VARIABLE: what},
            token=token,
            timeout_seconds=timeout_seconds,
        )
        if ended.exit_code != 0:
            raise ReleaseError(
                f"`{' '.join(command)}` of {service} ended with {ended.exit_code} in task {ended.id}; "
                + self._tasks.last_words(ended)
            )
        return ended

    def _told(self, service: str, ended: "Ended", command: Sequence[str]) -> MigrationPlan:
        for _ in range(LATE_LOOKS):
            found = self._found(ended)
            if found is not None:
                return found
            self._tasks.wait_for_lines()
        raise ReleaseError(
            f"`{' '.join(command)}` of {service} printed no plan; it has to print one line of JSON with "
            f"current, target, floor and revisions; " + self._tasks.last_words(ended)
        )

    def _found(self, ended: "Ended") -> MigrationPlan | None:
        return plan_in(self._tasks.lines(ended))


def plan_in(lines: Sequence[str]) -> MigrationPlan | None:
    """The plan in a command's output; None if no line is a JSON object. Raises ReleaseError for a bad one."""
    for line in reversed(lines):
        if line.lstrip().startswith("{"):
            try:
                found = json.loads(line)
            except ValueError:
                continue
            return parse(found)
    return None


def parse(found: Mapping[str, Any]) -> MigrationPlan:
    """The plan that was printed. Raises ReleaseError that says what is wrong with it."""
    missing = sorted({"current", "target", "floor", "revisions"} - found.keys())
    if missing:
        raise _bad(found, f"it lacks {', '.join(missing)}")
    for name in ("current", "target", "floor"):
        if found[name] is not None and not isinstance(found[name], str):
            raise _bad(found, f"{name} is {found[name]!r}: it may be text or null")
    ids, kind = _revisions(found)
    if found.get("kind", kind) != kind:
        raise _bad(found, f"kind is {found['kind']!r}, but its revisions make it {kind}")
    if ids and found["target"] != ids[-1]:
        raise _bad(found, f"target is {found['target']!r}, but the last revision is {ids[-1]!r}")
    if kind == "contract" and found["floor"] is None:
        raise _bad(found, "it has a contract and no floor: which schema has a version to know at least?")
    if found.get("runs", True) is not True:
        raise ReleaseError(
            f"this version can't run on the schema: the schema is at {found['current']} with a floor of "
            f"{found['floor']}, and the version knows {found['target']}; release a newer one"
        )
    return MigrationPlan(
        kind=kind, current=found["current"], target=found["target"], revisions=ids, floor=found["floor"]
    )


def _revisions(found: Mapping[str, Any]) -> tuple[tuple[str, ...], Kind]:
    """Their ids, and the kind of all of them together."""
    revisions = found["revisions"]
    if not isinstance(revisions, list) or not all(isinstance(one, dict) for one in revisions):
        raise _bad(found, "revisions has to be a list of objects with id and kind")
    for one in revisions:
        if not isinstance(one.get("id"), str) or one.get("kind") not in ("expand", "contract"):
            raise _bad(found, f"revision {one.get('id')!r} is {one.get('kind')!r}: give expand or contract")
    kinds = {one["kind"] for one in revisions}
    kind: Kind = "none" if not kinds else "contract" if "contract" in kinds else "expand"
    return tuple(one["id"] for one in revisions), kind


def _bad(found: Mapping[str, Any], why: str) -> ReleaseError:
    return ReleaseError(f"the plan that was printed can't be read: {why}. It was {masked(json.dumps(found))}")
