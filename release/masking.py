"""Takes secrets out of text that people will read. Pure but for reading the environment's secrets."""

import os
import re
from collections.abc import Iterable, Mapping

from infra import secret_looks

MASK = "***"
# Shorter values are words and numbers that stand everywhere; hiding them would hide nothing.
SHORTEST = 6

# What stands before the secret is kept.
_AFTER = (
    re.compile(r"(\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}", re.I),
    re.compile(
        r"(\b[\w-]*(?:passw(?:or)?d|secret|token|api[_-]?key)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]{4,}", re.I
    ),
)


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """The text with `***` for each of the secrets and for what looks like one."""
    # The longest first: one secret may begin with another.
    for secret in sorted({secret for secret in secrets if len(secret) >= SHORTEST}, key=len, reverse=True):
        text = text.replace(secret, MASK)
    text = secret_looks.VALUE.sub(MASK, text)
    for pattern in _AFTER:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text


def secrets_of(environment: Mapping[str, str] | None = None) -> list[str]:
    """The values of the variables whose names say that they are secret; by default of this process."""
    found = os.environ if environment is None else environment
    return [value for name, value in found.items() if secret_looks.names_one(name) and len(value) >= SHORTEST]
