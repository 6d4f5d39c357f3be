"""Backups by AWS Backup.

Creates: a locked vault with its own KMS key, one plan per tier that selects resources by the tag
`backup-tier`, a role for the jobs, notifications and alarms; on request a second locked vault with its own
key in another region, and a copy of every recovery point in it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import backup, cloudwatch, iam

from components.encryption import EncryptionKey, EncryptionKeyArgs

_POLICIES = {
    "backup": "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForBackup",
    "restore": "arn:aws:iam::aws:policy/service-role/AWSBackupServiceRolePolicyForRestores",
}

# BACKUP_JOB_FAILED and BACKUP_JOB_EXPIRED are deprecated and never sent; BACKUP_JOB_COMPLETED, which took
# their place, is sent for every good job too. So alarms tell of failed and expired backups.
_EVENTS = ["COPY_JOB_FAILED", "S3_BACKUP_OBJECT_FAILED", "S3_RESTORE_OBJECT_FAILED"]

# A day, and six hours in which a nightly job may start late or take longer than the night before.
_MISSING_AFTER_HOURS = 30


@dataclass(frozen=True, kw_only=True)
class BackupTier:
    """How often the resources tagged `backup-tier=<name>` are backed up, and for how long.

    name: value of the tag; letters, digits, `-` and `_`.
    schedule_cron: when jobs start, UTC, such as `cron(0 3 * * ? *)`.
    retention_days: days that a recovery point is kept; 35 at most for a continuous tier.
    cold_storage_after_days: days until it moves to cold storage, at least 90 before its end. None: never.
        Types without cold storage, RDS among them, ignore it.
    start_window_minutes: a job that could not start after this long has expired; 60 at least.
    completion_window_minutes: a job that is not done after this long is cancelled.
    continuous: point-in-time recovery, where the resource type has it (RDS, S3).
    """

    name: str
    schedule_cron: str
    retention_days: int
    cold_storage_after_days: int | None
    start_window_minutes: int
    completion_window_minutes: int
    continuous: bool


@dataclass(frozen=True, kw_only=True)
class BackupsArgs:
    """What backups are made from.

    account_id: account of the stack.
    region: region of the stack.
    name_prefix: first part of the alarms' and the key aliases' names, such as `switchyard-prod`.
    tiers: a plan each.
    min_retention_days: the lock refuses recovery points that would be kept for less.
    max_retention_days: the lock refuses recovery points that would be kept for more.
    compliance_changeable_for_days: None, the default, is governance: who has the permission can take the
        lock off. A number, 3 or more, is compliance and IRREVERSIBLE: after that many days nobody, neither
        the root user nor AWS, can change the lock or delete a recovery point early, and the stack can't be
        destroyed before the last one has expired.
    copy_provider: provider of the second region. None: no copies.
    copy_region: that region's name; given if and only if `copy_provider` is.
    topic_arn: topic in the stack's region that notifications and alarms go to. Its policy has to let
        `backup.amazonaws.com` and `cloudwatch.amazonaws.com` publish.
    expect_daily: alarm if no backup was completed for 30 hours. A new stack is in alarm until its first one.
    force_destroy: delete the vaults with all that they hold. False stops the deletion of the stack there.
    key_deletion_window_days: days between the deletion and the loss of a key, 7 to 30.
    role_path: IAM path of the jobs' role, such as `/switchyard/prod/`.
    permissions_boundary_arn: policy that the jobs' role can never go beyond; `None` for none.
    """

    account_id: str
    region: str
    name_prefix: str
    tiers: Sequence[BackupTier]
    min_retention_days: int
    max_retention_days: int
    compliance_changeable_for_days: int | None = None
    copy_provider: pulumi.ProviderResource | None
    copy_region: str | None
    topic_arn: pulumi.Input[str]
    expect_daily: bool
    force_destroy: bool
    key_deletion_window_days: int
    role_path: str
    permissions_boundary_arn: str | None


def backup_trust_policy(account_id: str) -> str:
    """Who may assume the jobs' role: AWS Backup, for this account."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "backup.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {"StringEquals": {"aws:SourceAccount": account_id}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)


def _check(args: BackupsArgs) -> None:
    """Refuses what AWS would accept at the deployment and fail on at night."""
    for tier in args.tiers:
        if not args.min_retention_days <= tier.retention_days <= args.max_retention_days:
            raise ValueError(
                f"backup tier {tier.name!r} keeps recovery points for {tier.retention_days} days, but the "
                f"vault's lock allows {args.min_retention_days} to {args.max_retention_days} days and would "
                "fail every job: change the tier's retention_days or the lock's limits"
            )
    if (args.copy_provider is None) != (args.copy_region is None):
        raise ValueError(
            f"copy_provider is {'missing' if args.copy_provider is None else 'given'} but copy_region is "
            f"{args.copy_region!r}: give both for copies in a second region, or neither"
        )


def _lifecycle(tier: BackupTier) -> backup.PlanRuleLifecycleArgsDict:
    lifecycle: backup.PlanRuleLifecycleArgsDict = {"delete_after": tier.retention_days}
    if tier.cold_storage_after_days is not None:
        lifecycle["cold_storage_after"] = tier.cold_storage_after_days
    return lifecycle


class Backups(pulumi.ComponentResource):
    """Encrypted (Backup.1), locked backups of all that carries a tier's tag.

    The role backs up and restores what AWS's two service policies cover. S3 needs two more policies.
    """

    vault_name: pulumi.Output[str]
    vault_arn: pulumi.Output[str]
    copy_vault_arn: pulumi.Output[str] | None
    plan_ids: dict[str, pulumi.Output[str]]
    role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: BackupsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:data:Backups", name, None, opts)
        _check(args)
        self._child = pulumi.ResourceOptions(parent=self)
        vault = self._vault(f"{name}-vault", args, args.region, self._child)
        self.vault_name = vault.name
        self.vault_arn = vault.arn
        self.copy_vault_arn = None
        if args.copy_provider is not None and args.copy_region is not None:
            there = pulumi.ResourceOptions(parent=self, provider=args.copy_provider)
            self.copy_vault_arn = self._vault(f"{name}-copy-vault", args, args.copy_region, there).arn
        role = iam.Role(
            f"{name}-role",
            path=args.role_path,
            permissions_boundary=args.permissions_boundary_arn,
            description="runs backup, copy and restore jobs",
            assume_role_policy=backup_trust_policy(args.account_id),
            opts=self._child,
        )
        attachments = [
            iam.RolePolicyAttachment(f"{name}-{label}", role=role.name, policy_arn=policy, opts=self._child)
            for label, policy in _POLICIES.items()
        ]
        self.role_arn = role.arn
        self.plan_ids = {
            tier.name: self._plan(f"{name}-{tier.name}", tier, attachments) for tier in args.tiers
        }
        self._notifications(name, args)
        self._alarms(name, args)
        self.register_outputs(
            {
                "vault_name": self.vault_name,
                "vault_arn": self.vault_arn,
                "copy_vault_arn": self.copy_vault_arn,
                "plan_ids": self.plan_ids,
                "role_arn": self.role_arn,
            }
        )

    def _vault(self, name: str, args: BackupsArgs, region: str, opts: pulumi.ResourceOptions) -> backup.Vault:
        key = EncryptionKey(
            f"{name}-key",
            EncryptionKeyArgs(
                account_id=args.account_id,
                region=region,
                alias_name=f"{args.name_prefix}-backups",
                description=f"recovery points of {args.name_prefix}",
                # Jobs use the key by grants of their role.
                service_principals=[],
                deletion_window_days=args.key_deletion_window_days,
            ),
            opts=opts,
        )
        vault = backup.Vault(name, kms_key_arn=key.key_arn, force_destroy=args.force_destroy, opts=opts)
        backup.VaultLockConfiguration(
            f"{name}-lock",
            backup_vault_name=vault.name,
            min_retention_days=args.min_retention_days,
            max_retention_days=args.max_retention_days,
            changeable_for_days=args.compliance_changeable_for_days,
            opts=opts,
        )
        return vault

    def _plan(
        self, name: str, tier: BackupTier, attachments: Sequence[pulumi.Resource]
    ) -> pulumi.Output[str]:
        rule: backup.PlanRuleArgsDict = {
            "rule_name": tier.name,
            "target_vault_name": self.vault_name,
            "schedule": tier.schedule_cron,
            "start_window": tier.start_window_minutes,
            "completion_window": tier.completion_window_minutes,
            "enable_continuous_backup": tier.continuous,
            "lifecycle": _lifecycle(tier),
        }
        if self.copy_vault_arn is not None:
            rule["copy_actions"] = [
                {"destination_vault_arn": self.copy_vault_arn, "lifecycle": _lifecycle(tier)}
            ]
        plan = backup.Plan(name, rules=[rule], opts=self._child)
        backup.Selection(
            name,
            plan_id=plan.id,
            iam_role_arn=self.role_arn,
            selection_tags=[{"type": "STRINGEQUALS", "key": "backup-tier", "value": tier.name}],
            # A job that starts before the role may work fails, and the next try is a day later.
            opts=pulumi.ResourceOptions(parent=self, depends_on=attachments),
        )
        return plan.id

    def _notifications(self, name: str, args: BackupsArgs) -> None:
        backup.VaultNotifications(
            f"{name}-notifications",
            backup_vault_name=self.vault_name,
            sns_topic_arn=args.topic_arn,
            backup_vault_events=_EVENTS,
            opts=self._child,
        )

    def _alarms(self, name: str, args: BackupsArgs) -> None:
        failures = [
            ("jobs-failed", "NumberOfBackupJobsFailed", "a backup job failed"),
            ("jobs-expired", "NumberOfBackupJobsExpired", "a backup job did not start in its start window"),
        ]
        if self.copy_vault_arn is not None:
            failures.append(("copies-failed", "NumberOfCopyJobsFailed", "a copy to the second region failed"))
        for label, metric, description in failures:
            cloudwatch.MetricAlarm(
                f"{name}-{label}",
                name=f"{args.name_prefix}-backup-{label}",
                alarm_description=description,
                namespace="AWS/Backup",
                metric_name=metric,
                dimensions={"BackupVaultName": self.vault_name},
                statistic="Sum",
                # AWS Backup publishes every five minutes.
                period=300,
                evaluation_periods=1,
                comparison_operator="GreaterThanThreshold",
                threshold=0,
                treat_missing_data="notBreaching",
                alarm_actions=[args.topic_arn],
                opts=self._child,
            )
        if args.expect_daily:
            cloudwatch.MetricAlarm(
                f"{name}-missing",
                name=f"{args.name_prefix}-backup-missing",
                alarm_description=f"no backup job was completed for {_MISSING_AFTER_HOURS} hours",
                namespace="AWS/Backup",
                metric_name="NumberOfBackupJobsCompleted",
                dimensions={"BackupVaultName": self.vault_name},
                statistic="Sum",
                # CloudWatch looks back seven days by periods of an hour, one day by shorter ones.
                period=3600,
                evaluation_periods=_MISSING_AFTER_HOURS,
                comparison_operator="LessThanThreshold",
                threshold=1,
                treat_missing_data="breaching",
                alarm_actions=[args.topic_arn],
                opts=self._child,
            )
