"""What a stack is made of, and which colour has the traffic."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import boto3
import pulumi.automation as auto
from botocore.exceptions import BotoCoreError, ClientError
from rich.console import Console
from rich.table import Table

from components.colours import COLOURS
from switchyard.errors import StackNotUp, SwitchyardError
from switchyard.stacks import environment_of, project_name, session_of, unreadable, workspace


@dataclass(frozen=True, kw_only=True)
class ColourStatus:
    """One colour of a service.

    production_weight, test_weight: share of the listener's traffic, 0 to 100.
    image: the digest that was released to it, None before its first release.
    """

    production_weight: int
    test_weight: int
    desired: int
    running: int
    image: str | None


@dataclass(frozen=True, kw_only=True)
class StackStatus:
    """A stack as it is: out of Pulumi's state, and, for what others write, out of AWS."""

    stack: str
    region: str
    production_url: str
    test_url: str
    endpoint: str | None
    resources: int
    components: Mapping[str, int]
    services: Mapping[str, Mapping[str, ColourStatus]]

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def read(stack: str) -> StackStatus:
    """The stack's status.

    Raises StackNotUp where it was never brought up, and SwitchyardError where Pulumi or AWS won't tell.
    """
    environment = environment_of(stack)
    resources = _resources(stack)
    roots = [resource for resource in resources if resource["type"] == "pulumi:pulumi:Stack"]
    outputs: dict[str, Any] = roots[0].get("outputs", {}) if roots else {}
    if not outputs.get("services"):
        raise StackNotUp(f"stack {stack} is not up; `make up` or `pulumi up --stack {stack}` brings it up")
    session = session_of(environment, outputs["region"])
    endpoint = environment.get("AWS_ENDPOINT_URL")
    try:
        services = _services(session, endpoint, outputs)
    except (BotoCoreError, ClientError) as error:
        raise SwitchyardError(f"AWS does not tell how stack {stack} is: {error}") from None
    return StackStatus(
        stack=stack,
        region=outputs["region"],
        production_url=outputs["production_url"],
        test_url=outputs["test_url"],
        endpoint=endpoint,
        resources=sum(1 for r in resources if r.get("custom") and not r["type"].startswith("pulumi:")),
        components=count_by_component(resources),
        services=services,
    )


def count_by_component(resources: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many AWS resources each top-level component holds, as `Type name`."""
    by_urn = {resource["urn"]: resource for resource in resources}
    counts: Counter[str] = Counter()
    for resource in resources:
        if resource.get("custom") and not resource["type"].startswith("pulumi:"):
            top = resource
            while (parent := by_urn.get(top.get("parent", ""))) and parent["type"].startswith("switchyard:"):
                top = parent
            kind = top["type"].rsplit(":", 1)[-1]
            counts[f"{kind} {top['urn'].rsplit('::', 1)[-1]}"] += 1
    return dict(sorted(counts.items()))


def _resources(stack: str) -> list[dict[str, Any]]:
    try:
        exported = workspace(stack).export_stack(stack)
    except auto.StackNotFoundError:
        raise StackNotUp(f"there is no stack {stack} yet; bring it up with `make up`") from None
    except auto.CommandError as error:
        raise unreadable(stack, error) from None
    return list((exported.deployment or {}).get("resources") or [])


def _services(
    session: boto3.Session, endpoint: str | None, outputs: Mapping[str, Any]
) -> dict[str, dict[str, ColourStatus]]:
    balancers = session.client("elbv2", endpoint_url=endpoint)
    containers = session.client("ecs", endpoint_url=endpoint)
    parameters = session.client("ssm", endpoint_url=endpoint)
    pages = parameters.get_paginator("get_parameters_by_path").paginate(
        Path=outputs["images_path"], Recursive=True
    )
    images = {found["Name"]: found["Value"] for page in pages for found in page["Parameters"]}
    services: dict[str, dict[str, ColourStatus]] = {}
    for name, service in outputs["services"].items():
        rules = balancers.describe_rules(RuleArns=[service["production_rule"], service["test_rule"]])["Rules"]
        weights = {rule["RuleArn"]: _weights(rule) for rule in rules}
        described = containers.describe_services(
            cluster=outputs["cluster"], services=[service["ecs_services"][colour] for colour in COLOURS]
        )["services"]
        by_name = {found["serviceName"]: found for found in described}
        if missing := sorted(set(service["ecs_services"].values()) - set(by_name)):
            raise SwitchyardError(
                f"ECS has no {', '.join(missing)}, which Pulumi's state holds; "
                "`pulumi refresh` finds what was removed"
            )
        services[name] = {
            colour: ColourStatus(
                # A group that a rule does not name gets nothing from it.
                production_weight=weights[service["production_rule"]].get(
                    service["target_groups"][colour], 0
                ),
                test_weight=weights[service["test_rule"]].get(service["target_groups"][colour], 0),
                desired=by_name[service["ecs_services"][colour]]["desiredCount"],
                running=by_name[service["ecs_services"][colour]]["runningCount"],
                image=images.get(f"{outputs['images_path']}/{name}/{colour}"),
            )
            for colour in COLOURS
        }
    return services


def _weights(rule: Any) -> dict[str, int]:
    return {
        group["TargetGroupArn"]: group["Weight"]
        for action in rule["Actions"]
        for group in action.get("ForwardConfig", {}).get("TargetGroups", [])
    }


def render(status: StackStatus, console: Console) -> None:
    """The status for a person."""
    console.print(
        f"[bold]{project_name()} {status.stack}[/]: {status.resources} resources in {status.region}"
    )
    if status.endpoint:
        console.print(f"AWS endpoint {status.endpoint} (embedded cloud)")
    # Addresses are there to be copied: no line breaks in them.
    console.print(f"Production {status.production_url}   test {status.test_url}", soft_wrap=True)
    console.print(_colours_table(status))
    console.print(_components_table(status))


def _colours_table(status: StackStatus) -> Table:
    table = Table("service", "colour", "production", "test", "running", "image")
    for name, colours in status.services.items():
        for colour, state in colours.items():
            live = state.production_weight > 0
            table.add_row(
                name if colour == COLOURS[0] else "",
                f"[bold]{colour}[/]" if live else colour,
                f"{state.production_weight} %",
                f"{state.test_weight} %",
                f"{state.running} of {state.desired}",
                (state.image or "not released yet").split("@sha256:")[-1][:19],
            )
    return table


def _components_table(status: StackStatus) -> Table:
    table = Table("component", "name", "resources")
    for component, count in status.components.items():
        kind, _, name = component.partition(" ")
        table.add_row(kind, name, str(count))
    return table
