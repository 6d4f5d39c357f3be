"""How a thing that was begun is looked for in AWS: what is known of it, and the calls that ask."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from switchyard.errors import SwitchyardError
from switchyard.pending import PendingCreate

# The tags by which a stack's things are known; others may have been changed since.
OURS = ("project", "stack")

# What EC2 still shows for a while.
GONE = ("deleting", "deleted", "failed")

Clients = Callable[[str], Any]
Thing = Mapping[str, Any]


class Ambiguous(SwitchyardError):
    """It can't be told which thing in AWS is the one that was begun."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """A search for what was begun.

    known: IDs of the things of this type that the state holds; they are others.
    client: the client of an AWS service, in the region of the thing.
    """

    pending: PendingCreate
    known: frozenset[str]
    client: Clients

    def __getitem__(self, name: str) -> Any:
        """What the thing was asked to be."""
        return self.pending.inputs.get(name)

    def every(self, service: str, call: str, result: str, **arguments: Any) -> Iterator[Any]:
        """All entries of a listing, page by page; none where AWS says that what it asks for isn't there."""
        client = self.client(service)
        with suppress_absence():
            if client.can_paginate(call):
                for page in client.get_paginator(call).paginate(**arguments):
                    yield from page.get(result) or []
            else:
                yield from getattr(client, call)(**arguments).get(result) or []

    def each(self, service: str, call: str, result: str | None, **arguments: Any) -> Iterator[Any]:
        """The one thing that a call describes, or nothing where AWS says that it isn't there."""
        with suppress_absence():
            answer = getattr(self.client(service), call)(**arguments)
            yield answer if result is None else answer.get(result) or {}

    def is_ours(self, tags: Iterable[Thing] | Mapping[str, str] | None) -> bool:
        """Whether these tags, in any of AWS's three spellings, are those of this stack."""
        given = tags_of(tags)
        missing = [name for name in OURS if name not in self.pending.tags]
        if missing:
            raise Ambiguous(
                f"the provider of {self.pending.name} puts no tag {' and '.join(missing)} on what it makes, "
                "so this stack's things can't be told from others: see default_tags in infra/platform.py"
            )
        return all(given.get(name) == self.pending.tags[name] for name in OURS)

    def ec2(self, call: str, result: str, identifier: str, **filters: Any) -> str | None:
        """The one thing of EC2 with these properties, this stack's tags and the Name that was asked for."""
        name = (self["tags"] or {}).get("Name")
        asked = {key.replace("_", "-"): [value] for key, value in filters.items() if value}
        if name:
            asked["tag:Name"] = [name]
        # One call spells it in the singular.
        parameter = "Filter" if call in ("describe_flow_logs", "describe_nat_gateways") else "Filters"
        wanted = [{"Name": key, "Values": values} for key, values in asked.items()]
        things = self.every("ec2", call, result, **{parameter: wanted})
        return self.one(
            thing[identifier]
            for thing in things
            if self.is_ours(thing.get("Tags")) and str(thing.get("State")).lower() not in GONE
        )

    def one(self, found: Iterable[str]) -> str | None:
        """The only new one among the IDs. Raises Ambiguous where there are several."""
        new = sorted(set(found) - self.known)
        if len(new) > 1:
            raise Ambiguous(
                f"{self.pending.name} was being created, and AWS has {len(new)} that could be it: "
                f"{', '.join(new)}. Delete what is left over, and run the same again"
            )
        return new[0] if new else None


def tags_of(tags: Iterable[Thing] | Mapping[str, str] | None) -> dict[str, str]:
    """Tags as a mapping, from whichever way the AWS service spells them."""
    if isinstance(tags, Mapping):
        return dict(tags)
    return {
        tag.get("Key") or tag.get("key") or tag.get("TagKey") or "": tag.get("Value")
        or tag.get("value")
        or tag.get("TagValue")
        or ""
        for tag in tags or []
    }


# What AWS's services answer when they looked and there is nothing. Nothing else counts as "not there".
ABSENT = frozenset(
    {
        "404",
        "ClusterNotFoundException",
        "DBInstanceNotFound",
        "DBInstanceNotFoundFault",
        "DBParameterGroupNotFound",
        "DBParameterGroupNotFoundFault",
        "DBSubnetGroupNotFoundFault",
        "ListenerNotFound",
        "LoadBalancerNotFound",
        "NoSuchBucket",
        "NoSuchEntity",
        "NoSuchTagSet",
        "RepositoryNotFoundException",
        "ResourceNotFoundException",
        "SubscriptionNotFound",
        "SubscriptionNotFoundFault",
        "TargetGroupNotFound",
    }
)


class suppress_absence(suppress):  # noqa: N801 - reads as the suppress that it is
    """Lets go of AWS's ways to say that something is not there, and of nothing else."""

    def __init__(self) -> None:
        super().__init__(ClientError)

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> bool:
        return isinstance(error, ClientError) and error.response["Error"]["Code"] in ABSENT
