"""Reads IAM policy documents. Pure."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from policies.model import UNKNOWN, Properties, value

Statement = Mapping[str, Any]


def statements(properties: Properties, path: str = "policy") -> Iterator[Statement]:
    """The statements of a document; none while it is not known, or where it is none."""
    text = value(properties, path)
    if text is UNKNOWN or text is None:
        return
    try:
        document = json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return
    found = document.get("Statement", []) if isinstance(document, Mapping) else []
    for statement in found if isinstance(found, list) else [found]:
        if isinstance(statement, Mapping):
            yield statement


def listed(statement: Statement, key: str) -> list[str]:
    """A value that may be one text or several."""
    found = statement.get(key, [])
    return [found] if isinstance(found, str) else [str(item) for item in found]


def allows(statement: Statement) -> bool:
    """Whether it allows something."""
    return statement.get("Effect") == "Allow"


def principals(statement: Statement) -> list[str]:
    """Who is meant, whatever the kind."""
    found = statement.get("Principal", [])
    if isinstance(found, Mapping):
        return [name for kind in found for name in listed(found, kind)]
    return listed(statement, "Principal")


def is_public(statement: Statement) -> bool:
    """Whether it allows something to everyone without a condition."""
    return allows(statement) and "*" in principals(statement) and not statement.get("Condition")
