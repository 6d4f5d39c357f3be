import json
from typing import Any

import pulumi_aws
import pytest

from components.backups import Backups, BackupsArgs, BackupTier, backup_trust_policy
from components.encryption import key_policy
from tests.unit.harness import ACCOUNT, REGION, Deployment, deploy, value_of

VAULT = "aws:backup/vault:Vault"
LOCK = "aws:backup/vaultLockConfiguration:VaultLockConfiguration"
NOTIFICATIONS = "aws:backup/vaultNotifications:VaultNotifications"
PLAN = "aws:backup/plan:Plan"
SELECTION = "aws:backup/selection:Selection"
ROLE = "aws:iam/role:Role"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
KEY = "aws:kms/key:Key"
ALIAS = "aws:kms/alias:Alias"
PROVIDER = "pulumi:providers:aws"

TOPIC_ARN = "arn:aws:sns:eu-west-1:123456789012:alarms"
ROLE_ARN = "arn:aws:Role:eu-west-1:123456789012:backups-role"
COPY_VAULT_ARN = "arn:aws:Vault:eu-west-1:123456789012:backups-copy-vault"

GOLD = BackupTier(
    name="gold",
    schedule_cron="cron(0 1 * * ? *)",
    retention_days=35,
    cold_storage_after_days=None,
    start_window_minutes=60,
    completion_window_minutes=180,
    continuous=True,
)
ARCHIVE = BackupTier(
    name="archive",
    schedule_cron="cron(0 4 1 * ? *)",
    retention_days=365,
    cold_storage_after_days=30,
    start_window_minutes=120,
    completion_window_minutes=720,
    continuous=False,
)
GOLD_RULE = {
    "ruleName": "gold",
    "targetVaultName": "backups-vault",
    "schedule": "cron(0 1 * * ? *)",
    "startWindow": 60,
    "completionWindow": 180,
    "enableContinuousBackup": True,
    "lifecycle": {"deleteAfter": 35},
}
ARCHIVE_RULE = {
    "ruleName": "archive",
    "targetVaultName": "backups-vault",
    "schedule": "cron(0 4 1 * ? *)",
    "startWindow": 120,
    "completionWindow": 720,
    "enableContinuousBackup": False,
    "lifecycle": {"deleteAfter": 365, "coldStorageAfter": 30},
}


def backups(*, copies: bool = False, **changes: Any) -> Deployment:
    def program() -> Backups:
        provider = pulumi_aws.Provider("second", region="eu-central-1") if copies else None
        values: dict[str, Any] = {
            "account_id": ACCOUNT,
            "region": REGION,
            "name_prefix": "switchyard-test",
            "tiers": [GOLD, ARCHIVE],
            "min_retention_days": 7,
            "max_retention_days": 365,
            "copy_provider": provider,
            "copy_region": "eu-central-1" if copies else None,
            "topic_arn": TOPIC_ARN,
            "expect_daily": False,
            "force_destroy": False,
            "key_deletion_window_days": 30,
            "role_path": "/switchyard/test/",
            "permissions_boundary_arn": "arn:boundary",
        }
        return Backups("backups", BackupsArgs(**(values | changes)))

    return deploy(program)


def test_the_parts_of_backups_are_these_and_no_more() -> None:
    assert backups().count() == {
        KEY: 1,
        ALIAS: 1,
        VAULT: 1,
        LOCK: 1,
        NOTIFICATIONS: 1,
        ROLE: 1,
        ATTACHMENT: 2,
        PLAN: 2,
        SELECTION: 2,
        ALARM: 2,
    }


def test_the_type_of_backups_is_state_for_ever() -> None:
    assert backups().one("switchyard:data:Backups").name == "backups"


def test_copies_add_a_vault_a_key_a_lock_and_an_alarm() -> None:
    here, both = backups().count(), backups(copies=True).count()
    assert {
        type_: both[type_] - here.get(type_, 0) for type_ in both if both[type_] != here.get(type_, 0)
    } == {
        PROVIDER: 1,
        KEY: 1,
        ALIAS: 1,
        VAULT: 1,
        LOCK: 1,
        ALARM: 1,
    }, "plans, role and notifications are the first region's"


def test_the_vault_is_encrypted_with_a_key_of_its_own_and_keeps_what_it_holds() -> None:
    deployment = backups()
    assert deployment.one(VAULT).inputs == {
        "kmsKeyArn": "arn:aws:Key:eu-west-1:123456789012:backups-vault-key",
        "forceDestroy": False,
    }, "Backup.1; a stack that is destroyed by mistake stops at its backups"
    assert deployment.one(KEY).inputs == {
        "description": "recovery points of switchyard-test",
        "deletionWindowInDays": 30,
        "enableKeyRotation": True,
        "policy": key_policy(account_id=ACCOUNT, region=REGION, service_principals=[]),
    }, "jobs use the key by grants of their role"
    assert deployment.one(ALIAS).inputs["name"] == "alias/switchyard-test-backups"


def test_vaults_are_emptied_only_when_that_is_asked_for() -> None:
    vaults = backups(force_destroy=True, copies=True).of(VAULT)
    assert [v.inputs["forceDestroy"] for v in vaults] == [True, True]


def test_the_lock_is_governance_unless_compliance_is_written_down() -> None:
    assert backups().one(LOCK).inputs == {
        "backupVaultName": "backups-vault",
        "minRetentionDays": 7,
        "maxRetentionDays": 365,
    }, "a number of changeable days would make the lock irreversible"


def test_compliance_locks_both_vaults_for_good() -> None:
    locks = backups(compliance_changeable_for_days=14, copies=True).of(LOCK)
    assert [lock.inputs for lock in locks] == [
        {
            "backupVaultName": vault,
            "minRetentionDays": 7,
            "maxRetentionDays": 365,
            "changeableForDays": 14,
        }
        for vault in ("backups-copy-vault", "backups-vault")
    ], "a copy that can be deleted is no copy"


def test_each_tier_has_its_plan() -> None:
    assert {r.name: r.inputs for r in backups().of(PLAN)} == {
        "backups-gold": {"rules": [GOLD_RULE]},
        "backups-archive": {"rules": [ARCHIVE_RULE]},
    }


def test_each_recovery_point_is_copied_and_kept_as_long_there() -> None:
    assert {r.name: r.inputs for r in backups(copies=True).of(PLAN)} == {
        "backups-gold": {
            "rules": [
                GOLD_RULE
                | {"copyActions": [{"destinationVaultArn": COPY_VAULT_ARN, "lifecycle": {"deleteAfter": 35}}]}
            ]
        },
        "backups-archive": {
            "rules": [
                ARCHIVE_RULE
                | {
                    "copyActions": [
                        {
                            "destinationVaultArn": COPY_VAULT_ARN,
                            "lifecycle": {"deleteAfter": 365, "coldStorageAfter": 30},
                        }
                    ]
                }
            ]
        },
    }


def test_a_tier_selects_what_carries_its_tag_and_nothing_else() -> None:
    assert {r.name: r.inputs for r in backups().of(SELECTION)} == {
        f"backups-{tier}": {
            "planId": f"backups-{tier}-id",
            "iamRoleArn": ROLE_ARN,
            "selectionTags": [{"type": "STRINGEQUALS", "key": "backup-tier", "value": tier}],
        }
        for tier in ("gold", "archive")
    }


def test_no_job_starts_before_its_role_may_work() -> None:
    selections = backups().of(SELECTION)
    assert len(selections) == 2
    for selection in selections:
        assert {"backups-backup", "backups-restore"} <= set(selection.dependencies)


def test_the_role_backs_up_and_restores_by_the_two_policies_of_aws() -> None:
    deployment = backups()
    assert deployment.one(ROLE).inputs == {
        "path": "/switchyard/test/",
        "permissionsBoundary": "arn:boundary",
        "description": "runs backup, copy and restore jobs",
        "assumeRolePolicy": backup_trust_policy(ACCOUNT),
    }
    assert [r.inputs for r in deployment.of(ATTACHMENT)] == [
        {
            "role": "backups-role",
            "policyArn": f"arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyFor{what}",
        }
        for what in ("Backup", "Restores")
    ]


def test_only_aws_backup_assumes_the_role_and_only_for_this_account() -> None:
    assert json.loads(backup_trust_policy(ACCOUNT)) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "backup.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {"StringEquals": {"aws:SourceAccount": "123456789012"}},
            }
        ],
    }


def test_the_second_region_is_reached_by_its_provider_alone() -> None:
    deployment = backups(copies=True)
    there = {
        (r.type, r.name) for r in deployment.resources if "::second::" in r.provider and r.type != PROVIDER
    }
    assert there == {
        (VAULT, "backups-copy-vault"),
        (LOCK, "backups-copy-vault-lock"),
        (KEY, "backups-copy-vault-key"),
        (ALIAS, "backups-copy-vault-key-alias"),
    }, "a part in the wrong region would leave the copy without a key or a lock"


def test_the_copy_has_its_own_key_and_lock() -> None:
    deployment = backups(copies=True)
    assert deployment.one(VAULT, "backups-copy-vault").inputs == {
        "kmsKeyArn": "arn:aws:Key:eu-west-1:123456789012:backups-copy-vault-key",
        "forceDestroy": False,
    }, "a key works in its own region only"
    assert deployment.one(LOCK, "backups-copy-vault-lock").inputs == {
        "backupVaultName": "backups-copy-vault",
        "minRetentionDays": 7,
        "maxRetentionDays": 365,
    }


def test_the_vault_tells_of_failures_that_aws_still_sends() -> None:
    assert backups(copies=True).one(NOTIFICATIONS).inputs == {
        "backupVaultName": "backups-vault",
        "snsTopicArn": TOPIC_ARN,
        "backupVaultEvents": ["COPY_JOB_FAILED", "S3_BACKUP_OBJECT_FAILED", "S3_RESTORE_OBJECT_FAILED"],
    }, "BACKUP_JOB_FAILED is deprecated: a list with it looks right and stays silent"


def failure_alarm(label: str, metric: str, description: str) -> dict[str, Any]:
    return {
        "name": f"switchyard-test-backup-{label}",
        "alarmDescription": description,
        "namespace": "AWS/Backup",
        "metricName": metric,
        "dimensions": {"BackupVaultName": "backups-vault"},
        "statistic": "Sum",
        "period": 300,
        "evaluationPeriods": 1,
        "comparisonOperator": "GreaterThanThreshold",
        "threshold": 0,
        "treatMissingData": "notBreaching",
        "alarmActions": [TOPIC_ARN],
    }


def test_one_job_that_failed_or_never_started_is_an_alarm() -> None:
    assert {r.name: r.inputs for r in backups().of(ALARM)} == {
        "backups-jobs-failed": failure_alarm(
            "jobs-failed", "NumberOfBackupJobsFailed", "a backup job failed"
        ),
        "backups-jobs-expired": failure_alarm(
            "jobs-expired", "NumberOfBackupJobsExpired", "a backup job did not start in its start window"
        ),
    }, "without jobs there are no metrics: that alone is no failure"


def test_a_failed_copy_is_an_alarm_where_there_are_copies() -> None:
    assert backups(copies=True).one(ALARM, "backups-copies-failed").inputs == failure_alarm(
        "copies-failed", "NumberOfCopyJobsFailed", "a copy to the second region failed"
    )


def test_silence_is_an_alarm_where_a_backup_is_expected_every_day() -> None:
    deployment = backups(expect_daily=True)
    assert deployment.count()[ALARM] == 3
    assert deployment.one(ALARM, "backups-missing").inputs == {
        "name": "switchyard-test-backup-missing",
        "alarmDescription": "no backup job was completed for 30 hours",
        "namespace": "AWS/Backup",
        "metricName": "NumberOfBackupJobsCompleted",
        "dimensions": {"BackupVaultName": "backups-vault"},
        "statistic": "Sum",
        "period": 3600,
        "evaluationPeriods": 30,
        "comparisonOperator": "LessThanThreshold",
        "threshold": 1,
        "treatMissingData": "breaching",
        "alarmActions": [TOPIC_ARN],
    }, "a plan that selects nothing fails nothing"


def test_all_parts_belong_to_the_backups() -> None:
    deployment = backups(copies=True, expect_daily=True)
    children = [r for r in deployment.resources if r.type != PROVIDER and r.name != "backups"]
    inside_a_key = {r.name: r.parent for r in children if r.type in {KEY, ALIAS}}
    assert inside_a_key == {
        "backups-vault-key": "backups-vault-key",
        "backups-vault-key-alias": "backups-vault-key",
        "backups-copy-vault-key": "backups-copy-vault-key",
        "backups-copy-vault-key-alias": "backups-copy-vault-key",
    }
    assert {r.parent for r in children if r.type not in {KEY, ALIAS}} == {"backups"}


def test_backups_tell_where_they_are() -> None:
    result = backups().result
    assert {
        "vault_name": value_of(result.vault_name),
        "vault_arn": value_of(result.vault_arn),
        "copy_vault_arn": result.copy_vault_arn,
        "plan_ids": {tier: value_of(plan_id) for tier, plan_id in result.plan_ids.items()},
        "role_arn": value_of(result.role_arn),
    } == {
        "vault_name": "backups-vault",
        "vault_arn": "arn:aws:Vault:eu-west-1:123456789012:backups-vault",
        "copy_vault_arn": None,
        "plan_ids": {"gold": "backups-gold-id", "archive": "backups-archive-id"},
        "role_arn": ROLE_ARN,
    }
    assert value_of(backups(copies=True).result.copy_vault_arn) == COPY_VAULT_ARN


@pytest.mark.parametrize(("minimum", "maximum"), [(36, 365), (7, 364)])
def test_a_tier_that_the_lock_would_refuse_every_night_is_refused_at_once(minimum: int, maximum: int) -> None:
    with pytest.raises(
        ValueError, match=r"backup tier '\w+' keeps recovery points for \d+ days, but the"
    ) as error:
        backups(min_retention_days=minimum, max_retention_days=maximum)
    assert f"{minimum} to {maximum} days" in str(error.value), "the message says what is allowed"


def test_a_tier_may_last_exactly_as_long_as_the_lock_allows() -> None:
    assert backups(min_retention_days=35, max_retention_days=365).count()[PLAN] == 2


@pytest.mark.parametrize(
    ("copies", "region", "message"),
    [
        (False, "eu-central-1", "copy_provider is missing but copy_region is 'eu-central-1'"),
        (True, None, "copy_provider is given but copy_region is None"),
    ],
)
def test_half_a_second_region_is_refused(copies: bool, region: str | None, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        backups(copies=copies, copy_region=region)
