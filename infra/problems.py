"""What is wrong with settings."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One mistake: the key below `switchyard:`, what was given, what is allowed."""

    key: str
    given: str
    allowed: str


Problems = Iterator[Problem]
