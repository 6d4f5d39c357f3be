"""What localcloud/aws/backup.py adds to moto: selections, notifications, plan updates, tags."""

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from localcloud.aws import install

RULE = {"RuleName": "daily", "TargetBackupVaultName": "main", "ScheduleExpression": "cron(0 3 * * ? *)"}
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alerts"
SELECTION = {
    "SelectionName": "daily",
    "IamRoleArn": "arn:aws:iam::123456789012:role/backup",
    "ListOfTags": [
        {"ConditionType": "STRINGEQUALS", "ConditionKey": "backup-tier", "ConditionValue": "daily"}
    ],
}


@pytest.fixture
def backup(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    install()
    # AWS's own policies take longer to load than a test to run.
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    with mock_aws():
        client = boto3.client("backup", region_name="eu-west-1")
        client.create_backup_vault(BackupVaultName="main", BackupVaultTags={"team": "platform"})
        yield client


@pytest.fixture
def plan(backup: Any) -> dict[str, Any]:
    made: dict[str, Any] = backup.create_backup_plan(
        BackupPlan={"BackupPlanName": "daily", "Rules": [RULE]}, BackupPlanTags={"team": "platform"}
    )
    return made


# --- selections


def test_a_selection_is_kept_as_it_was_given(backup: Any, plan: dict[str, Any]) -> None:
    made = backup.create_backup_selection(BackupPlanId=plan["BackupPlanId"], BackupSelection=SELECTION)
    found = backup.get_backup_selection(BackupPlanId=plan["BackupPlanId"], SelectionId=made["SelectionId"])
    assert found["BackupSelection"] == SELECTION
    assert found["BackupPlanId"] == plan["BackupPlanId"]


def test_a_plan_lists_its_selections(backup: Any, plan: dict[str, Any]) -> None:
    made = backup.create_backup_selection(BackupPlanId=plan["BackupPlanId"], BackupSelection=SELECTION)
    listed = backup.list_backup_selections(BackupPlanId=plan["BackupPlanId"])["BackupSelectionsList"]
    assert [(found["SelectionId"], found["SelectionName"]) for found in listed] == [
        (made["SelectionId"], "daily")
    ]


def test_a_selection_that_was_deleted_is_gone(backup: Any, plan: dict[str, Any]) -> None:
    made = backup.create_backup_selection(BackupPlanId=plan["BackupPlanId"], BackupSelection=SELECTION)
    named = {"BackupPlanId": plan["BackupPlanId"], "SelectionId": made["SelectionId"]}
    backup.delete_backup_selection(**named)
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        backup.get_backup_selection(**named)


# --- plans


def test_an_update_of_a_plan_keeps_its_id_selections_and_tags(backup: Any, plan: dict[str, Any]) -> None:
    plan_id, arn = plan["BackupPlanId"], plan["BackupPlanArn"]
    backup.create_backup_selection(BackupPlanId=plan_id, BackupSelection=SELECTION)
    changed = {**RULE, "ScheduleExpression": "cron(0 5 * * ? *)"}
    updated = backup.update_backup_plan(
        BackupPlanId=plan_id, BackupPlan={"BackupPlanName": "daily", "Rules": [changed]}
    )
    assert (updated["BackupPlanId"], updated["BackupPlanArn"]) == (plan_id, arn)
    assert updated["VersionId"] != plan["VersionId"]
    (rule,) = backup.get_backup_plan(BackupPlanId=plan_id)["BackupPlan"]["Rules"]
    assert rule["ScheduleExpression"] == "cron(0 5 * * ? *)"
    assert len(backup.list_backup_selections(BackupPlanId=plan_id)["BackupSelectionsList"]) == 1
    assert backup.list_tags(ResourceArn=arn)["Tags"] == {"team": "platform"}


# --- vaults


def test_a_vault_keeps_its_tags(backup: Any) -> None:
    arn = backup.describe_backup_vault(BackupVaultName="main")["BackupVaultArn"]
    assert backup.list_tags(ResourceArn=arn)["Tags"] == {"team": "platform"}


def test_a_vault_keeps_its_notifications_until_they_are_deleted(backup: Any) -> None:
    backup.put_backup_vault_notifications(
        BackupVaultName="main", SNSTopicArn=TOPIC, BackupVaultEvents=["COPY_JOB_FAILED"]
    )
    found = backup.get_backup_vault_notifications(BackupVaultName="main")
    assert (found["SNSTopicArn"], found["BackupVaultEvents"]) == (TOPIC, ["COPY_JOB_FAILED"])
    backup.delete_backup_vault_notifications(BackupVaultName="main")
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        backup.get_backup_vault_notifications(BackupVaultName="main")


def test_a_vault_holds_no_recovery_points(backup: Any) -> None:
    assert backup.list_recovery_points_by_backup_vault(BackupVaultName="main")["RecoveryPoints"] == []


def test_a_vault_that_is_not_there_is_an_error(backup: Any) -> None:
    with pytest.raises(ClientError, match="ResourceNotFoundException"):
        backup.list_recovery_points_by_backup_vault(BackupVaultName="nowhere")
