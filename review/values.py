"""Nested property values: where they are, how two differ, how one reads. Pure."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from review.masking import as_document, unkeyed

UNKNOWN = "[known after apply]"


class _Absent:
    """Nothing is there; unlike None, which is a value."""

    def __repr__(self) -> str:
        return "absent"


ABSENT = _Absent()

Step = str | int
Path = tuple[Step, ...]

# What the engine writes for a value that it can't know yet, one for each kind of value
# (pulumi/pulumi, sdk/go/common/resource/plugin/rpc.go).
_UNKNOWN_IDS = re.compile(
    "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7|3eeb2bf0-c639-47a8-9e75-3b44932eb421"
    "|04da6b54-80e4-46f7-96ec-b56ff0331ba9|6a19a0b0-7e62-4c92-b797-7f8e31da9cc2"
    "|030794c1-ac77-496b-92df-f27374a8bd58|e48ece36-62e2-4504-bad9-02848725956a"
    "|dd056dcd-154b-4c76-9bd3-c8f88648b5ff"
)
_SHORTEST_UNKNOWN = 36
_STEP = re.compile(r'\["((?:[^"\\]|\\.)*)"\]|\[(\d+|\*)\]|\.?([^.\[\]]+)')
_PLAIN_KEY = re.compile(r"^[A-Za-z_][\w-]*$")
# Lists whose entries have a name of their own read better by it than by position.
_NAMES = ("name", "Sid", "key", "Key", "id", "arn")


def parse(path: str) -> Path:
    """The steps of a path such as `a.b[0]["x.y"]`."""
    steps: list[Step] = []
    for quoted, index, plain in _STEP.findall(path):
        if quoted:
            steps.append(_unquoted(quoted))
        else:
            steps.append(int(index) if index.isdigit() else index or plain)
    return tuple(steps)


def _unquoted(text: str) -> str:
    try:
        found: str = json.loads(f'"{text}"')
    except ValueError:
        return text
    return found


def spelled(path: Path) -> str:
    """The path as text: `a.b[0]["x.y"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.match(step):
            text += f".{step}" if text else step
        else:
            text += f"[{json.dumps(step, ensure_ascii=False)}]"
    return text


def at(value: Any, path: Path) -> Any:
    """What is at the path, or ABSENT."""
    for step in path:
        if isinstance(value, Mapping):
            value = value.get(step, ABSENT)
        elif isinstance(value, list) and isinstance(step, int) and step < len(value):
            value = value[step]
        else:
            return ABSENT
    return value


def differences(before: Any, after: Any, path: Path = ()) -> Iterator[tuple[Path, Any, Any]]:
    """Every place where the two differ, with what is there before and after.

    JSON within text is looked into: a policy or a container definition is one long line otherwise.
    """
    if isinstance(before, str) and before == after:
        return
    old, new = opened(before), opened(after)
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from differences(old.get(key, ABSENT), new.get(key, ABSENT), (*path, str(key)))
    elif isinstance(old, list) and isinstance(new, list):
        yield from _between_lists(old, new, path)
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        yield path, before, after


def opened(value: Any) -> Any:
    """The list or mapping that a text is JSON of; anything else as it is."""
    document = as_document(value) if isinstance(value, str) else None
    return value if document is None else document


def _between_lists(old: list[Any], new: list[Any], path: Path) -> Iterator[tuple[Path, Any, Any]]:
    names = _names(old), _names(new)
    if names[0] is not None and names[1] is not None and (old or new):
        was, will = dict(zip(names[0], old, strict=True)), dict(zip(names[1], new, strict=True))
        for name in [*was, *(name for name in will if name not in was)]:
            yield from differences(was.get(name, ABSENT), will.get(name, ABSENT), (*path, name))
    elif _scalars(old) and _scalars(new):
        # One more or less in the middle moves all the others: say which came and which went.
        gone = [entry for entry in old if entry not in new]
        come = [entry for entry in new if entry not in old]
        if gone or come:
            yield path, gone or ABSENT, come or ABSENT
        elif old != new:
            yield path, old, new
    else:
        for index in range(max(len(old), len(new))):
            pair = [entries[index] if index < len(entries) else ABSENT for entries in (old, new)]
            yield from differences(pair[0], pair[1], (*path, index))


def _names(entries: Sequence[Any]) -> list[str] | None:
    """What the entries are called, if all of them have a name of their own."""
    for key in _NAMES:
        found = [entry.get(key) for entry in entries if isinstance(entry, Mapping)]
        names = [_short(name) for name in found if isinstance(name, str) and name]
        if len(names) == len(entries) == len(set(names)):
            return names
    return None


def _short(name: str) -> str:
    """The name within an ARN (arn:…:targetgroup/NAME/0123), and any other name as it is."""
    parts = name.rsplit(":", 1)[-1].split("/")
    return parts[1] if name.startswith("arn:") and len(parts) > 1 else name


def _scalars(entries: Sequence[Any]) -> bool:
    return not any(isinstance(entry, Mapping | list) for entry in entries)


def with_unknowns(value: Any) -> Any:
    """The value with the engine's marks for what it can't know yet put into words."""
    if isinstance(value, str):
        return _UNKNOWN_IDS.sub(UNKNOWN, value) if len(value) >= _SHORTEST_UNKNOWN else value
    if isinstance(value, Mapping):
        return {key: with_unknowns(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [with_unknowns(entry) for entry in value]
    return value


def as_text(value: Any) -> str | None:
    """The value as one line to read; None if there is nothing."""
    if value is ABSENT:
        return None
    return unkeyed(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True))


def canonical(value: Any) -> Any:
    """The value without what means nothing: order in lists, empty entries, spelling of numbers and JSON.

    What AWS reports is compared in this form with what was declared: it sorts, fills in and reformats.
    """
    value = opened(value)
    if isinstance(value, Mapping):
        known = {str(key): canonical(_protocol(str(key), entry)) for key, entry in value.items()}
        return {key: entry for key, entry in sorted(known.items()) if entry not in ("", [], {}, None)}
    if isinstance(value, list):
        return sorted(
            (canonical(entry) for entry in value), key=lambda entry: json.dumps(entry, sort_keys=True)
        )
    if value is None or value is ABSENT:
        return None
    return json.dumps(value) if isinstance(value, bool | int | float) else str(value)


# EC2 takes names and reports the numbers of IANA.
_PROTOCOLS = {"1": "icmp", "6": "tcp", "17": "udp", "58": "icmpv6"}


def _protocol(key: str, value: Any) -> Any:
    return _PROTOCOLS.get(str(value), value) if key in ("protocol", "ipProtocol") else value
