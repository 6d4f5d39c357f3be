"""The controls as Pulumi policies: the only place here that knows pulumi-policy."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import pulumi
from pulumi_policy import (
    EnforcementLevel,
    Policy,
    PolicyPack,
    PolicyResource,
    ResourceValidationArgs,
    ResourceValidationPolicy,
    Severity,
    StackValidationArgs,
    StackValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from policies.catalogue import CONTROLS, ids
from policies.model import UNKNOWN, Control, Resource, Stack
from policies.waivers import InvalidWaiver, Waiver, parse

Report = Callable[..., None]


def serve() -> None:
    """Serves the pack until the engine ends it."""
    policies: list[Policy] = [waiver_policy(), *(policy(control) for control in CONTROLS)]
    PolicyPack("switchyard", policies=policies, enforcement_level=EnforcementLevel.MANDATORY)


def policy(control: Control) -> Policy:
    """A control as a policy of its own name."""
    told: dict[str, Any] = {
        "name": control.id,
        "description": f"{control.title}.",
        "enforcement_level": (
            EnforcementLevel.MANDATORY if control.severity.mandatory else EnforcementLevel.ADVISORY
        ),
        "severity": Severity[control.severity.name],
        "remediation_steps": control.remedy,
        "url": control.url,
    }

    def on_resource(args: ResourceValidationArgs, report: Report) -> None:
        if control.check is None or args.resource_type not in control.types:
            return
        resource = Resource(
            urn=args.urn, type=args.resource_type, name=args.name, properties=plain(args.props)
        )
        message = control.check(resource)
        if message is not None and not waived(control, resource, waivers()):
            report(told_of(control, resource, message))

    def on_stack(args: StackValidationArgs, report: Report) -> None:
        known = waivers()
        for resource, message in control.judge(stack_of(args.resources)):
            if not waived(control, resource, known):
                report(told_of(control, resource, message), resource.urn)

    if control.check is not None:
        return ResourceValidationPolicy(validate=on_resource, **told)
    return StackValidationPolicy(validate=on_stack, **told)


def waiver_policy() -> Policy:
    """Waivers that are no waivers, and those whose day has passed, are failures by themselves."""

    def on_stack(_args: StackValidationArgs, report: Report) -> None:
        try:
            found = parse(setting(), ids(), today())
        except InvalidWaiver as error:
            report(str(error))
            return
        for waiver in found:
            if waiver.expired(today()):
                report(
                    f"the waiver of {waiver.control} for {waiver.resource} ended on {waiver.expires} "
                    f"({waiver.reason}): keep the control, or decide again"
                )

    return StackValidationPolicy(
        name="waivers",
        description="Every waiver has a reason, and a day on which it ends.",
        enforcement_level=EnforcementLevel.MANDATORY,
        severity=Severity.HIGH,
        validate=on_stack,
    )


# --- the settings


def today() -> date:
    """The day by which waivers end."""
    return datetime.now(UTC).date()


def setting() -> Any:
    """`switchyard:policy` of the stack; None where there is none."""
    text = pulumi.Config("switchyard").get("policy")
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text


def waivers() -> Sequence[Waiver]:
    """The waivers that hold today. What is wrong with the others is told once, by the policy `waivers`."""
    try:
        return [waiver for waiver in parse(setting(), ids(), today()) if not waiver.expired(today())]
    except InvalidWaiver:
        return []


def waived(control: Control, resource: Resource, known: Sequence[Waiver]) -> bool:
    """Whether a resource need not keep a control."""
    return any(waiver.covers(control.id, resource.name) for waiver in known)


def told_of(control: Control, resource: Resource, message: str) -> str:
    """What is wrong, and what to do."""
    return f"{resource.name}: {message}. Remedy: {control.remedy}. {control.url}"


# --- what the engine hands over


def stack_of(resources: Sequence[PolicyResource]) -> Stack:
    """The stack, with who uses whom."""
    return Stack(
        [
            Resource(
                urn=resource.urn,
                type=resource.resource_type,
                name=resource.name,
                properties=plain(resource.props),
                uses={
                    property_: [used.urn for used in found]
                    for property_, found in resource.property_dependencies.items()
                },
            )
            for resource in resources
        ]
    )


def plain(properties: Any) -> Any:
    """Plain mappings and lists out of pulumi-policy's proxies, which raise at each unknown value."""
    if isinstance(properties, Mapping):
        return {key: _known(properties, key) for key in properties}
    if isinstance(properties, Sequence) and not isinstance(properties, str):
        return [_known(properties, index) for index in range(len(properties))]
    return properties


def _known(holder: Any, key: Any) -> Any:
    try:
        return plain(holder[key])
    except UnknownValueError:
        return UNKNOWN
