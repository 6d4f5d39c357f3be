"""DynamoDB's transactions, and one write of a table after the other, as moto's threads would not do them.

A conditional write checks and then writes. Between the two, another thread's write would go unseen, and two
processes would each be told that they alone had taken a lock. A transaction of moto's copies whole tables to
be able to put them back: here only the items that it touches are kept.
"""

import copy
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from typing import Any

from moto.dynamodb.comparisons import get_filter_expression
from moto.dynamodb.exceptions import (
    MockValidationException,
    MultipleTransactionsException,
    TooManyTransactionsException,
    TransactionCanceledException,
    TransactWriteSingleOpException,
)
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

# Methods of moto's that write items, and those that must not see half of a transaction.
ALONE = ("put_item", "update_item", "delete_item", "get_item", "query", "scan")
KINDS = ("ConditionCheck", "Put", "Delete", "Update")
MOST_OPERATIONS = 100
# A cancellation's reason: code, message, and the item where it was asked for.
Reason = tuple[str | None, str | None, dict[str, Any] | None]
NONE: Reason = (None, None, None)
_LOCK = threading.RLock()


def one_at_a_time(method: Callable[..., Any]) -> Callable[..., Any]:
    """The method, with no other one of these under way."""

    @wraps(method)
    def alone(*given: Any, **named: Any) -> Any:
        with _LOCK:
            return method(*given, **named)

    return alone


def replacements() -> dict[str, Callable[..., Any]]:
    """By name, what takes the place of a method of moto's DynamoDBBackend."""
    methods = {name: getattr(DynamoDBBackend, name) for name in ALONE}
    methods["transact_write_items"] = transact_write_items
    return {name: one_at_a_time(method) for name, method in methods.items()}


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One operation of a transaction, and the item as it was before.

    records: how many the table's stream had before.
    """

    kind: str
    given: Mapping[str, Any]
    table: Table
    hash_key: DynamoType
    range_key: DynamoType | None
    before: Item | None
    records: int

    @property
    def names_and_values(self) -> dict[str, Any]:
        """What stands for names and values in its expressions."""
        names = ("expression_attribute_names", "expression_attribute_values")
        return dict(zip(names, self._names_and_values(), strict=True))

    def refusal(self) -> Reason:
        """Why its condition does not hold; NONE where it does, and where there is none."""
        condition = self.given.get("ConditionExpression")
        if condition is None or get_filter_expression(condition, *self._names_and_values()).expr(self.before):
            return NONE
        wanted = self.given.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        item = self.before.to_json()["Attributes"] if wanted and self.before else None
        return "ConditionalCheckFailed", "The conditional request failed", item

    def _names_and_values(self) -> tuple[Any, Any]:
        given = self.given
        return given.get("ExpressionAttributeNames"), given.get("ExpressionAttributeValues")

    def write(self, backend: DynamoDBBackend) -> None:
        """Does it, whatever its condition."""
        name = self.given["TableName"]
        if self.kind == "Put":
            backend.put_item(name, self.given["Item"])
        elif self.kind == "Delete":
            backend.delete_item(name, self.given["Key"])
        elif self.kind == "Update":
            # An update changes the item itself; the one before has to stay as it is.
            self._hold(copy.deepcopy(self.before))
            backend.update_item(
                name, self.given["Key"], self.given["UpdateExpression"], **self.names_and_values
            )

    def undo(self) -> None:
        """The item, and the table's stream, are as they were."""
        self._hold(self.before)
        if self.table.stream_shard is not None:
            del self.table.stream_shard.items[self.records :]

    def _hold(self, item: Item | None) -> None:
        items: Any = self.table.items
        key = self.hash_key
        if self.range_key is not None:
            items, key = items[self.hash_key], self.range_key
        if item is None:
            items.pop(key, None)
        else:
            items[key] = item


def transact_write_items(self: DynamoDBBackend, transact_items: Sequence[Mapping[str, Any]]) -> None:
    """All of the writes or none: every condition is asked before anything is written."""
    operations = _operations(self, transact_items)
    refusals = [operation.refusal() for operation in operations]
    if any(refusal is not NONE for refusal in refusals):
        raise TransactionCanceledException(refusals)
    for number, operation in enumerate(operations):
        try:
            operation.write(self)
        except BaseException as error:
            for done in operations[: number + 1]:
                done.undo()
            if isinstance(error, MockValidationException) or not isinstance(error, Exception):
                raise
            reasons = [NONE] * len(operations)
            reasons[number] = type(error).__name__, str(error), None
            raise TransactionCanceledException(reasons) from error


def _operations(backend: DynamoDBBackend, items: Sequence[Mapping[str, Any]]) -> list[Operation]:
    if len(items) > MOST_OPERATIONS:
        raise TooManyTransactionsException()
    found: list[Operation] = []
    for item in items:
        if len(item) != 1 or not item.keys() <= set(KINDS):
            raise TransactWriteSingleOpException()
        ((kind, given),) = item.items()
        table = backend.get_table(given["TableName"])
        hash_key, range_key = backend.get_keys_value(table, given["Item" if kind == "Put" else "Key"])
        found.append(
            Operation(
                kind=kind,
                given=given,
                table=table,
                hash_key=hash_key,
                range_key=range_key,
                before=table.get_item(hash_key, range_key),
                records=len(table.stream_shard.items) if table.stream_shard else 0,
            )
        )
    touched = {(one.table.name, one.hash_key, one.range_key) for one in found}
    if len(touched) < len(found):
        raise MultipleTransactionsException()
    return found
