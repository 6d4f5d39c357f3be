"""Judges IAM policies as AWS does, for what ours use: effects, patterns, lists, and StringEquals."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

Statements = list[dict[str, Any]]


def statements(*texts: str) -> Statements:
    """All statements of some documents."""
    return [one for text in texts for one in json.loads(text)["Statement"]]


def listed(value: Any) -> list[str]:
    """A policy may have one value where it may have several."""
    return value if isinstance(value, list) else [value]


def matches(patterns: Any, text: str) -> bool:
    """Whether a resource is one of these."""
    return any(_pattern(pattern).fullmatch(text) for pattern in listed(patterns))


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."), re.DOTALL)


def concerns(statement: Mapping[str, Any], action: str, resource: str, context: Mapping[str, str]) -> bool:
    """Whether a statement is about this."""
    where = (
        not matches(statement["NotResource"], resource)
        if "NotResource" in statement
        else matches(statement["Resource"], resource)
    )
    # Only the case of actions does not count.
    named = matches([one.lower() for one in listed(statement["Action"])], action.lower())
    return where and named and holds(statement.get("Condition", {}), context)


def holds(condition: Mapping[str, Mapping[str, Any]], context: Mapping[str, str]) -> bool:
    """Whether a statement's condition is met."""
    for operator, expected in condition.items():
        assert operator == "StringEquals", f"the evaluator does not know {operator}"
        if any(context.get(key) not in listed(value) for key, value in expected.items()):
            return False
    return True


def judged(found: Statements, action: str, resource: str, context: Mapping[str, str]) -> str:
    """ "deny", "allow" or "nothing"."""
    effects = {one["Effect"] for one in found if concerns(one, action, resource, context)}
    return "deny" if "Deny" in effects else "allow" if "Allow" in effects else "nothing"


def permitted(
    policies: Sequence[Statements], action: str, resource: str, context: Mapping[str, str] | None = None
) -> bool:
    """Whether each of these allows it: a role's own policies, and its boundary where it has one."""
    return all(judged(found, action, resource, context or {}) == "allow" for found in policies)
