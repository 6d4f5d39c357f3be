"""What somebody changed outside the program, without what AWS only spells another way. Pure.

Compared are the inputs: what the program has declared, as the state has it and as a refresh finds it. A
difference that is only order, an empty entry, the spelling of a number or of JSON is none.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from review.changes import Delegated, Drift, PropertyChange, name_of
from review.values import ABSENT, Path, as_text, canonical, differences, parse, spelled

# Who writes what beside the program: docs/one-writer.md.
DELEGATED = (
    Delegated(
        type="aws:lb/listenerRule:ListenerRule",
        path="actions[*].forward.targetGroups[*].weight",
        writer="the release engine",
    ),
    Delegated(
        type="aws:ecs/service:Service", path="desiredCount", writer="autoscaling or the release engine"
    ),
    Delegated(type="aws:appautoscaling/target:Target", path="suspendedState", writer="the release engine"),
)


def drift_between(
    urn: str,
    type_: str,
    component: tuple[str, ...],
    old: Mapping[str, Any],
    new: Mapping[str, Any] | None,
    *,
    undone: bool,
    delegated: Sequence[Delegated],
) -> Iterator[Drift]:
    """The drift of one resource, one for each writer; `new` is None if it is not there any more.

    undone: the plan changes the resource.
    """
    name = name_of(urn)
    if new is None:
        yield Drift(urn=urn, type=type_, name=name, component=component, gone=True, undone=undone)
        return
    by_writer: dict[str | None, list[PropertyChange]] = {}
    for key in [*old, *(key for key in new if key not in old)]:
        before, after = old.get(key, ABSENT), new.get(key, ABSENT)
        if canonical({key: before}) == canonical({key: after}):
            continue
        for path, was, now in _meant(before, after, (key,)):
            writer = next((each.writer for each in delegated if _is_delegated(each, type_, path)), None)
            told = PropertyChange(path=spelled(path), before=as_text(was), after=as_text(now))
            by_writer.setdefault(writer, []).append(told)
    for found, properties in by_writer.items():
        yield Drift(
            urn=urn,
            type=type_,
            name=name,
            component=component,
            properties=tuple(properties),
            undone=undone and found is None,
            writer=found,
        )


def _meant(before: Any, after: Any, path: Path) -> Iterator[tuple[Path, Any, Any]]:
    """The differences that are more than order, spelling or an empty entry."""
    for where, was, now in differences(before, after, path):
        last = str(where[-1])
        if canonical({last: was}) != canonical({last: now}):
            yield where, was, now


def _is_delegated(delegated: Delegated, type_: str, path: Path) -> bool:
    if delegated.type != type_:
        return False
    pattern = parse(delegated.path)
    if len(path) < len(pattern):
        return False
    return all(want in ("*", have) for want, have in zip(pattern, path, strict=False))
