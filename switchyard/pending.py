"""What an interrupted run of the engine left undecided, and how the state looks once it is decided. Pure.

The engine notes "creating" before it asks the provider, and the ID when it has one. Killed in between, it
leaves a pending operation: a thing that may exist, that is in no state. The next run warns, and creates it
again. Pending updates and deletions need no decision: their resource is in the state, and the next run
does them again.

`pulumi refresh --import-pending-creates` is meant for this, but up to 3.230 it only renames the operation
to "importing", which nothing ever reads: the refresh then drops it. So the state is edited the way that
Pulumi documents, by export and import.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Deployment = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class PendingCreate:
    """A resource that the engine began to create.

    inputs: what it was asked for.
    region, tags: of its provider; the tags are those that the provider puts on all it makes.
    replaces: the state holds a resource of this URN already: its predecessor, or itself.
    """

    urn: str
    type: str
    inputs: Mapping[str, Any]
    region: str
    tags: Mapping[str, str]
    replaces: bool

    @property
    def name(self) -> str:
        """Its name in the program."""
        return self.urn.rsplit("::", 1)[-1]


@dataclass(frozen=True, kw_only=True)
class Pending:
    """An operation that the state holds as begun and not ended.

    operation: creating, updating, deleting, reading or importing.
    modified: when its resource was last written to the state, where it was before; in RFC 3339.
    """

    urn: str
    type: str
    operation: str
    modified: str | None = None

    @property
    def name(self) -> str:
        """Its name in the program."""
        return self.urn.rsplit("::", 1)[-1]

    @property
    def undecided(self) -> bool:
        """Whether somebody has to say what becomes of it; the next run does the others again by itself."""
        return self.operation == "creating"

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {
            "urn": self.urn,
            "type": self.type,
            "name": self.name,
            "operation": self.operation,
            "modified": self.modified,
        }


def pending(deployment: Deployment) -> list[Pending]:
    """All operations that an interrupted run has left, each once, in their order."""
    found = {}
    for operation in deployment.get("pending_operations") or []:
        resource = operation["resource"]
        found[resource["urn"], operation["type"]] = Pending(
            urn=resource["urn"],
            type=resource["type"],
            operation=operation["type"],
            modified=resource.get("modified") or resource.get("created"),
        )
    return list(found.values())


def pending_creates(deployment: Deployment) -> list[PendingCreate]:
    """The undecided ones, each once. Components and providers exist in the state alone."""
    resources = deployment.get("resources") or []
    providers = {f"{resource['urn']}::{resource.get('id', '')}": resource for resource in resources}
    living = {resource["urn"] for resource in resources if not resource.get("delete")}
    found = {}
    for operation in deployment.get("pending_operations") or []:
        resource = operation["resource"]
        if operation["type"] == "creating" and resource["type"].startswith("aws:"):
            provider = providers.get(resource.get("provider", ""), {}).get("inputs", {})
            found[resource["urn"]] = PendingCreate(
                urn=resource["urn"],
                type=resource["type"],
                inputs=resource.get("inputs") or {},
                region=provider.get("region", ""),
                tags=default_tags(provider),
                replaces=resource["urn"] in living,
            )
    return list(found.values())


def default_tags(provider: Mapping[str, Any]) -> dict[str, str]:
    """The tags that an AWS provider puts on all it makes, out of its recorded inputs."""
    recorded = provider.get("defaultTags")
    # The engine keeps nested values of a provider as JSON text; the embedded cloud's is a list of one.
    block = json.loads(recorded) if isinstance(recorded, str) else recorded
    if isinstance(block, list):
        block = block[0] if block else None
    return dict((block or {}).get("tags") or {})


def known_ids(deployment: Deployment, of_type: str) -> frozenset[str]:
    """The IDs of all resources of a type that are in the state."""
    return frozenset(
        resource["id"]
        for resource in deployment.get("resources") or []
        if resource["type"] == of_type and resource.get("id")
    )


def undecided(deployment: Deployment) -> bool:
    """Whether any create is pending, of whatever type."""
    return any(operation["type"] == "creating" for operation in deployment.get("pending_operations") or [])


def unread(deployment: Deployment) -> list[str]:
    """URNs of resources that were adopted and never read from AWS: they have an ID and nothing else."""
    return [
        resource["urn"]
        for resource in deployment.get("resources") or []
        if resource["type"].startswith("aws:") and resource.get("id") and not resource.get("outputs")
    ]


def decided(deployment: Deployment, adopted: Mapping[str, str]) -> Deployment:
    """The state with the adopted ones (ID by URN) among its resources, and no create pending."""
    found = deployment
    for one in pending(deployment):
        if one.undecided:
            found = resolved(found, one, adopted.get(one.urn))
    return found


def resolved(deployment: Deployment, one: Pending, adopted: str | None = None) -> Deployment:
    """The state without this pending operation; with its resource, where an ID is given.

    It comes last: what it depends on is there already, and nothing depends on it yet. Without outputs a
    refresh reads it as it reads an import.
    """
    operations: Sequence[Mapping[str, Any]] = deployment.get("pending_operations") or []
    its = [each for each in operations if (each["resource"]["urn"], each["type"]) == (one.urn, one.operation)]
    made = [
        {**{key: value for key, value in its[-1]["resource"].items() if key != "outputs"}, "id": adopted}
        for _ in its[:1]
        if adopted is not None
    ]
    return {
        **deployment,
        "resources": [*(deployment.get("resources") or []), *made],
        "pending_operations": [each for each in operations if each not in its],
    }
