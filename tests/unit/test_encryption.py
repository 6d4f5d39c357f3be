import json
from collections.abc import Sequence
from typing import Any

import pytest

from components.encryption import EncryptionKey, EncryptionKeyArgs, key_policy
from tests.unit.harness import ACCOUNT, REGION, Deployment, deploy, value_of

KEY = "aws:kms/key:Key"
ALIAS = "aws:kms/alias:Alias"

USE_ACTIONS = [
    "kms:Decrypt",
    "kms:DescribeKey",
    "kms:Encrypt",
    "kms:GenerateDataKey",
    "kms:GenerateDataKeyWithoutPlaintext",
    "kms:ReEncryptFrom",
    "kms:ReEncryptTo",
]
ROOT = {
    "Sid": "AccountAdministersTheKey",
    "Effect": "Allow",
    "Principal": {"AWS": "arn:aws:iam::123456789012:root"},
    "Action": "kms:*",
    "Resource": "*",
}


def key(*, retain_on_delete: bool | None = None) -> Deployment:
    retention = {} if retain_on_delete is None else {"retain_on_delete": retain_on_delete}
    return deploy(
        lambda: EncryptionKey(
            "logs",
            EncryptionKeyArgs(
                account_id=ACCOUNT,
                region=REGION,
                alias_name="switchyard-test-logs",
                description="logs of the stack",
                service_principals=["sns.amazonaws.com"],
                deletion_window_days=30,
                **retention,
            ),
        )
    )


def statements(service_principals: Sequence[str]) -> list[dict[str, Any]]:
    document = json.loads(
        key_policy(account_id=ACCOUNT, region=REGION, service_principals=service_principals)
    )
    assert set(document) == {"Version", "Statement"}
    assert document["Version"] == "2012-10-17", "older policy versions do not know all condition keys"
    found: list[dict[str, Any]] = document["Statement"]
    return found


def test_a_key_rotates_and_waits_before_it_is_gone() -> None:
    assert key().one(KEY).inputs == {
        "description": "logs of the stack",
        "deletionWindowInDays": 30,
        "enableKeyRotation": True,
        "policy": key_policy(account_id=ACCOUNT, region=REGION, service_principals=["sns.amazonaws.com"]),
    }, "KMS.4 asks for rotation, and a deletion has to be noticed before it is final"


def test_a_key_is_found_by_its_alias() -> None:
    assert key().one(ALIAS).inputs == {
        "name": "alias/switchyard-test-logs",
        "targetKeyId": "key-logs",
    }, "people name keys, not identifiers"


def test_a_key_is_one_key_and_one_alias_under_its_component() -> None:
    deployment = key()
    assert deployment.count() == {KEY: 1, ALIAS: 1}
    assert {r.parent for r in deployment.of(KEY) + deployment.of(ALIAS)} == {"logs"}


@pytest.mark.parametrize(("asked", "retained"), [(None, False), (False, False), (True, True)])
def test_a_key_outlives_its_stack_only_where_that_is_asked_for(asked: bool | None, retained: bool) -> None:
    deployment = key(retain_on_delete=asked)
    assert deployment.one(KEY).retain_on_delete is retained, "a final snapshot is lost with its key"
    assert not deployment.one(ALIAS).retain_on_delete, "an alias that stays blocks the next stack of its name"


def test_the_type_of_a_key_is_state_for_ever() -> None:
    assert key().one("switchyard:security:EncryptionKey").name == "logs"


def test_a_key_gives_its_arn_and_id() -> None:
    result = key().result
    assert value_of(result.key_arn) == "arn:aws:Key:eu-west-1:123456789012:logs"
    assert value_of(result.key_id) == "key-logs"


def test_without_services_only_the_account_may_use_the_key() -> None:
    assert statements([]) == [ROOT], "closed until someone is named"


def test_a_service_uses_the_key_for_this_account_only() -> None:
    assert statements(["sns.amazonaws.com", "cloudwatch.amazonaws.com"]) == [
        ROOT,
        {
            "Sid": "ServicesUseTheKey",
            "Effect": "Allow",
            "Principal": {"Service": ["cloudwatch.amazonaws.com", "sns.amazonaws.com"]},
            "Action": USE_ACTIONS,
            "Resource": "*",
            "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
        },
    ], "a service acts for every account of AWS: the condition is what makes it ours"


def test_log_groups_are_held_by_the_encryption_context() -> None:
    assert statements(["logs.eu-west-1.amazonaws.com"]) == [
        ROOT,
        {
            "Sid": "LogGroupsUseTheKey",
            "Effect": "Allow",
            "Principal": {"Service": ["logs.eu-west-1.amazonaws.com"]},
            "Action": USE_ACTIONS,
            "Resource": "*",
            "Condition": {
                "ArnLike": {
                    "kms:EncryptionContext:aws:logs:arn": "arn:aws:logs:eu-west-1:123456789012:log-group:*"
                }
            },
        },
    ], "that is the condition that CloudWatch Logs documents; a source account would lock it out"


def test_each_service_stands_under_its_own_condition() -> None:
    found = statements(["logs.eu-west-1.amazonaws.com", "delivery.logs.amazonaws.com", "sns.amazonaws.com"])
    assert [(s["Sid"], s.get("Condition", {}).keys(), s["Principal"].get("Service")) for s in found] == [
        ("AccountAdministersTheKey", set(), None),
        ("ServicesUseTheKey", {"StringEquals"}, ["delivery.logs.amazonaws.com", "sns.amazonaws.com"]),
        ("LogGroupsUseTheKey", {"ArnLike"}, ["logs.eu-west-1.amazonaws.com"]),
    ], "log delivery is a service of its own and has no encryption context"


def test_the_order_of_services_does_not_change_the_policy() -> None:
    names = ["sns.amazonaws.com", "backup.amazonaws.com", "logs.eu-west-1.amazonaws.com"]
    assert key_policy(account_id=ACCOUNT, region=REGION, service_principals=names) == key_policy(
        account_id=ACCOUNT, region=REGION, service_principals=names[::-1]
    ), "a preview shows changes, not shuffles"
