"""Holds what a stack's program declares against the controls, before any engine runs.

The same controls as in `pulumi preview --policy-pack policies`, with one advantage: nothing is unknown here,
as in a preview of a new stack nearly everything is.
"""

from collections.abc import Sequence
from datetime import date
from typing import Any

from policies.catalogue import ids
from policies.judge import Judgement, judge
from policies.model import Resource, Stack
from policies.waivers import parse
from review.terraform_program import Address, Declared


def judged(resources: Sequence[Declared], policy: Any, today: date) -> Judgement:
    """What the controls say of declared resources.

    policy: `switchyard:policy` of the stack's settings as plain values, or None. Raises InvalidWaiver.
    """
    return judge(stack_of(resources), parse(policy, ids(), today), today)


def stack_of(resources: Sequence[Declared]) -> Stack:
    """The declared resources as the controls take them."""
    return Stack([_resource(declared) for declared in resources])


def _resource(declared: Declared) -> Resource:
    return Resource(
        urn=_urn(declared.address),
        type=declared.type,
        name=declared.name,
        properties=declared.inputs,
        uses={
            name: sorted({_urn(reference.of) for reference in declared.references_in(value)})
            for name, value in declared.inputs.items()
        },
    )


def _urn(address: Address) -> str:
    return f"{address.type}::{address.name}"
