"""GitHub's expressions, as far as our workflows use them. What is not known fails: nothing is guessed.

https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

import re
from collections.abc import Mapping
from typing import Any

TOKENS = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<op>==|!=|&&|\|\||[!()\[\],.*])|(?P<name>[A-Za-z_][A-Za-z0-9_-]*))"
)
WHOLE = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
STATUS = ("always", "success", "failure")


class Unknown(ValueError):
    """The workflow asks for something that the table of this test does not have."""


def filled(text: str, contexts: Mapping[str, Any]) -> str:
    """The text with the value of each ${{ expression }} in its place."""
    return WHOLE.sub(lambda match: spelled(evaluate(match[1], contexts)), text)


def spelled(value: Any) -> str:
    """A value as GitHub puts it into a text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int):
        return str(value)
    raise Unknown(f"{value!r} would not be a text")


def holds(condition: str | None, contexts: Mapping[str, Any], *, succeeded: bool) -> bool:
    """Whether an `if:` lets a step or job run; without a status function it wants success so far."""
    if condition is None:
        return succeeded
    whole = re.fullmatch(r"\s*\$\{\{(.*)\}\}\s*", condition, re.DOTALL)
    text = whole[1] if whole else condition
    asks = any(f"{name}()" in text for name in STATUS)
    return (asks or succeeded) and truthy(evaluate(text, contexts, succeeded=succeeded))


def truthy(value: Any) -> bool:
    """GitHub's truth."""
    return value not in (None, "", False, 0)


def evaluate(text: str, contexts: Mapping[str, Any], *, succeeded: bool = True) -> Any:
    """The value of one expression. Raises Unknown."""
    parser = _Parser(text, contexts, succeeded)
    value = parser.either()
    if parser.peek() is not None:
        raise Unknown(f"{text.strip()!r}: {parser.peek()!r} is not understood")
    return value


class _Parser:
    """Recursive descent; both sides of && and || are evaluated, so that no name goes unchecked."""

    def __init__(self, text: str, contexts: Mapping[str, Any], succeeded: bool) -> None:
        self._text, self._contexts, self._succeeded = text, contexts, succeeded
        self._tokens = self._split(text.strip())

    def _split(self, text: str) -> list[str]:
        found, at = [], 0
        while at < len(text):
            match = TOKENS.match(text, at)
            if match is None:
                raise Unknown(f"{text!r}: {text[at:]!r} is not understood")
            found.append(match[0].strip())
            at = match.end()
        return found

    def peek(self) -> str | None:
        return self._tokens[0] if self._tokens else None

    def _take(self, wanted: str | None = None) -> str:
        if not self._tokens or (wanted is not None and self._tokens[0] != wanted):
            raise Unknown(f"{self._text.strip()!r}: {wanted or 'more'} was expected before {self.peek()!r}")
        return self._tokens.pop(0)

    def either(self) -> Any:
        value = self._both()
        while self.peek() == "||":
            self._take()
            other = self._both()
            value = value if truthy(value) else other
        return value

    def _both(self) -> Any:
        value = self._compared()
        while self.peek() == "&&":
            self._take()
            other = self._compared()
            value = other if truthy(value) else value
        return value

    def _compared(self) -> Any:
        value = self._single()
        if self.peek() in ("==", "!="):
            operator = self._take()
            return self._same(value, self._single()) == (operator == "==")
        return value

    def _same(self, one: Any, other: Any) -> bool:
        if isinstance(one, bool) and isinstance(other, bool):
            return one == other
        if all(isinstance(side, str | None) for side in (one, other)):
            return (one or "").lower() == (other or "").lower()
        raise Unknown(f"{self._text.strip()!r} compares {one!r} with {other!r}")

    def _single(self) -> Any:
        if self.peek() == "!":
            self._take()
            return not truthy(self._single())
        if self.peek() == "(":
            self._take()
            value = self.either()
            self._take(")")
            return value
        token = self._take()
        if token.startswith("'"):
            return token[1:-1].replace("''", "'")
        if token in ("true", "false", "null"):
            return {"true": True, "false": False, "null": None}[token]
        return self._call(token) if self.peek() == "(" else self._path(token)

    def _call(self, name: str) -> Any:
        self._take("(")
        arguments = []
        while self.peek() != ")":
            arguments.append(self.either())
            if self.peek() == ",":
                self._take()
        self._take(")")
        if name in STATUS and not arguments:
            return {"always": True, "success": self._succeeded, "failure": not self._succeeded}[name]
        if name == "contains" and len(arguments) == 2:
            return arguments[1] in arguments[0]
        raise Unknown(f"{self._text.strip()!r}: the function {name} is not known")

    def _path(self, name: str) -> Any:
        path, value = name, self._contexts.get(name, Unknown)
        while True:
            if value is Unknown:
                raise Unknown(f"{self._text.strip()!r}: {path} is not in the table of this test")
            if self.peek() != ".":
                return value
            self._take()
            key = self._take()
            path += f".{key}"
            value = self._at(value, key)

    def _at(self, value: Any, key: str) -> Any:
        if value is None:
            return None
        if key == "*":
            return value
        if isinstance(value, list):
            return [one[key] for one in value]
        return value.get(key, Unknown)
