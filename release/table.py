"""A DynamoDB table as the store needs it: reads that are consistent, writes that are all or nothing."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import botocore.exceptions
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

from release.errors import ReleaseError, Unavailable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = Mapping[str, Any]
# Failures that a later try may not have. Any other answer of DynamoDB is a mistake of ours or of the stack.
PASSING = frozenset(
    {
        "InternalServerError",
        "InternalFailure",
        "LimitExceededException",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestTimeout",
        "RequestTimeoutException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "ThrottlingException",
        "Throttling",
        "TransactionInProgressException",
    }
)


@dataclass(frozen=True, kw_only=True)
class Key:
    """Where an item is."""

    pk: str
    sk: str


@dataclass(frozen=True, kw_only=True)
class Put:
    """Writes an item whole. absent: only where there is none. equal: only over one with these values."""

    item: Item
    absent: bool = False
    equal: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Check:
    """Writes nothing, and lets the others happen only if the item has these values."""

    key: Key
    equal: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Delete:
    """Removes an item, if there is one."""

    key: Key


Write = Put | Check | Delete


class Table(Protocol):
    """What the store needs. Every method may raise Unavailable; a write may have happened even then."""

    def get(self, key: Key) -> Item | None:
        """The item as it is now."""

    def query(self, pk: str, prefix: str = "") -> list[Item]:
        """All items of a partition whose `sk` begins with the prefix."""

    def write(self, writes: Sequence[Write]) -> bool:
        """All of it or nothing; False where a condition did not hold."""


class DynamoTable:
    """The table, by boto3. Values are kept in DynamoDB's own types; an entry or release as JSON text."""

    def __init__(self, client: "DynamoDBClient", name: str) -> None:
        self._client = client
        self._name = name

    def get(self, key: Key) -> Item | None:
        """The item as it is now."""
        with _answering(f"reading from {self._name}"):
            found = self._client.get_item(
                TableName=self._name, Key=_typed(asdict(key)), ConsistentRead=True
            ).get("Item")
        return None if found is None else _plain(found)

    def query(self, pk: str, prefix: str = "") -> list[Item]:
        """All items of a partition, page by page."""
        condition, values = "pk = :pk", {":pk": pk}
        if prefix:
            condition, values = f"{condition} AND begins_with(sk, :sk)", {**values, ":sk": prefix}
        found: list[Item] = []
        with _answering(f"reading from {self._name}"):
            pages = self._client.get_paginator("query").paginate(
                TableName=self._name,
                ConsistentRead=True,
                KeyConditionExpression=condition,
                ExpressionAttributeValues=_typed(values),
            )
            for page in pages:
                found.extend(_plain(item) for item in page["Items"])
        return found

    def write(self, writes: Sequence[Write]) -> bool:
        """All of it in one transaction; one write alone needs none."""
        try:
            with _answering(f"writing to {self._name}"):
                if len(writes) == 1 and isinstance(writes[0], Put):
                    self._client.put_item(**self._operation(writes[0])["Put"])
                else:
                    operations: Any = [self._operation(write) for write in writes]
                    self._client.transact_write_items(TransactItems=operations)
        except _ConditionFailed:
            return False
        return True

    def _operation(self, write: Write) -> dict[str, Any]:
        if isinstance(write, Delete):
            return {"Delete": {"TableName": self._name, "Key": _typed(asdict(write.key))}}
        if isinstance(write, Check):
            operation = {"TableName": self._name, "Key": _typed(asdict(write.key)), **_condition(write.equal)}
            return {"ConditionCheck": operation}
        operation = {"TableName": self._name, "Item": _typed(write.item)}
        if write.absent:
            operation["ConditionExpression"] = "attribute_not_exists(pk)"
        elif write.equal:
            operation |= _condition(write.equal)
        return {"Put": operation}


def _condition(equal: Mapping[str, Any]) -> dict[str, Any]:
    names = {f"#c{place}": name for place, name in enumerate(equal)}
    values = {f":c{place}": value for place, value in enumerate(equal.values())}
    return {
        "ConditionExpression": " AND ".join(f"#c{place} = :c{place}" for place in range(len(equal))),
        "ExpressionAttributeNames": names,
        "ExpressionAttributeValues": _typed(values),
    }


class _ConditionFailed(Exception):
    """A condition of a write did not hold."""


@contextmanager
def _answering(doing: str) -> Iterator[None]:
    """Turns botocore's errors into ours."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        code = error.response["Error"]["Code"]
        reasons = [reason.get("Code") for reason in error.response.get("CancellationReasons", [])]
        if code == "ConditionalCheckFailedException" or "ConditionalCheckFailed" in reasons:
            raise _ConditionFailed from error
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        # Without a failed condition, a cancelled transaction met another one on the same items.
        if code in PASSING or code == "TransactionCanceledException" or status >= 500:
            raise Unavailable(f"{doing}: DynamoDB answers {code}") from error
        raise ReleaseError(
            f"{doing}: DynamoDB refuses with {code}: {error.response['Error']['Message']}"
        ) from error
    except botocore.exceptions.BotoCoreError as error:
        raise Unavailable(f"{doing}: {error}") from error


def _typed(values: Mapping[str, Any]) -> dict[str, Any]:
    """In DynamoDB's types. Nested values become JSON text: hashes need them back exactly as they were."""
    serializer = TypeSerializer()
    return {
        name: serializer.serialize(json.dumps(value) if isinstance(value, dict | list) else value)
        for name, value in values.items()
    }


def _plain(item: Mapping[str, Any]) -> Item:
    deserializer = TypeDeserializer()
    found: dict[str, Any] = {}
    for name, value in item.items():
        plain = deserializer.deserialize(value)
        if isinstance(value, dict) and "N" in value:
            plain = int(plain)
        elif name == "entry":
            plain = json.loads(plain)
        found[name] = plain
    return found
