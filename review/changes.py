"""What a preview tells, in the words of the report. Plain values, without secrets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from review.policy_findings import PolicyFinding


class Operation(StrEnum):
    """What would be done to a resource, the gravest first."""

    REPLACE = "replace"
    DELETE = "delete"
    UPDATE = "update"
    IMPORT = "import"
    FORGET = "forget"
    CREATE = "create"


@dataclass(frozen=True, kw_only=True)
class PropertyChange:
    """A property before and after, as text without secrets; None where there is nothing.

    replaces: this is why the resource is replaced.
    """

    path: str
    before: str | None
    after: str | None
    replaces: bool = False


@dataclass(frozen=True, kw_only=True)
class Change:
    """What would be done to one resource.

    component: names of the components that it is in, outermost first.
    because: properties that force the replacement.
    loses: what goes with it if it is stateful, else None.
    retained: AWS keeps the old one; only the state forgets it.
    inputs: what it would be given, for the digest; secrets are keyed hashes, or left out without a key.
    """

    urn: str
    type: str
    name: str
    operation: Operation
    component: tuple[str, ...] = ()
    id: str = ""
    because: tuple[str, ...] = ()
    properties: tuple[PropertyChange, ...] = ()
    loses: str | None = None
    retained: bool = False
    protected: bool = False
    inputs: Mapping[str, Any] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, kw_only=True)
class Drift:
    """A resource that is not as the state has it: somebody else changed or deleted it.

    gone: it is not there any more.
    undone: the plan changes it (back).
    writer: who is meant to write these properties; None if nobody but the program is.
    """

    urn: str
    type: str
    name: str
    component: tuple[str, ...] = ()
    properties: tuple[PropertyChange, ...] = ()
    gone: bool = False
    undone: bool = False
    writer: str | None = None


@dataclass(frozen=True, kw_only=True)
class Delegated:
    """A property that others than the program write, see docs/one-writer.md. `path` has [*] for any place."""

    type: str
    path: str
    writer: str


@dataclass(frozen=True, kw_only=True)
class Reading:
    """All that a preview told.

    unchanged: how many resources stay as they are.
    errors, warnings: the engine's words, without secrets.
    finished: the engine came to an end of its own.
    """

    changes: tuple[Change, ...] = ()
    drift: tuple[Drift, ...] = ()
    unchanged: int = 0
    errors: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    findings: tuple[PolicyFinding, ...] = ()
    finished: bool = False


def name_of(urn: str) -> str:
    """The resource's name in the program."""
    return urn.split("::", 3)[-1]
