"""The release table on moto's DynamoDB, with writes that are atomic as DynamoDB's are."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from typing import TYPE_CHECKING
from unittest.mock import patch

import boto3
from moto import mock_aws
from moto.dynamodb.models import DynamoDBBackend

from localcloud.aws import dynamodb
from release.table import DynamoTable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@contextmanager
def release_table() -> Iterator[DynamoTable]:
    """An empty table."""
    with release_tables() as make:
        yield make()


@contextmanager
def release_tables() -> Iterator[Callable[[], DynamoTable]]:
    """Makes empty tables, as components/release_store.py makes them."""
    with mock_aws(), ExitStack() as patches:
        for name, method in dynamodb.replacements().items():
            patches.enter_context(patch.object(DynamoDBBackend, name, method))
        client = boto3.client("dynamodb", region_name="eu-west-1")
        numbers = count(1)
        yield lambda: made(client, f"shop-prod-{next(numbers)}-releases")


def made(client: "DynamoDBClient", name: str) -> DynamoTable:
    """A new table of the shape that the platform's own program makes."""
    client.create_table(
        TableName=name,
        BillingMode="PAY_PER_REQUEST",
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
        ],
    )
    return DynamoTable(client, name)
