"""Keeps secrets out of everything that the report says. Pure.

Four ways to know a secret: the engine has marked it (it then arrives as "[secret]"), it is one of the known
values (secret configuration, credentials of this process), the name that it stands under says so, or it
looks like a credential whatever its name.
"""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

from infra import secret_looks

SECRET = "[secret]"  # noqa: S105 - what stands in a secret's place; the engine's own word

# Shorter ones are masked as whole values only: within text they would hit ordinary words and numbers.
SHORTEST_WITHIN_TEXT = 4
SHORTEST_WITHIN_BASE64 = 8

_KEYED = re.compile(r"\[secret:[0-9a-f]{16}\]")
_REFERENCE = re.compile(r"^(arn:aws[a-z-]*:|urn:pulumi:)")
# A list of settings by name: container environments, parameters of a database.
_OPENING = ("{", "[")
NAME_KEYS = ("name", "key", "Name", "Key", "parameterName")
_VALUE_KEYS = ("value", "Value", "parameterValue")


class Masker:
    """Replaces secrets by "[secret]" in text and in nested values."""

    def __init__(self, secrets: Iterable[str] = (), key: bytes | None = None) -> None:
        """`secrets`: known values. Each line of one with several is taken as a secret, too.

        With a `key` a keyed hash stands in each secret's place, so that two can be told apart.
        """
        given = {part for secret in secrets for part in (secret, *secret.splitlines())}
        self._whole = {secret for secret in given if secret.strip()}
        self._key = key
        # Names of properties and much of their values come again and again.
        self._seen: dict[str, str] = {}
        self._under: dict[tuple[str, str], str] = {}
        within = {form for secret in self._whole for form in _forms(secret)}
        # The longest first: one secret may begin with another.
        ordered = sorted(within, key=lambda form: (-len(form), form))
        self._within = re.compile("|".join(map(re.escape, ordered))) if ordered else None

    def keyed(self, key: bytes) -> "Masker":
        """The same, with hashes under this key in place of the secrets."""
        return Masker(self._whole, key)

    def knowing(self, secrets: Iterable[str]) -> "Masker":
        """The same, with more known values."""
        return Masker([*self._whole, *secrets], self._key)

    def text(self, text: str) -> str:
        """The text without what is known to be secret or looks it."""
        found = self._seen.get(text)
        if found is None:
            found = self._seen[text] = self._text(text)
        return found

    def _text(self, text: str) -> str:
        if text in self._whole:
            return self._stand_in(text)
        if self._within:
            text = self._within.sub(lambda match: self._stand_in(match[0]), text)
        return secret_looks.VALUE.sub(lambda match: self._stand_in(match[0]), text)

    def _stand_in(self, secret: str) -> str:
        if self._key is None or secret == SECRET:
            return SECRET
        return f"[secret:{hmac.new(self._key, secret.encode(), hashlib.sha256).hexdigest()[:16]}]"

    def value(self, value: Any, name: str = "") -> Any:
        """The value, masked all the way down. `name`: of the property that it stands under."""
        # Most are text, much of it the same, and documents above all take long.
        if isinstance(value, str):
            found = self._under.get((name, value))
            if found is None:
                found = self._under[name, value] = self._under_name(name, value)
            return found
        if isinstance(value, Mapping):
            return self._mapping(value)
        if isinstance(value, list | tuple):
            return [self.value(entry, name) for entry in value]
        if value is None or isinstance(value, bool):
            return value
        secret = names_a_secret(name, value) or str(value) in self._whole
        return self._stand_in(str(value)) if secret else value

    def _under_name(self, name: str, value: str) -> str:
        if names_a_secret(name, value):
            return self._stand_in(value)
        document = as_document(value)
        if document is None:
            return self.text(value)
        masked = self.value(document, name)
        return self.text(value if masked == document else json.dumps(masked))

    def _mapping(self, value: Mapping[str, Any]) -> dict[str, Any]:
        named = next((str(value[key]) for key in NAME_KEYS if isinstance(value.get(key), str)), "")
        return {
            self.text(str(key)): self.value(entry, named if named and key in _VALUE_KEYS else str(key))
            for key, entry in value.items()
        }


@lru_cache(maxsize=4096)
def _is_secret_name(name: str) -> bool:
    return secret_looks.names_one(name)


def names_a_secret(name: str, value: Any) -> bool:
    """Whether a value under this name is a secret. Switches and references to a secret are none."""
    if isinstance(value, bool) or not _is_secret_name(name):
        return False
    return not (isinstance(value, str) and (_REFERENCE.match(value) or value in ("", "true", "false")))


def unkeyed(text: str) -> str:
    """The text with plain "[secret]" where a keyed hash stood."""
    return _KEYED.sub(SECRET, text)


def as_document(text: str) -> Any:
    """The list or mapping that the text is JSON of, or None."""
    if not text.startswith(_OPENING) and not text.lstrip().startswith(_OPENING):
        return None
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict | list) else None


def _forms(secret: str) -> set[str]:
    """How a value may appear within a text: as it is, in JSON, in a URL, in base64."""
    if len(secret) < SHORTEST_WITHIN_TEXT:
        return set()
    forms = {secret, json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]}
    forms |= {quote(secret, safe=""), quote(secret), quote_plus(secret)}
    return forms | {form for form in _in_base64(secret.encode()) if len(form) >= SHORTEST_WITHIN_BASE64}


def _in_base64(secret: bytes) -> Iterator[str]:
    """What base64 makes of it alone, and in the middle of something, where three bytes share four letters."""
    for before in range(3):
        bits = len(secret) * 8
        skipped = -(-before * 8 // 6)
        whole = (before * 8 + bits) // 6
        encoded = base64.b64encode(b"\0" * before + secret).decode()
        yield encoded[skipped:whole]
        yield encoded[skipped:whole].replace("+", "-").replace("/", "_")
