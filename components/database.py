"""A PostgreSQL database on RDS.

Creates: a KMS key, a subnet group, a parameter group that demands TLS, the log groups that RDS writes to,
a role for enhanced monitoring, one instance whose password RDS makes and rotates, its read replicas, and
event subscriptions to a topic.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch, iam, rds
from pulumi_aws.rds.outputs import InstanceMasterUserSecret

from components.encryption import EncryptionKey, EncryptionKeyArgs

_LOGS = ["postgresql", "upgrade"]  # RDS.9, RDS.36

# Name, source type and event categories. RDS.20, RDS.21 and RDS.22 name exactly these; RDS.19 is about
# clusters and there is none.
_EVENTS = (
    ("instances", "db-instance", ["configuration change", "failure", "maintenance"]),
    ("parameters", "db-parameter-group", ["configuration change"]),
    ("security-groups", "db-security-group", ["configuration change", "failure"]),
)


@dataclass(frozen=True, kw_only=True)
class DatabaseArgs:
    """What a database is made from.

    account_id: account of the stack.
    region: region of the stack.
    identifier: name of the instance; replicas are `<identifier>-replica-<n>`. Also part of log group names.
    engine_version: PostgreSQL version. RDS upgrades minor versions by itself: `16` leaves them to it, while
        after such an upgrade `16.4` asks for a downgrade, which RDS refuses.
    parameter_group_family: family of that version, such as `postgres16`.
    instance_class: class of the instance and its replicas, such as `db.t4g.medium`.
    allocated_storage_gib: storage at the start, in GiB; at least 20 for gp3.
    max_allocated_storage_gib: what storage may grow to by itself, in GiB; more than at the start.
    multi_az: standby in a second zone (RDS.5), for replicas too.
    subnet_ids: private subnets (RDS.46) in two zones or more.
    security_group_id: security group that says who may connect.
    port: port to listen on; RDS.23 asks for another one than 5432.
    database_name: database to create at the start.
    master_username: owner of the database; not `postgres` or `admin` (RDS.25).
    backup_retention_days: days that automated backups are kept; 7 or more (RDS.11), 1 or more for replicas.
    backup_window: daily time of the automated backup, UTC, such as `02:00-02:30`.
    maintenance_window: weekly time of maintenance, UTC, such as `sun:03:00-sun:04:00`; not in the former.
    backup_tier: value of the tag `backup-tier`, which backup plans select by. None: no tag, no plan.
    deletion_protection: refuse deletion, in RDS (RDS.8) and in Pulumi.
    final_snapshot_identifier: name of the snapshot taken at deletion. Snapshots outlive stacks: a name that
        is taken makes the deletion fail.
    skip_final_snapshot: delete without that snapshot, together with the automated backups and the key.
        Default: the snapshot is taken, and all three are kept.
    read_replicas: how many replicas, 0 for none. AWS says that it creates no replica of a PostgreSQL
        instance whose password RDS manages, as here (RDS User Guide, "Limitations for Secrets Manager
        integration"): expect more than 0 to be refused there until that limit is lifted.
    performance_insights_retention_days: 7, a multiple of 31, or 731.
    monitoring_interval_seconds: between two samples of the operating system: 1, 5, 10, 15, 30 or 60 (RDS.6).
    slow_query_milliseconds: statements that take at least this long are logged.
    log_retention_days: days that logs are kept in CloudWatch.
    log_kms_key_arn: key that encrypts those logs.
    topic_arn: topic that is told of critical events. Its policy has to let `events.rds.amazonaws.com`
        publish before this component starts.
    key_deletion_window_days: days between the deletion and the loss of the key, 7 to 30.
    role_path: IAM path of the monitoring role, such as `/switchyard/prod/`.
    permissions_boundary_arn: policy that the monitoring role can never go beyond; `None` for none.
    """

    account_id: str
    region: str
    identifier: str
    engine_version: pulumi.Input[str]
    parameter_group_family: pulumi.Input[str]
    instance_class: pulumi.Input[str]
    allocated_storage_gib: pulumi.Input[int]
    max_allocated_storage_gib: pulumi.Input[int]
    multi_az: pulumi.Input[bool]
    subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    security_group_id: pulumi.Input[str]
    port: pulumi.Input[int]
    database_name: pulumi.Input[str]
    master_username: pulumi.Input[str]
    backup_retention_days: pulumi.Input[int]
    backup_window: pulumi.Input[str]
    maintenance_window: pulumi.Input[str]
    backup_tier: str | None
    deletion_protection: bool
    final_snapshot_identifier: pulumi.Input[str]
    skip_final_snapshot: bool = False
    read_replicas: int
    performance_insights_retention_days: pulumi.Input[int]
    monitoring_interval_seconds: pulumi.Input[int]
    slow_query_milliseconds: pulumi.Input[int]
    log_retention_days: pulumi.Input[int]
    log_kms_key_arn: pulumi.Input[str]
    topic_arn: pulumi.Input[str]
    key_deletion_window_days: int
    role_path: str
    permissions_boundary_arn: str | None


def monitoring_trust_policy(*, account_id: str, region: str, identifiers: Sequence[str]) -> str:
    """Who may assume the monitoring role: RDS, for these instances of this account."""
    statement = {
        "Effect": "Allow",
        "Principal": {"Service": "monitoring.rds.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": {
            "StringEquals": {"aws:SourceAccount": account_id},
            "ArnLike": {"aws:SourceArn": [f"arn:aws:rds:{region}:{account_id}:db:{i}" for i in identifiers]},
        },
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)


def _secret_arn(secrets: Sequence[InstanceMasterUserSecret]) -> str:
    arn = secrets[0].secret_arn if secrets else None
    if arn is None:
        raise ValueError("RDS reports no secret for the master user: is its password still managed by RDS?")
    return arn


class Database(pulumi.ComponentResource):
    """An encrypted, private PostgreSQL instance whose password is in no program, state or log."""

    identifier: pulumi.Output[str]
    arn: pulumi.Output[str]
    address: pulumi.Output[str]
    port: pulumi.Output[int]
    database_name: pulumi.Output[str]
    secret_arn: pulumi.Output[str]
    kms_key_arn: pulumi.Output[str]
    replica_identifiers: list[pulumi.Output[str]]

    def __init__(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:data:Database", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        # Logical name to identifier.
        replicas = {
            f"{name}-replica-{n}": f"{args.identifier}-replica-{n}" for n in range(1, args.read_replicas + 1)
        }
        identifiers = {name: args.identifier, **replicas}
        self._key = self._encryption_key(name, args)
        self._parameters = self._parameter_group(name, args)
        self._role = self._monitoring_role(name, args, list(identifiers.values()))
        may_monitor = iam.RolePolicyAttachment(
            f"{name}-monitoring",
            role=self._role.name,
            policy_arn="arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole",
            opts=self._child,
        )
        guarded = pulumi.ResourceOptions(
            parent=self,
            protect=args.deletion_protection,
            # RDS makes a log group that is missing: unencrypted, and kept for ever.
            depends_on=[*self._log_groups(identifiers, args), may_monitor],
        )
        primary = self._primary(name, args, guarded)
        self.identifier = primary.identifier
        self.replica_identifiers = [
            self._replica(logical_name, identifier, args, guarded).identifier
            for logical_name, identifier in replicas.items()
        ]
        self._events(name, args)

        self.arn = primary.arn
        self.address = primary.address
        self.port = primary.port
        self.database_name = primary.db_name
        self.secret_arn = primary.master_user_secrets.apply(_secret_arn)
        self.kms_key_arn = self._key.key_arn
        self.register_outputs(
            {
                "identifier": self.identifier,
                "arn": self.arn,
                "address": self.address,
                "port": self.port,
                "database_name": self.database_name,
                "secret_arn": self.secret_arn,
                "kms_key_arn": self.kms_key_arn,
                "replica_identifiers": self.replica_identifiers,
            }
        )

    def _encryption_key(self, name: str, args: DatabaseArgs) -> EncryptionKey:
        return EncryptionKey(
            f"{name}-key",
            EncryptionKeyArgs(
                account_id=args.account_id,
                region=args.region,
                alias_name=f"rds/{args.identifier}",
                description=f"storage, snapshots, insights and master password of database {args.identifier}",
                # RDS and Secrets Manager use the key by grants and for their callers.
                service_principals=[],
                deletion_window_days=args.key_deletion_window_days,
                # Snapshots, and recovery points of AWS Backup, are readable only while this key lives.
                retain_on_delete=not args.skip_final_snapshot,
            ),
            opts=self._child,
        )

    def _parameter_group(self, name: str, args: DatabaseArgs) -> rds.ParameterGroup:
        slow_query = pulumi.Output.from_input(args.slow_query_milliseconds).apply(str)
        return rds.ParameterGroup(
            f"{name}-parameters",
            description=f"parameters of database {args.identifier}",
            family=args.parameter_group_family,
            parameters=[
                {"name": "log_connections", "value": "1"},
                {"name": "log_disconnections", "value": "1"},
                {"name": "log_min_duration_statement", "value": slow_query},
                {"name": "rds.force_ssl", "value": "1"},  # RDS.38
            ],
            opts=self._child,
        )

    def _monitoring_role(self, name: str, args: DatabaseArgs, identifiers: Sequence[str]) -> iam.Role:
        return iam.Role(
            f"{name}-monitoring-role",
            path=args.role_path,
            permissions_boundary=args.permissions_boundary_arn,
            description=f"enhanced monitoring of database {args.identifier}",
            assume_role_policy=monitoring_trust_policy(
                account_id=args.account_id, region=args.region, identifiers=identifiers
            ),
            opts=self._child,
        )

    def _log_groups(self, identifiers: Mapping[str, str], args: DatabaseArgs) -> list[cloudwatch.LogGroup]:
        return [
            cloudwatch.LogGroup(
                f"{logical_name}-{log}-log",
                name=f"/aws/rds/instance/{identifier}/{log}",
                retention_in_days=args.log_retention_days,
                kms_key_id=args.log_kms_key_arn,
                opts=self._child,
            )
            for logical_name, identifier in identifiers.items()
            for log in _LOGS
        ]

    def _every_instance(self, args: DatabaseArgs) -> rds.InstanceArgs:
        return rds.InstanceArgs(
            instance_class=args.instance_class,
            multi_az=args.multi_az,
            port=args.port,
            publicly_accessible=False,  # RDS.2
            vpc_security_group_ids=[args.security_group_id],
            parameter_group_name=self._parameters.name,
            ca_cert_identifier="rds-ca-rsa2048-g1",
            iam_database_authentication_enabled=True,  # RDS.10
            storage_type="gp3",
            storage_encrypted=True,  # RDS.3
            max_allocated_storage=args.max_allocated_storage_gib,
            copy_tags_to_snapshot=True,  # RDS.17
            deletion_protection=args.deletion_protection,
            auto_minor_version_upgrade=True,  # RDS.13
            maintenance_window=args.maintenance_window,
            apply_immediately=False,
            enabled_cloudwatch_logs_exports=_LOGS,
            monitoring_interval=args.monitoring_interval_seconds,
            monitoring_role_arn=self._role.arn,
            performance_insights_enabled=True,
            performance_insights_kms_key_id=self._key.key_arn,
            performance_insights_retention_period=args.performance_insights_retention_days,
        )

    def _primary(self, name: str, args: DatabaseArgs, opts: pulumi.ResourceOptions) -> rds.Instance:
        subnets = rds.SubnetGroup(
            f"{name}-subnets",
            description=f"private subnets of database {args.identifier}",
            subnet_ids=args.subnet_ids,
            opts=self._child,
        )
        primary = self._every_instance(args)
        primary.identifier = args.identifier
        primary.engine = "postgres"
        primary.engine_version = args.engine_version
        primary.db_name = args.database_name
        primary.db_subnet_group_name = subnets.name
        primary.username = args.master_username
        primary.manage_master_user_password = True
        primary.master_user_secret_kms_key_id = self._key.key_arn
        primary.kms_key_id = self._key.key_arn
        primary.allocated_storage = args.allocated_storage_gib
        primary.backup_retention_period = args.backup_retention_days
        primary.backup_window = args.backup_window
        primary.delete_automated_backups = args.skip_final_snapshot
        primary.skip_final_snapshot = args.skip_final_snapshot
        primary.final_snapshot_identifier = args.final_snapshot_identifier
        if args.backup_tier is not None:
            primary.tags = {"backup-tier": args.backup_tier}
        return rds.Instance(name, primary, opts=opts)

    def _replica(
        self, name: str, identifier: str, args: DatabaseArgs, opts: pulumi.ResourceOptions
    ) -> rds.Instance:
        # A replica in the same region takes its key, subnets, version and users from the primary. It holds
        # no data of its own: RDS takes no final snapshot of it, and no backup plan selects it.
        replica = self._every_instance(args)
        replica.identifier = identifier
        replica.replicate_source_db = self.identifier
        replica.skip_final_snapshot = True
        return rds.Instance(name, replica, opts=opts)

    def _events(self, name: str, args: DatabaseArgs) -> None:
        # The source ids keep other databases of the account out of this topic. DB security groups have
        # none to give.
        sources: dict[str, list[pulumi.Output[str]]] = {
            "db-instance": [self.identifier, *self.replica_identifiers],
            "db-parameter-group": [self._parameters.name],
        }
        for label, source_type, categories in _EVENTS:
            rds.EventSubscription(
                f"{name}-{label}",
                sns_topic=args.topic_arn,
                source_type=source_type,
                source_ids=sources.get(source_type),
                event_categories=categories,
                opts=self._child,
            )
