"""Takes secrets out of text that people will read. Pure but for reading the environment's secrets."""

import os
import re
from collections.abc import Iterable, Mapping

MASK = "***"
# Shorter values are words and numbers that stand everywhere; hiding them would hide nothing.
SHORTEST = 6

_SECRET_NAME = re.compile(
    r"passw(or)?d|secret|token|credential|api_?key|private_?key|access_?key|webhook", re.I
)
_NOT_SECRET = re.compile(r"_(arn|name|id|file|path)$", re.I)
_PATTERNS = (
    re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.S),
    re.compile(r"\b(AKIA|ASIA)[A-Z0-9]{16}\b"),
    re.compile(r"\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}"),
    re.compile(r"\bxox[abeprs]-[\w-]{10,}"),
    re.compile(r"\bsk_live_\w+"),
    re.compile(r"\beyJ[\w-]{10,}\.[\w-]+\.[\w-]*"),
    re.compile(r"https://hooks\.slack\.com/\S+"),
)
# What stands before the secret is kept.
_AFTER = (
    re.compile(r"(://[^/\s:@]+:)[^/\s@]+(?=@)"),
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
    for pattern in _PATTERNS:
        text = pattern.sub(MASK, text)
    for pattern in _AFTER:
        text = pattern.sub(rf"\g<1>{MASK}", text)
    return text


def secrets_of(environment: Mapping[str, str] | None = None) -> list[str]:
    """The values of the variables whose names say that they are secret; by default of this process."""
    found = os.environ if environment is None else environment
    return [
        value
        for name, value in found.items()
        if _SECRET_NAME.search(name) and not _NOT_SECRET.search(name) and len(value) >= SHORTEST
    ]
