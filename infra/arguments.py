"""What each component gets, out of a stack's settings: the one place where the two meet."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import pulumi

from components.alarms import DatabaseAlarmsArgs, ServiceAlarmsArgs
from components.backups import BackupsArgs, BackupTier
from components.blue_green import BlueGreen, BlueGreenArgs, HealthCheck
from components.cluster import Cluster, ClusterArgs
from components.colours import COLOURS
from components.container_service import ContainerService, ContainerServiceArgs
from components.dashboard import DashboardArgs, DashboardService
from components.database import Database, DatabaseArgs
from components.encryption import EncryptionKey, EncryptionKeyArgs
from components.load_balancer import LoadBalancer, LoadBalancerArgs
from components.monitoring import Monitoring, MonitoringArgs
from components.network import Network, NetworkArgs
from components.registry import Registry, RegistryArgs
from components.release_store import ReleaseStoreArgs
from components.secrets import Secrets, SecretsArgs
from infra.settings import DatabaseSettings, ServiceSettings, Settings

# RDS.23 asks for another port than PostgreSQL's well-known one.
DATABASE_PORT = 5433
# RDS.25: neither postgres nor admin.
DATABASE_OWNER = "owner"
SLOW_QUERY_MILLISECONDS = 500
BACKUP_START_WINDOW_MINUTES = 60
BACKUP_COMPLETION_WINDOW_MINUTES = 360
# How long a deleted key or secret can be had back; the least that AWS offers where nothing is kept.
RECOVERY_DAYS = 30
DISPOSABLE_KEY_DAYS = 7


@dataclass(frozen=True, kw_only=True)
class Stack:
    """One stack of the program.

    project, name: Pulumi's names of both.
    account_id: the account that the credentials belong to, one of the allowed ones.
    """

    project: str
    name: str
    account_id: str
    settings: Settings

    @property
    def prefix(self) -> str:
        """First part of every physical name that has to be known elsewhere."""
        return f"{self.project}-{self.name}"

    @property
    def release_table(self) -> str:
        """Name of the DynamoDB table with the stack's releases and updates."""
        return f"{self.prefix}-releases"

    @property
    def images_path(self) -> str:
        """SSM path below which the release engine keeps the digest of each colour."""
        return f"/{self.project}/{self.name}/images"

    @property
    def role_path(self) -> str:
        """IAM path of every role of the stack; bootstrap's writers may make roles below it alone."""
        return f"/{self.project}/{self.name}/"

    @property
    def permissions_boundary_arn(self) -> str | None:
        """The policy that no role of the stack can go beyond, None for none."""
        policy = self.settings.permissions_boundary
        return f"arn:aws:iam::{self.account_id}:policy/{policy}" if policy else None

    @property
    def disposable(self) -> bool:
        """Whether destroying the stack may take its data along."""
        return self.settings.environment in ("local", "dev")

    @property
    def key_deletion_window_days(self) -> int:
        """Days in which a deleted key can be had back."""
        return DISPOSABLE_KEY_DAYS if self.disposable else RECOVERY_DAYS

    @cached_property
    def tags(self) -> dict[str, str]:
        """Tags of every resource."""
        return {**self.settings.tags, "project": self.project, "stack": self.name, "managed-by": "switchyard"}


class ServiceParts(NamedTuple):
    """What every service shares."""

    network: Network
    edge: LoadBalancer
    cluster: Cluster
    registry: Registry
    secrets: Secrets
    databases: Mapping[str, Database]
    monitoring: Monitoring
    key: EncryptionKey


def encryption_key(stack: Stack) -> EncryptionKeyArgs:
    region = stack.settings.region
    publishers = ("sns", "cloudwatch", "backup", "events.rds")
    return EncryptionKeyArgs(
        account_id=stack.account_id,
        region=region,
        alias_name=stack.prefix,
        description=f"Logs, alerts, secrets, images and release records of {stack.prefix}",
        service_principals=[
            f"logs.{region}.amazonaws.com",
            *(f"{name}.amazonaws.com" for name in publishers),
        ],
        deletion_window_days=stack.key_deletion_window_days,
    )


def monitoring(stack: Stack, key: EncryptionKey) -> MonitoringArgs:
    settings = stack.settings.monitoring
    return MonitoringArgs(
        name_prefix=stack.prefix,
        log_groups=list(stack.settings.services),
        log_retention_days=settings.log_retention_days,
        kms_key_arn=key.key_arn,
        emails=settings.emails,
        account_id=stack.account_id,
    )


def network(stack: Stack, key: EncryptionKey) -> NetworkArgs:
    settings, edge = stack.settings.network, stack.settings.edge
    return NetworkArgs(
        cidr=settings.cidr,
        zones=settings.zones,
        region=stack.settings.region,
        nat=settings.nat,
        interface_endpoints=settings.interface_endpoints,
        flow_log_retention_days=settings.flow_log_retention_days,
        kms_key_arn=key.key_arn,
        service_ports=sorted({service.port for service in stack.settings.services.values()}),
        database_port=DATABASE_PORT,
        edge_ingress_cidrs=[str(cidr) for cidr in edge.ingress_cidrs],
        edge_ports=[80, 443] if edge.protocol == "https" else [80],
        test_port=edge.test_port,
        test_ingress_cidrs=[str(cidr) for cidr in edge.test_ingress_cidrs],
        account_id=stack.account_id,
        name_tag_prefix=stack.prefix,
        role_path=stack.role_path,
        permissions_boundary_arn=stack.permissions_boundary_arn,
    )


def load_balancer(stack: Stack, network: Network) -> LoadBalancerArgs:
    settings = stack.settings.edge
    return LoadBalancerArgs(
        load_balancer_name=stack.prefix,
        subnet_ids=network.public_subnet_ids,
        security_group_id=network.edge_security_group_id,
        protocol=settings.protocol,
        certificate_arn=settings.certificate_arn,
        test_port=settings.test_port,
        deletion_protection=settings.deletion_protection,
        idle_timeout_seconds=settings.idle_timeout_seconds,
        access_log_retention_days=settings.access_log_retention_days,
        log_bucket_force_destroy=stack.disposable,
        account_id=stack.account_id,
    )


def cluster(stack: Stack, key: EncryptionKey) -> ClusterArgs:
    return ClusterArgs(
        cluster_name=stack.prefix,
        kms_key_arn=key.key_arn,
        log_group_name=f"/{stack.prefix}/sessions",
        log_retention_days=stack.settings.monitoring.log_retention_days,
    )


def registry(stack: Stack, key: EncryptionKey) -> RegistryArgs:
    settings = stack.settings.registry
    return RegistryArgs(
        repositories=sorted({s.image_repository for s in stack.settings.services.values() if _is_ours(s)}),
        name_prefix=stack.prefix,
        kms_key_arn=key.key_arn,
        keep_images=settings.keep_images,
        untagged_days=settings.untagged_days,
        force_delete=stack.disposable,
        pull_account_ids=settings.pull_accounts,
    )


def secrets(stack: Stack, key: EncryptionKey) -> SecretsArgs:
    references = {ref for service in stack.settings.services.values() for ref in service.secrets.values()}
    webhook = stack.settings.release.notify.slack_webhook_secret
    references |= {webhook} if webhook else set()
    return SecretsArgs(
        names=sorted(ref for ref in references if not ref.startswith("arn:")),
        name_prefix=stack.prefix,
        kms_key_arn=key.key_arn,
        recovery_window_days=0 if stack.disposable else RECOVERY_DAYS,
    )


def release_store(stack: Stack, key: EncryptionKey) -> ReleaseStoreArgs:
    return ReleaseStoreArgs(
        table_name=stack.release_table,
        images_path=stack.images_path,
        kms_key_arn=key.key_arn,
        deletion_protection=not stack.disposable,
    )


def database(
    stack: Stack, name: str, network: Network, key: EncryptionKey, monitoring: Monitoring
) -> DatabaseArgs:
    settings: DatabaseSettings = stack.settings.databases[name]
    identifier = f"{stack.prefix}-{name}"
    return DatabaseArgs(
        account_id=stack.account_id,
        region=stack.settings.region,
        identifier=identifier,
        engine_version=settings.engine_version,
        parameter_group_family=f"postgres{settings.engine_version.split('.')[0]}",
        instance_class=settings.instance_class,
        allocated_storage_gib=settings.allocated_storage_gib,
        max_allocated_storage_gib=settings.max_allocated_storage_gib,
        multi_az=settings.multi_az,
        subnet_ids=network.data_subnet_ids,
        security_group_id=network.data_security_group_id,
        port=DATABASE_PORT,
        database_name=settings.database_name,
        master_username=DATABASE_OWNER,
        backup_retention_days=settings.backup_retention_days,
        backup_window=settings.backup_window,
        maintenance_window=settings.maintenance_window,
        backup_tier=settings.backup_tier,
        deletion_protection=settings.deletion_protection,
        final_snapshot_identifier=f"{identifier}-final",
        skip_final_snapshot=settings.skip_final_snapshot,
        read_replicas=settings.read_replicas,
        performance_insights_retention_days=settings.performance_insights_retention_days,
        monitoring_interval_seconds=settings.monitoring_interval_seconds,
        slow_query_milliseconds=SLOW_QUERY_MILLISECONDS,
        log_retention_days=stack.settings.monitoring.log_retention_days,
        log_kms_key_arn=key.key_arn,
        topic_arn=monitoring.topic_arn,
        key_deletion_window_days=stack.key_deletion_window_days,
        role_path=stack.role_path,
        permissions_boundary_arn=stack.permissions_boundary_arn,
    )


def database_alarms(
    stack: Stack, name: str, database: Database, monitoring: Monitoring
) -> DatabaseAlarmsArgs:
    alarms = stack.settings.monitoring.alarms
    return DatabaseAlarmsArgs(
        name_prefix=stack.prefix,
        database_name=name,
        database_identifier=database.identifier,
        replica_identifiers={
            f"replica-{number}": identifier
            for number, identifier in enumerate(database.replica_identifiers, start=1)
        },
        topic_arn=monitoring.topic_arn,
        cpu_percent=alarms.cpu_percent,
        free_storage_gib=alarms.free_storage_gib,
        connections=stack.settings.databases[name].max_connections_alarm,
        replica_lag_seconds=alarms.replica_lag_seconds,
        period_seconds=alarms.period_seconds,
        evaluation_periods=alarms.evaluation_periods,
    )


def blue_green(
    stack: Stack, name: str, network: Network, edge: LoadBalancer, rules: pulumi.Output[Mapping[str, Any]]
) -> BlueGreenArgs:
    settings = stack.settings.services[name]
    check = settings.health_check
    return BlueGreenArgs(
        vpc_id=network.vpc_id,
        production_listener_arn=edge.production_listener_arn,
        test_listener_arn=edge.test_listener_arn,
        priority=settings.route.priority,
        hosts=settings.route.hosts,
        paths=settings.route.paths,
        health_check=HealthCheck(
            path=check.path,
            interval_seconds=check.interval_seconds,
            timeout_seconds=check.timeout_seconds,
            healthy_threshold=check.healthy_threshold,
            unhealthy_threshold=check.unhealthy_threshold,
            matcher=check.matcher,
        ),
        deregistration_delay_seconds=settings.deregistration_delay_seconds,
        slow_start_seconds=settings.slow_start_seconds,
        stickiness_seconds=settings.stickiness_seconds,
        production_rule_arn=rules.apply(lambda services: services.get(name, {}).get("production_rule")),
        test_rule_arn=rules.apply(lambda services: services.get(name, {}).get("test_rule")),
    )


def container_service(
    stack: Stack, name: str, colours: BlueGreen, parts: ServiceParts, images: Mapping[str, str]
) -> ContainerServiceArgs:
    settings = stack.settings.services[name]
    released = {colour: images.get(f"{stack.images_path}/{name}/{colour}") for colour in COLOURS}
    database = parts.databases[settings.database] if settings.database else None
    own = {
        variable: parts.secrets.arns.get(reference, reference)
        for variable, reference in settings.secrets.items()
    }
    return ContainerServiceArgs(
        service_name=name,
        physical_prefix=stack.prefix,
        account_id=stack.account_id,
        region=stack.settings.region,
        cluster_arn=parts.cluster.arn,
        cluster_name=parts.cluster.name,
        subnet_ids=parts.network.private_subnet_ids,
        security_group_id=parts.network.service_security_group_id,
        images={
            colour: image or stack.settings.release.bootstrap_image for colour, image in released.items()
        },
        # Nothing runs before the first release: the bootstrap image only holds the place.
        initial_desired_counts=dict.fromkeys(COLOURS, 0),
        autoscaled_colours=[colour for colour, image in released.items() if image],
        container_port=settings.port,
        cpu=settings.cpu,
        memory_mib=settings.memory_mib,
        architecture=settings.architecture,
        minimum_tasks=settings.count.minimum,
        maximum_tasks=settings.count.maximum,
        cpu_target_percent=settings.scaling.cpu_percent,
        requests_per_target=settings.scaling.requests_per_target_per_minute,
        load_balancer_arn_suffix=parts.edge.arn_suffix,
        target_group_arns=colours.target_group_arns,
        target_group_arn_suffixes=colours.target_group_arn_suffixes,
        environment={**settings.environment, **(_database_environment(database) if database else {})},
        secrets={**own, **(_database_secrets(database) if database else {})},
        secret_arns=[
            *(
                parts.secrets.arns.get(reference, secret_arn(reference))
                for reference in settings.secrets.values()
            ),
            *([database.secret_arn] if database else []),
        ],
        secret_kms_key_arns=[parts.key.key_arn, *([database.kms_key_arn] if database else [])],
        repository_arn=_repository_arn(settings, parts.registry),
        log_group_name=parts.monitoring.log_group_names[name],
        log_group_arn=parts.monitoring.log_group_arns[name],
        stop_timeout_seconds=settings.stop_timeout_seconds,
        health_check_grace_period_seconds=settings.health_check.grace_seconds,
        writable_paths=settings.writable_paths,
        user=settings.user,
        role_path=stack.role_path,
        permissions_boundary_arn=stack.permissions_boundary_arn,
        execute_command=settings.execute_command,
        session_log_group_arn=parts.cluster.session_log_group_arn,
        session_kms_key_arn=parts.key.key_arn,
    )


def _database_environment(database: Database) -> dict[str, pulumi.Input[str]]:
    return {
        "DATABASE_HOST": database.address,
        "DATABASE_PORT": str(DATABASE_PORT),
        "DATABASE_NAME": database.database_name,
    }


def _database_secrets(database: Database) -> dict[str, pulumi.Input[str]]:
    """ECS takes single keys out of the secret that RDS manages; the password is in no definition."""
    return {
        "DATABASE_USERNAME": pulumi.Output.concat(database.secret_arn, ":username::"),
        "DATABASE_PASSWORD": pulumi.Output.concat(database.secret_arn, ":password::"),
    }


def secret_arn(reference: str) -> str:
    """The ARN alone, without the JSON key, stage or version that ECS lets stand behind it."""
    return ":".join(reference.split(":")[:7])


def _is_ours(service: ServiceSettings) -> bool:
    """Whether the stack makes the service's repository: its name has no registry in front."""
    return "/" not in service.image_repository


def _repository_arn(service: ServiceSettings, registry: Registry) -> pulumi.Input[str] | None:
    """The ECR repository to pull from; None for a registry that is not ECR."""
    if _is_ours(service):
        return registry.repository_arns[service.image_repository]
    host, _, repository = service.image_repository.partition("/")
    ecr = re.fullmatch(r"(\d{12})\.dkr\.ecr\.([a-z0-9-]+)\.amazonaws\.com", host)
    return f"arn:aws:ecr:{ecr[2]}:{ecr[1]}:repository/{repository}" if ecr else None


def service_alarms(
    stack: Stack, name: str, colours: BlueGreen, containers: ContainerService, parts: ServiceParts
) -> ServiceAlarmsArgs:
    alarms = stack.settings.monitoring.alarms
    return ServiceAlarmsArgs(
        name_prefix=stack.prefix,
        service_name=name,
        cluster_name=parts.cluster.name,
        ecs_service_names=containers.service_names,
        load_balancer_arn_suffix=parts.edge.arn_suffix,
        target_group_arn_suffixes=colours.target_group_arn_suffixes,
        topic_arn=parts.monitoring.topic_arn,
        error_rate_percent=alarms.error_rate_percent,
        latency_p99_seconds=alarms.latency_p99_seconds,
        cpu_percent=alarms.cpu_percent,
        memory_percent=alarms.memory_percent,
        period_seconds=alarms.period_seconds,
        evaluation_periods=alarms.evaluation_periods,
    )


def backups(
    stack: Stack, monitoring: Monitoring, copy_provider: pulumi.ProviderResource | None
) -> BackupsArgs:
    settings = stack.settings.backups
    return BackupsArgs(
        account_id=stack.account_id,
        region=stack.settings.region,
        name_prefix=stack.prefix,
        tiers=[
            BackupTier(
                name=name,
                schedule_cron=tier.schedule,
                retention_days=tier.retention_days,
                cold_storage_after_days=tier.cold_storage_after_days,
                start_window_minutes=BACKUP_START_WINDOW_MINUTES,
                completion_window_minutes=BACKUP_COMPLETION_WINDOW_MINUTES,
                continuous=tier.continuous,
            )
            for name, tier in settings.tiers.items()
        ],
        min_retention_days=settings.lock.min_retention_days,
        max_retention_days=settings.lock.max_retention_days,
        compliance_changeable_for_days=settings.lock.changeable_for_days,
        copy_provider=copy_provider,
        copy_region=settings.copy_region,
        topic_arn=monitoring.topic_arn,
        expect_daily=stack.settings.environment == "prod",
        force_destroy=stack.disposable,
        key_deletion_window_days=stack.key_deletion_window_days,
        role_path=stack.role_path,
        permissions_boundary_arn=stack.permissions_boundary_arn,
    )


def dashboard(
    stack: Stack,
    edge: LoadBalancer,
    cluster: Cluster,
    databases: Mapping[str, Database],
    services: Mapping[str, tuple[BlueGreen, ContainerService]],
) -> DashboardArgs:
    return DashboardArgs(
        dashboard_name=stack.prefix,
        region=stack.settings.region,
        services=[
            DashboardService(
                name=name,
                load_balancer_arn_suffix=edge.arn_suffix,
                target_group_arn_suffixes=colours.target_group_arn_suffixes,
                cluster_name=cluster.name,
                ecs_service_names=containers.service_names,
            )
            for name, (colours, containers) in services.items()
        ],
        databases=[database.identifier for database in databases.values()],
    )
