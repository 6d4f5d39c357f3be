"""The secrets that this process knows: of the stack's configuration, and its own credentials."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pulumi.automation as auto

from review.masking import names_a_secret

# A shorter value of a variable that is named like a secret is a switch or a placeholder.
SHORTEST_CREDENTIAL = 12
# A passphrase is chosen by a person; one that is shorter protects nothing.
SHORTEST_PASSPHRASE = 4


def of_configuration(file: Mapping[str, Any], decrypted: Mapping[str, auto.ConfigValue]) -> Iterator[str]:
    """Every value that the stack's file holds encrypted. `file`: its `config:` block.

    Within a structure only the encrypted leaves are secret, though the engine marks all of it.
    """
    for key, value in decrypted.items():
        written = file.get(key, file.get(key.split(":", 1)[-1]))
        if _encrypted(written) or (value.secret and written is None):
            yield value.value
        elif isinstance(written, dict | list):
            yield from _leaves(written, _structure(value.value))


def of_environment(*environments: Mapping[str, str]) -> Iterator[str]:
    """Values of variables that are named like a secret."""
    for environment in environments:
        for name, value in environment.items():
            shortest = SHORTEST_PASSPHRASE if name.endswith("PASSPHRASE") else SHORTEST_CREDENTIAL
            if len(value) >= shortest and names_a_secret(name, value) and not name.endswith("_FILE"):
                yield value


def _encrypted(written: Any) -> bool:
    return isinstance(written, dict) and set(written) == {"secure"}


def _structure(value: str) -> Any:
    try:
        return json.loads(value)
    except ValueError:
        return None


def _leaves(written: Any, decrypted: Any) -> Iterator[str]:
    """The decrypted values at the places that are encrypted in the file."""
    if _encrypted(written):
        if isinstance(decrypted, str | int | float):
            yield str(decrypted)
    elif isinstance(written, dict) and isinstance(decrypted, dict):
        for key, entry in written.items():
            yield from _leaves(entry, decrypted.get(key))
    elif isinstance(written, list) and isinstance(decrypted, list):
        for entry, value in zip(written, decrypted, strict=False):
            yield from _leaves(entry, value)
