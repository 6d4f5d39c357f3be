"""What is priced: resources, whether they are declared, deployed, or one side of a preview's step. Pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from review.terraform_program import PROVIDER, STACK_REFERENCE, Declared

STACK = "pulumi:pulumi:Stack"


@dataclass(frozen=True, kw_only=True)
class Item:
    """One resource as far as its price goes.

    key: what links name; unique.
    component: logical name of the outermost component around it; its own where there is none.
    region: AWS region; empty where it is not known.
    uses: by property, the keys of the resources that its value comes from.
    """

    key: str
    type: str
    name: str
    component: str
    region: str
    inputs: Mapping[str, Any]
    uses: Mapping[str, Sequence[str]]

    def number(self, name: str) -> float | None:
        """A number among the inputs; None for what is none, as an unknown or secret value."""
        return number(self.inputs.get(name))


def number(value: Any) -> float | None:
    """The value as a number, if it is one or spells one."""
    if isinstance(value, bool):
        return None
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def of_declared(resources: Iterable[Declared]) -> list[Item]:
    """What a program declares (review.terraform_program)."""
    resources = list(resources)
    regions = {r.name: str(r.inputs.get("region", "")) for r in resources if r.type.startswith(PROVIDER)}
    return [
        Item(
            key=f"{r.type}::{r.name}",
            type=r.type,
            name=r.name,
            component=r.parents[0] if r.parents else r.name,
            region=regions.get(r.provider, ""),
            inputs=r.inputs,
            uses={
                name: [f"{reference.of.type}::{reference.of.name}" for reference in r.references_in(value)]
                for name, value in r.inputs.items()
            },
        )
        for r in resources
        if not r.type.startswith((PROVIDER, STACK_REFERENCE))
    ]


def of_states(states: Iterable[Mapping[str, Any]]) -> list[Item]:
    """What is deployed: `deployment.resources` of `pulumi stack export`, or the old or the new states of the
    steps of `pulumi preview --json`. Components and providers have to be among them."""
    states = [state for state in states if not state.get("delete")]
    parents = {state["urn"]: state.get("parent", "") for state in states}
    regions = {
        state["urn"]: str((state.get("inputs") or {}).get("region", ""))
        for state in states
        if str(state.get("type", "")).startswith(PROVIDER)
    }
    return [
        Item(
            key=state["urn"],
            type=state["type"],
            name=_name(state["urn"]),
            component=_component(state["urn"], parents),
            # A reference to a provider is its URN and, behind `::`, its id.
            region=regions.get(str(state.get("provider", "")).rpartition("::")[0], ""),
            inputs=state.get("inputs") or {},
            uses=state.get("propertyDependencies") or {},
        )
        for state in states
        if state.get("custom") and not state["type"].startswith("pulumi:")
    ]


def _name(urn: str) -> str:
    return urn.rpartition("::")[2]


def _component(urn: str, parents: Mapping[str, str]) -> str:
    """The outermost component: the one below the stack itself."""
    found = urn
    while (above := parents.get(found, "")) and "pulumi:pulumi:Stack" not in above.split("::")[2].split("$")[
        -1
    ]:
        found = above
    return _name(found)
