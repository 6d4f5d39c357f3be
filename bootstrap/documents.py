"""Policy documents, and what they are made with. Pure."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bootstrap.inputs import Inputs

Statement = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Keys:
    """ARNs of the keys that open the state, and the secrets in settings and state."""

    state: str
    secrets: str


@dataclass(frozen=True, kw_only=True)
class Documents:
    """The inline policies of a role. labels: their names; make: their texts by name."""

    labels: tuple[str, ...]
    make: Callable[[Inputs, Keys, str], Mapping[str, str]]


def document(statements: list[Statement]) -> str:
    """A policy's text, as short as it gets: AWS counts characters."""
    return json.dumps(
        {"Version": "2012-10-17", "Statement": statements}, sort_keys=True, separators=(",", ":")
    )


def allow(sid: str, action: object, resource: object, condition: object = None) -> Statement:
    """One statement."""
    found: Statement = {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}
    return {**found, "Condition": condition} if condition else found


def deny(sid: str, action: object, resource: object) -> Statement:
    """A statement that forbids."""
    return {"Sid": sid, "Effect": "Deny", "Action": action, "Resource": resource}


def deny_but(sid: str, action: object, resource: object) -> Statement:
    """A statement that forbids it for all other resources."""
    return {"Sid": sid, "Effect": "Deny", "Action": action, "NotResource": resource}
