"""What a control is, and what it judges. Pure: no Pulumi, no AWS, no files."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any, Final

Properties = Mapping[str, Any]


class _Unknown(Enum):
    UNKNOWN = "unknown"


# A value that only an update will know. Nothing is concluded from it: the update judges again.
UNKNOWN: Final = _Unknown.UNKNOWN


class Severity(Enum):
    """How bad it is, in AWS Security Hub's words."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def mandatory(self) -> bool:
        """Whether an update is refused. What is of low severity is said, and nothing more."""
        return self is not Severity.LOW


@dataclass(frozen=True, kw_only=True)
class Resource:
    """A resource as it will be.

    urn: what it is known by; unique.
    properties: by pulumi-aws's names; a value may be UNKNOWN.
    uses: by property, the URNs of the resources that its value comes from.
    """

    urn: str
    type: str
    name: str
    properties: Properties
    uses: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Stack:
    """All resources of a stack."""

    resources: Sequence[Resource]

    @cached_property
    def _by_urn(self) -> Mapping[str, Resource]:
        return {resource.urn: resource for resource in self.resources}

    def of(self, type_: str) -> list[Resource]:
        """The resources of a type."""
        return [resource for resource in self.resources if resource.type == type_]

    def used(self, by: Resource, property_: str, type_: str) -> list[Resource]:
        """The resources of a type that a property's value comes from."""
        found = (self._by_urn.get(urn) for urn in by.uses.get(property_, ()))
        return [resource for resource in found if resource is not None and resource.type == type_]

    def users(self, of: Resource, type_: str, property_: str) -> list[Resource]:
        """The resources of a type whose property uses the given one."""
        return [user for user in self.of(type_) if of.urn in user.uses.get(property_, ())]


# What is wrong with a resource; None for nothing.
ResourceCheck = Callable[[Resource], str | None]
# Every resource that is wrong, and what is.
StackCheck = Callable[[Stack], Iterable[tuple[Resource, str]]]


@dataclass(frozen=True, kw_only=True)
class Control:
    """One rule of the list. Exactly one of the checks is given.

    id: AWS Security Hub's, such as RDS.3.
    title: what holds when it is kept.
    remedy: what to change when it is not.
    types: the types of resources that `check` is asked about.
    """

    id: str
    title: str
    severity: Severity
    remedy: str
    types: tuple[str, ...] = ()
    check: ResourceCheck | None = None
    check_stack: StackCheck | None = None

    def __post_init__(self) -> None:
        if (self.check is None) == (self.check_stack is None):
            raise TypeError(f"{self.id} needs exactly one of check and check_stack")
        if (self.check is None) != (not self.types):
            raise TypeError(f"{self.id} needs types for check, and none for check_stack")

    @property
    def url(self) -> str:
        """AWS's page of the control."""
        service, _, number = self.id.partition(".")
        return (
            "https://docs.aws.amazon.com/securityhub/latest/userguide/"
            f"{service.lower()}-controls.html#{service.lower()}-{number}"
        )

    def judge(self, stack: Stack) -> list[tuple[Resource, str]]:
        """Every resource of a stack that breaks it, and how."""
        if self.check_stack is not None:
            return list(self.check_stack(stack))
        assert self.check is not None  # noqa: S101 - see __post_init__
        answers = ((r, self.check(r)) for r in stack.resources if r.type in self.types)
        return [(resource, message) for resource, message in answers if message is not None]


# --- reading properties


def value(properties: Any, path: str) -> Any:
    """What is at a path such as `accessLogs.enabled`; UNKNOWN on the way is UNKNOWN, a gap is None."""
    found = properties
    for step in path.split("."):
        if found is UNKNOWN:
            return UNKNOWN
        if not isinstance(found, Mapping):
            return None
        found = found.get(step)
    return found


def is_true(properties: Any, path: str) -> bool:
    """Whether the value is true, or may be."""
    return value(properties, path) in (True, "true", UNKNOWN)


def given(properties: Any, path: str) -> bool:
    """Whether there is a value, known or not."""
    return value(properties, path) not in (None, "", [])


def one_of(properties: Any, path: str, allowed: Iterable[Any]) -> bool:
    """Whether the value is one of the allowed ones, or may be."""
    found = value(properties, path)
    return found is UNKNOWN or found in tuple(allowed)


def items(properties: Any, path: str) -> list[Any]:
    """The items of a list; none where there is none, or where it is not known yet."""
    found = value(properties, path)
    return list(found) if isinstance(found, Sequence) and not isinstance(found, str) else []
