"""What is wrong with settings, and what looks like a secret in them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

SECRET_NAME = re.compile(r"(passw(or)?d|secret|token|credential|api_?key|private_?key|access_?key)", re.I)
SECRET_VALUE = re.compile(
    r"(-----BEGIN |\b(AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[pousr]_\w{20,}|\bxox[abprs]-|\bsk_live_|\beyJ[\w-]{10,}\.|://[^/\s:@]+:[^/\s@]+@)"
)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake: the key below `switchyard:`, what was given, what is allowed."""

    key: str
    given: str
    allowed: str


Problems = Iterator[Problem]
