"""localcloud/aws/dynamodb.py and instances.py: all of a transaction or nothing, and nothing that piles up."""

import copy
import gc
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.dynamodb.models import dynamodb_backends
from moto.dynamodb.models.dynamo_type import Item
from moto.dynamodb.models.table import Table

from localcloud.aws import install

ACCOUNT, REGION = "123456789012", "eu-west-1"
TABLES = ("ranged", "plain")
KEYS: dict[str, tuple[str, ...]] = {"ranged": ("pk", "sk"), "plain": ("pk",)}


@pytest.fixture
def client() -> Iterator[Any]:
    """Two tables with items a, b and c whose value is 1; one has a stream."""
    install()
    with mock_aws():
        client: Any = boto3.client("dynamodb", region_name=REGION)
        for table in TABLES:
            client.create_table(
                TableName=table,
                BillingMode="PAY_PER_REQUEST",
                KeySchema=[
                    {"AttributeName": name, "KeyType": kind}
                    for name, kind in zip(KEYS[table], ("HASH", "RANGE"), strict=False)
                ],
                AttributeDefinitions=[{"AttributeName": name, "AttributeType": "S"} for name in KEYS[table]],
                StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"},
            )
            for name in "abc":
                client.put_item(TableName=table, Item={**key(table, name), "value": {"N": "1"}})
        yield client


def key(table: str, name: str) -> dict[str, Any]:
    return {part: {"S": name if part == KEYS[table][-1] else "one"} for part in KEYS[table]}


def put(table: str, name: str, value: int, **more: Any) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": {**key(table, name), "value": {"N": str(value)}}, **more}}


def delete(table: str, name: str, **more: Any) -> dict[str, Any]:
    return {"Delete": {"TableName": table, "Key": key(table, name), **more}}


def update(table: str, name: str, by: str) -> dict[str, Any]:
    """Adds 1 to the value, or a text, which fails."""
    return {
        "Update": {
            "TableName": table,
            "Key": key(table, name),
            "UpdateExpression": f"SET #v = #v + {by}",
            "ExpressionAttributeNames": {"#v": "value"},
            "ExpressionAttributeValues": {by: {"S": "1"} if by == ":text" else {"N": "1"}},
        }
    }


def check(table: str, name: str, condition: str) -> dict[str, Any]:
    return {"ConditionCheck": {"TableName": table, "Key": key(table, name), "ConditionExpression": condition}}


def values(client: Any, table: str) -> dict[str, int]:
    """By name, the values in a table."""
    found = client.scan(TableName=table)["Items"]
    return {item[KEYS[table][-1]]["S"]: int(item["value"]["N"]) for item in found}


def table_of(name: str) -> Table:
    return dynamodb_backends[ACCOUNT][REGION].tables[name]


def streamed(name: str) -> list[tuple[str, str]]:
    """What the table's stream tells: the event, and of which item."""
    shard = table_of(name).stream_shard
    assert shard is not None
    return [
        (one.record["eventName"], one.record["dynamodb"]["Keys"][KEYS[name][-1]]["S"]) for one in shard.items
    ]


MADE = [("INSERT", name) for name in "abc"]


@pytest.mark.parametrize("table", TABLES)
def test_every_operation_of_a_transaction_is_done(client: Any, table: str) -> None:
    client.transact_write_items(
        TransactItems=[
            check(table, "a", "attribute_exists(pk)"),
            put(table, "new", 7, ConditionExpression="attribute_not_exists(pk)"),
            update(table, "b", ":one"),
            delete(table, "c"),
        ]
    )
    assert values(client, table) == {"a": 1, "b": 2, "new": 7}
    assert streamed(table) == [*MADE, ("INSERT", "new"), ("MODIFY", "b"), ("REMOVE", "c")]


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("position", range(4))
def test_a_condition_that_does_not_hold_leaves_everything_wherever_it_stands(
    client: Any, table: str, position: int
) -> None:
    operations = [put(table, "a", 9), update(table, "b", ":one"), delete(table, "c")]
    operations.insert(position, check(table, "nobody", "attribute_exists(pk)"))
    with pytest.raises(ClientError, match="TransactionCanceled") as raised:
        client.transact_write_items(TransactItems=operations)
    reasons = [reason["Code"] for reason in raised.value.response["CancellationReasons"]]
    assert reasons == ["None"] * position + ["ConditionalCheckFailed"] + ["None"] * (3 - position)
    assert values(client, table) == {"a": 1, "b": 1, "c": 1}
    assert streamed(table) == MADE


def test_every_condition_that_does_not_hold_is_told_with_the_item_where_it_is_asked_for(client: Any) -> None:
    refused = {"ConditionExpression": "attribute_not_exists(pk)"}
    asked = {**refused, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"}
    with pytest.raises(ClientError) as raised:
        client.transact_write_items(
            TransactItems=[put("ranged", "a", 9, **asked), delete("ranged", "b", **refused)]
        )
    told = raised.value.response["CancellationReasons"]
    assert [reason["Code"] for reason in told] == ["ConditionalCheckFailed"] * 2
    assert [reason.get("Item") for reason in told] == [{**key("ranged", "a"), "value": {"N": "1"}}, None]


@pytest.mark.parametrize("table", TABLES)
def test_a_write_that_fails_in_the_middle_puts_back_what_was_written_before_it(
    client: Any, table: str
) -> None:
    before = table_of(table)
    with pytest.raises(ClientError, match="ValidationException"):
        client.transact_write_items(
            TransactItems=[
                put(table, "new", 7),
                put(table, "a", 9),
                update(table, "b", ":one"),
                delete(table, "c"),
                # A number and a text can't be added.
                update(table, "other", ":text"),
                put(table, "never", 1),
            ]
        )
    assert values(client, table) == {"a": 1, "b": 1, "c": 1}
    assert streamed(table) == MADE
    assert table_of(table) is before, "who holds the table must not go on with one that nobody knows"
    client.transact_write_items(TransactItems=[update(table, "b", ":one"), put(table, "new", 7)])
    assert values(client, table) == {"a": 1, "b": 2, "c": 1, "new": 7}


def test_a_transaction_over_two_tables_is_put_back_in_both(client: Any) -> None:
    with pytest.raises(ClientError, match="ValidationException"):
        client.transact_write_items(
            TransactItems=[put("plain", "a", 9), delete("ranged", "a"), update("plain", "b", ":text")]
        )
    assert values(client, "plain") == values(client, "ranged") == {"a": 1, "b": 1, "c": 1}


def test_an_item_may_be_named_once(client: Any) -> None:
    with pytest.raises(ClientError, match="multiple operations on one item"):
        client.transact_write_items(TransactItems=[put("ranged", "a", 9), delete("ranged", "a")])
    client.transact_write_items(TransactItems=[put("ranged", "a", 9), delete("plain", "a")])
    assert (values(client, "ranged")["a"], values(client, "plain")) == (9, {"b": 1, "c": 1})


def test_more_than_a_hundred_operations_and_a_table_that_is_not_there_are_refused(client: Any) -> None:
    with pytest.raises(ClientError, match="less than or equal to 100"):
        client.transact_write_items(TransactItems=[put("ranged", str(n), 1) for n in range(101)])
    nowhere = {"Delete": {"TableName": "nowhere", "Key": key("ranged", "a")}}
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        client.transact_write_items(TransactItems=[put("ranged", "a", 9), nowhere])
    assert values(client, "ranged") == {"a": 1, "b": 1, "c": 1}


@pytest.fixture
def many_switches() -> Iterator[None]:
    """Threads take turns so often that what is not done alone is done through each other."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("many_switches")
def test_of_transactions_at_the_same_time_none_is_lost_and_none_is_half_done(client: Any) -> None:
    rounds, workers = 15, 4

    def move(_: int) -> int:
        """Takes from one and gives to the other, under the value that it saw; how often it was too late."""
        late = 0
        while True:
            seen = values(client, "ranged")
            condition = {"ConditionExpression": "#v = :seen", "ExpressionAttributeNames": {"#v": "value"}}
            given = {":seen": {"N": str(seen["a"])}}
            try:
                client.transact_write_items(
                    TransactItems=[
                        put("ranged", "a", seen["a"] - 1, **condition, ExpressionAttributeValues=given),
                        update("ranged", "b", ":one"),
                    ]
                )
            except ClientError as error:
                assert error.response["Error"]["Code"] == "TransactionCanceledException"  # noqa: PT017
                late += 1
            else:
                assert seen["a"] + seen["b"] == 2, "it was seen in the middle of a transaction"
                return late

    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(move, range(rounds * workers)))
    done = rounds * workers
    assert values(client, "ranged") == {"a": 1 - done, "b": 1 + done, "c": 1}


@pytest.mark.usefixtures("many_switches")
def test_what_is_put_back_was_never_seen(client: Any) -> None:
    ended: list[bool] = []

    def look() -> set[str]:
        seen = set()
        while not ended:
            item = client.get_item(TableName="ranged", Key=key("ranged", "a"))["Item"]
            seen.add(item["value"]["N"])
        return seen

    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look)
        for _ in range(50):
            with pytest.raises(ClientError):
                client.transact_write_items(
                    TransactItems=[put("ranged", "a", 9), update("ranged", "b", ":text")]
                )
        ended.append(True)
        assert looking.result() == {"1"}


def test_a_transaction_copies_what_it_changes_and_nothing_else(
    client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[str] = []
    real = copy.deepcopy

    def counting(thing: Any, *given: Any) -> Any:
        if isinstance(thing, Table):
            copied.append("the table")
        elif isinstance(thing, Item):
            copied.append(str((thing.range_key or thing.hash_key).value))
        return real(thing, *given)

    monkeypatch.setattr(copy, "deepcopy", counting)
    client.transact_write_items(TransactItems=[put("ranged", "a", 2), update("ranged", "b", ":one")])
    assert set(copied) == {"b"}


def test_what_was_written_over_is_not_kept(client: Any) -> None:
    def items() -> int:
        gc.collect()
        return sum(isinstance(each, Item) for each in gc.get_objects())

    before = items()
    for value in range(100):
        client.put_item(TableName="ranged", Item={**key("ranged", "a"), "value": {"N": str(value)}})
        client.transact_write_items(TransactItems=[put("ranged", "b", value), update("ranged", "c", ":one")])
    assert items() == before, "one object for each item that there is"
