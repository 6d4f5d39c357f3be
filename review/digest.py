"""What was previewed, in one number: the same plan has the same digest, another plan another. Pure.

It covers what would be done, to which state, from which configuration. Secrets are in it as keyed hashes or
as the ciphertext that the configuration file holds: nothing can be guessed back from a digest or a plan.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from review.changes import Change, PropertyChange

FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class Step:
    """One operation of a plan. `inputs`: hash of what the resource would be given."""

    urn: str
    operation: str
    inputs: str
    properties: tuple[PropertyChange, ...] = ()

    @property
    def paths(self) -> list[str]:
        """The properties that change."""
        return sorted(each.path for each in self.properties)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a preview would have done.

    state: version of the state that it was computed from.
    configuration: hash of the stack's configuration as its file has it, secrets encrypted.
    refreshed: AWS was read first.
    """

    project: str
    stack: str
    state: str
    configuration: str
    refreshed: bool
    steps: tuple[Step, ...]

    @property
    def digest(self) -> str:
        """64 hex digits."""
        return _hash(
            {
                "format": FORMAT,
                "project": self.project,
                "stack": self.stack,
                "state": self.state,
                "configuration": self.configuration,
                "refreshed": self.refreshed,
                "steps": [[step.urn, step.operation, step.paths, step.inputs] for step in self.steps],
            }
        )

    def to_json(self) -> dict[str, Any]:
        """The plan for a file. Values are masked."""
        return {
            "format": FORMAT,
            "digest": self.digest,
            "project": self.project,
            "stack": self.stack,
            "state": self.state,
            "configuration": self.configuration,
            "refreshed": self.refreshed,
            "steps": [
                {
                    "urn": step.urn,
                    "operation": step.operation,
                    "inputs": step.inputs,
                    "properties": [[each.path, each.before, each.after] for each in step.properties],
                }
                for step in self.steps
            ],
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> "Plan":
        """The plan of a file. Raises ValueError if it is of another format, or was changed."""
        if found.get("format") != FORMAT:
            raise ValueError(f"plans of format {found.get('format')} can't be read, only {FORMAT}")
        steps = tuple(
            Step(
                urn=step["urn"],
                operation=step["operation"],
                inputs=step["inputs"],
                properties=tuple(
                    PropertyChange(path=path, before=before, after=after)
                    for path, before, after in step["properties"]
                ),
            )
            for step in found["steps"]
        )
        plan = cls(
            project=found["project"],
            stack=found["stack"],
            state=found["state"],
            configuration=found["configuration"],
            refreshed=found["refreshed"],
            steps=steps,
        )
        if plan.digest != found["digest"]:
            raise ValueError("the plan's content is not what its digest says: the file was changed")
        return plan


def plan_of(
    changes: Sequence[Change],
    *,
    project: str,
    stack: str,
    state: str,
    configuration: str,
    refreshed: bool,
) -> Plan:
    """The plan that these changes are. Resources that stay as they are don't count."""
    steps = [
        Step(
            urn=change.urn,
            operation=change.operation.value,
            inputs=_hash(change.inputs),
            properties=change.properties,
        )
        for change in changes
    ]
    return Plan(
        project=project,
        stack=stack,
        state=state,
        configuration=configuration,
        refreshed=refreshed,
        steps=tuple(sorted(steps, key=lambda step: (step.urn, step.operation, step.inputs))),
    )


def state_version(deployment: Mapping[str, Any]) -> str:
    """The version of an exported state: changes with its content, not with the time of its writing."""
    return _hash(["version", _content(deployment)])


def secret_key(deployment: Mapping[str, Any]) -> bytes | None:
    """A key that whoever may read the state has, and nobody else; None while there is no state.

    A hash of a secret without a key could be found by trying. It says nothing of the state's version, which
    is public, and the other way round.
    """
    content = _content(deployment)
    return bytes.fromhex(_hash(["key", content])) if content["resources"] else None


def _content(deployment: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "resources": deployment.get("resources") or [],
        "pending_operations": deployment.get("pending_operations") or [],
    }


def configuration_version(configuration: Mapping[str, Any]) -> str:
    """Hash of the `config:` block as it is in the file. Secrets must still be encrypted in it."""
    return _hash(configuration)


def compare(planned: Plan, now: Plan) -> list[str]:
    """How what would be done now differs from what was planned, a line each; none if it does not."""
    lines = []
    if (planned.project, planned.stack) != (now.project, now.stack):
        lines.append(f"the plan is of {planned.project}/{planned.stack}, not {now.project}/{now.stack}")
    if planned.state != now.state:
        lines.append("the state has changed since: somebody deployed, imported or repaired something")
    if planned.configuration != now.configuration:
        lines.append("the stack's configuration is not what it was")
    if planned.refreshed != now.refreshed:
        read = "was" if planned.refreshed else "was not"
        lines.append(f"AWS {read} read first (--refresh) when it was planned; do the same now")
    was, will = _by_urn(planned), _by_urn(now)
    for urn in sorted(was.keys() | will.keys()):
        lines += _step_differs(urn, was.get(urn, ()), will.get(urn, ()))
    return lines


def _by_urn(plan: Plan) -> dict[str, tuple[Step, ...]]:
    found: dict[str, tuple[Step, ...]] = {}
    for step in plan.steps:
        found[step.urn] = (*found.get(step.urn, ()), step)
    return found


def _step_differs(urn: str, was: Sequence[Step], will: Sequence[Step]) -> list[str]:
    before, after = ([step.operation for step in steps] for steps in (was, will))
    if before != after:
        planned = f"planned: {' and '.join(before)}" if before else "not planned"
        return [f"{urn}: {planned}; now: {' and '.join(after) or 'nothing'}"]
    lines = []
    for old, new in zip(was, will, strict=True):
        if (old.inputs, old.paths) == (new.inputs, new.paths):
            continue
        values = {each.path: (each.before, each.after) for each in old.properties}
        now = {each.path: (each.before, each.after) for each in new.properties}
        told = [
            f"{urn}: {path}: planned {_arrow(values.get(path))}; now {_arrow(now.get(path))}"
            for path in sorted(values.keys() | now.keys())
            if values.get(path) != now.get(path)
        ]
        lines += told or [f"{urn}: {old.operation} with other values, which are secret or are not shown"]
    return lines


def _arrow(values: tuple[str | None, str | None] | None) -> str:
    if values is None:
        return "no change"
    before, after = ("nothing" if value is None else value for value in values)
    return f"{before} → {after}"


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()
