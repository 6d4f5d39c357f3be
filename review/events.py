"""From the engine's events of a preview to what would change. Pure.

The engine tells of a replacement in three steps (create, replace, delete): here they are one change.
Components and the stack itself only group resources: they are in the paths and never a change.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pulumi.automation import EngineEvent, OpType
from pulumi.automation.events import StepEventMetadata, StepEventStateMetadata

from review.changes import Change, Delegated, Drift, Operation, PropertyChange, Reading, name_of
from review.drift import DELEGATED, drift_between
from review.masking import NAME_KEYS, Masker
from review.policy_findings import PolicyFinding
from review.stateful import STATEFUL
from review.values import (
    ABSENT,
    UNKNOWN,
    Path,
    as_text,
    at,
    differences,
    opened,
    parse,
    spelled,
    with_unknowns,
)

_REPLACING = {
    OpType.REPLACE,
    OpType.CREATE_REPLACEMENT,
    OpType.IMPORT_REPLACEMENT,
    OpType.READ_REPLACEMENT,
}
_OPERATIONS = {
    OpType.CREATE: Operation.CREATE,
    OpType.UPDATE: Operation.UPDATE,
    OpType.DELETE: Operation.DELETE,
    OpType.DELETE_REPLACED: Operation.DELETE,
    OpType.IMPORT: Operation.IMPORT,
    OpType.DISCARD: Operation.FORGET,
    OpType.DISCARD_REPLACED: Operation.FORGET,
    OpType.REMOVE_PENDING_REPLACE: Operation.FORGET,
}
# A chain of parents that is longer has a ring in it.
DEEPEST = 50
# Two secrets have to be told apart to see that one has changed; the hashes are taken out again when the
# values are put into words, so this key protects nothing.
_TELLING = b"told apart"
_RANDOM_SUFFIX = re.compile(r"([-_.]?)[0-9a-f]{7}(\.fifo)?")
_COLOUR_CODES = re.compile(r"\x1b\[[0-9;]*m|<\{%[^%]*%\}>")


def read(
    events: Iterable[EngineEvent],
    masker: Masker,
    *,
    keyed: Masker | None = None,
    delegated: Sequence[Delegated] = DELEGATED,
) -> Reading:
    """What a preview's events say. `keyed` masks the inputs for the digest; without it `masker` does."""
    events = list(events)
    steps = [event.resource_pre_event.metadata for event in events if event.resource_pre_event]
    refreshed = [
        event.res_outputs_event.metadata
        for event in events
        if event.res_outputs_event and event.res_outputs_event.metadata.op == OpType.REFRESH
    ]
    parents = _parents([*steps, *refreshed])
    tidy = _without_random_names(steps)
    reader = _Reader(
        masker=masker, keyed=keyed or masker, tidy=tidy, parents=parents, telling=masker.keyed(_TELLING)
    )
    changes = sorted(reader.changes(steps), key=_gravest_first)
    changed = {change.urn for change in changes}
    said = [event.diagnostic_event for event in events if event.diagnostic_event]
    return Reading(
        changes=tuple(changes),
        drift=tuple(
            found for step in refreshed for found in reader.drift(step, step.urn in changed, delegated)
        ),
        unchanged=sum(step.op == OpType.SAME and _is_resource(step) for step in steps),
        errors=_unique(masker.text(_plain(one.message)) for one in said if one.severity == "error"),
        warnings=_unique(masker.text(_plain(one.message)) for one in said if one.severity == "warning"),
        findings=tuple(_findings(events, masker)),
        finished=any(event.summary_event for event in events),
    )


def _gravest_first(change: Change) -> tuple[int, bool, tuple[str, ...], str, str]:
    rank = list(Operation).index(change.operation)
    return rank, change.loses is None, change.component, change.type, change.urn


def _unique(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for text in texts if text))


def _plain(message: str) -> str:
    return _COLOUR_CODES.sub("", message).strip()


def _is_resource(step: StepEventMetadata) -> bool:
    """Whether it is a thing of its own, and no component or stack."""
    state = step.new or step.old
    # That a provider comes or goes changes nothing by itself.
    told = not step.type.startswith("pulumi:") or step.op == OpType.UPDATE
    return bool(state and state.custom and told)


def _parents(steps: Iterable[StepEventMetadata]) -> dict[str, str]:
    return {
        state.urn: state.parent for step in steps for state in (step.old, step.new) if state and state.parent
    }


def _findings(events: Iterable[EngineEvent], masker: Masker) -> Iterator[PolicyFinding]:
    for event in events:
        found = event.policy_event
        if found:
            yield PolicyFinding(
                id=found.policy_name,
                severity=found.enforcement_level,
                resource=found.resource_urn or "",
                message=masker.text(_plain(found.message)),
                remedy="",
                mandatory=found.enforcement_level == "mandatory",
            )


def _without_random_names(steps: Iterable[StepEventMetadata]) -> Callable[[Any], Any]:
    """Takes the names that the engine has made up for this preview alone out of a value.

    A new resource without a name of its own gets its logical name and seven random hex digits, others at
    each preview; what refers to it has them, too.
    """
    made_up: dict[str, str] = {}
    for step in steps:
        name, new = name_of(step.urn), step.new
        old = (step.old.inputs or {}) if step.old else {}
        if new and new.custom and step.op not in (OpType.SAME, OpType.UPDATE):
            for key, value in (new.inputs or {}).items():
                if isinstance(value, str) and value.startswith(name) and old.get(key) != value:
                    found = _RANDOM_SUFFIX.fullmatch(value.removeprefix(name))
                    if found:
                        made_up[value] = f"{name}{found[1]}[random]"
    if not made_up:
        return lambda value: value
    pattern = re.compile("|".join(map(re.escape, sorted(made_up, key=len, reverse=True))))

    def tidy(value: Any) -> Any:
        if isinstance(value, str):
            return pattern.sub(lambda match: made_up[match[0]], value)
        if isinstance(value, Mapping):
            return {tidy(key): tidy(entry) for key, entry in value.items()}
        return [tidy(entry) for entry in value] if isinstance(value, list) else value

    return tidy


@dataclass(frozen=True, kw_only=True)
class _Reader:
    masker: Masker
    keyed: Masker
    tidy: Callable[[Any], Any]
    parents: Mapping[str, str]
    telling: Masker

    def changes(self, steps: Iterable[StepEventMetadata]) -> Iterator[Change]:
        """One change for each resource, and one more for an old copy of it that is still to go."""
        by_urn: dict[str, list[StepEventMetadata]] = {}
        for step in steps:
            if _is_resource(step) and step.op not in (OpType.SAME, OpType.READ, OpType.REFRESH):
                by_urn.setdefault(step.urn, []).append(step)
        for found in by_urn.values():
            replacing = [step for step in found if step.op in _REPLACING]
            if replacing:
                yield self._change(_fullest(replacing), Operation.REPLACE)
            else:
                yield from (self._change(step, _OPERATIONS[step.op]) for step in found)

    def _change(self, step: StepEventMetadata, operation: Operation) -> Change:
        state = step.new or step.old
        old = step.old
        lost = operation in (Operation.REPLACE, Operation.DELETE)
        properties = tuple(self._properties(step, operation))
        return Change(
            urn=step.urn,
            type=step.type,
            name=name_of(step.urn),
            operation=operation,
            component=self._component(step.urn),
            id=self.masker.text((old.id if old else "") or ""),
            because=_because(step, properties) if operation is Operation.REPLACE else (),
            properties=properties,
            loses=STATEFUL.get(step.type) if lost else None,
            retained=bool(lost and old and old.retain_on_delete),
            protected=bool(state and state.protect),
            inputs=self._inputs(step.new, self.keyed),
        )

    def _component(self, urn: str) -> tuple[str, ...]:
        names: list[str] = []
        parent = self.parents.get(urn, "")
        while parent and "pulumi:pulumi:Stack::" not in parent and len(names) < DEEPEST:
            names.append(name_of(parent))
            parent = self.parents.get(parent, "")
        return tuple(reversed(names))

    def _inputs(self, state: StepEventStateMetadata | None, masker: Masker) -> dict[str, Any]:
        return self._masked((state.inputs or {}) if state else {}, masker)

    def _masked(self, values: Mapping[str, Any], masker: Masker) -> dict[str, Any]:
        masked: dict[str, Any] = masker.value(self.tidy(with_unknowns(values)))
        return masked

    def _properties(self, step: StepEventMetadata, operation: Operation) -> Iterator[PropertyChange]:
        if operation in (Operation.DELETE, Operation.FORGET):
            return
        if operation is Operation.CREATE or step.old is None:
            for key, value in self._inputs(step.new, self.telling).items():
                yield PropertyChange(path=key, before=None, after=as_text(value))
            return
        inputs = step.old.inputs or {}, (step.new.inputs or {}) if step.new else {}
        paths = list(_paths(step, *inputs))
        # What stays as it is need not be masked, but for the names beside it, which say what is secret.
        wanted = {str(path[0]) for path, _, _ in paths} | set(NAME_KEYS)
        old, new, outputs = (
            self._masked({key: values[key] for key in wanted & values.keys()}, self.telling)
            for values in (*inputs, step.old.outputs or {})
        )
        forced = {parse(key) for key in step.keys or ()}
        for path, kind, input_diff in paths:
            before = at(old if input_diff else outputs, path)
            before = at(old, path) if before is ABSENT else before
            if kind.startswith("add"):
                before = ABSENT
            after = ABSENT if kind.startswith("delete") else at(new, path)
            if after is ABSENT and not kind.startswith("delete"):
                after = UNKNOWN
            replaces = kind.endswith("-replace") or path in forced or path[:1] in forced
            yield from _told(path, before, after, replaces)

    def drift(self, step: StepEventMetadata, undone: bool, delegated: Sequence[Delegated]) -> Iterator[Drift]:
        """What a refresh found of one resource."""
        if _is_resource(step):
            yield from drift_between(
                step.urn,
                step.type,
                self._component(step.urn),
                self._inputs(step.old, self.telling),
                self._inputs(step.new, self.telling) if step.new else None,
                undone=undone,
                delegated=delegated,
            )


def _fullest(steps: Sequence[StepEventMetadata]) -> StepEventMetadata:
    """The step of a replacement that says most about it."""
    return max(
        steps,
        key=lambda step: (step.op != OpType.REPLACE, bool(step.detailed_diff or step.diffs), bool(step.old)),
    )


def _because(step: StepEventMetadata, properties: Sequence[PropertyChange]) -> tuple[str, ...]:
    """What forces the replacement: of the keys that the provider names, those that really change."""
    keys = [*(step.keys or ())]
    keys += [path for path, diff in (step.detailed_diff or {}).items() if diff.diff_kind.endswith("-replace")]
    changed = {parse(each.path)[0] for each in properties}
    real = [key for key in dict.fromkeys(keys) if parse(key)[0] in changed]
    return tuple(real or dict.fromkeys(keys))


def _paths(
    step: StepEventMetadata, old: Mapping[str, Any], new: Mapping[str, Any]
) -> Iterator[tuple[Path, str, bool]]:
    """Where it changes, how (the engine's kinds), and whether old inputs are what it is compared with."""
    if step.detailed_diff:
        for path, diff in step.detailed_diff.items():
            if not path.startswith("__"):
                yield parse(path), str(diff.diff_kind.value), diff.input_diff
        return
    named = [parse(key) for key in step.diffs or ()]
    if not named:
        named = [
            (key,) for key in dict.fromkeys([*old, *new]) if old.get(key, ABSENT) != new.get(key, ABSENT)
        ]
    for where in named:
        if at(new, where) is ABSENT:
            yield where, "delete", True
        else:
            yield where, "add" if at(old, where) is ABSENT else "update", True


def _told(path: Path, before: Any, after: Any, replaces: bool) -> Iterator[PropertyChange]:
    """The difference at a path, taken apart if both sides are structures; else as a whole."""
    apart = isinstance(opened(before), Mapping | list) and isinstance(opened(after), Mapping | list)
    found = list(differences(before, after, path)) if apart else []
    for where, was, now in found or [(path, before, after)]:
        yield PropertyChange(path=spelled(where), before=as_text(was), after=as_text(now), replaces=replaces)
