"""Which setting reaches which argument. Values differ from each other, so that a mix-up shows."""

from ipaddress import IPv4Network
from types import SimpleNamespace
from typing import Any

import pytest

from components.alarms import DatabaseAlarmsArgs
from components.backups import BackupsArgs, BackupTier
from components.cluster import ClusterArgs
from components.database import DatabaseArgs
from components.encryption import EncryptionKeyArgs
from components.load_balancer import LoadBalancerArgs
from components.monitoring import MonitoringArgs
from components.network import NetworkArgs
from components.registry import RegistryArgs
from components.release_store import ReleaseStoreArgs
from components.secrets import SecretsArgs
from infra import arguments
from tests.unit.stacks import STACKS, stack

KEY: Any = SimpleNamespace(key_arn="arn:key")
MONITORING: Any = SimpleNamespace(
    topic_arn="arn:topic", log_group_names={"api": "logs"}, log_group_arns={"api": "arn:logs"}
)
NETWORK: Any = SimpleNamespace(
    vpc_id="vpc-1",
    public_subnet_ids=["public"],
    private_subnet_ids=["private"],
    data_subnet_ids=["data"],
    edge_security_group_id="sg-edge",
    service_security_group_id="sg-services",
    data_security_group_id="sg-data",
)
CHANGES = {
    "monitoring.alarms": {
        "error_rate_percent": 1.5,
        "latency_p99_seconds": 2.5,
        "cpu_percent": 81,
        "memory_percent": 82,
        "free_storage_gib": 11,
        "replica_lag_seconds": 31,
        "period_seconds": 60,
        "evaluation_periods": 4,
    },
    "monitoring.log_retention_days": 30,
    "monitoring.emails": ["ops@example.com"],
    "edge.access_log_retention_days": 401,
    "edge.test_ingress_cidrs": ["10.9.0.0/16"],
    "network.flow_log_retention_days": 90,
    "registry.pull_accounts": ["222222222222"],
}
PROD, LOCAL = stack("prod", CHANGES), stack("local")
ACCOUNT = "333333333333"
BOUNDARY = "arn:aws:iam::333333333333:policy/switchyard-stack-boundary"


@pytest.mark.parametrize(
    ("name", "boundary"),
    [
        ("local", None),
        ("dev", "arn:aws:iam::111111111111:policy/switchyard-stack-boundary"),
        ("staging", "arn:aws:iam::222222222222:policy/switchyard-stack-boundary"),
        ("prod", BOUNDARY),
    ],
)
def test_roles_are_where_bootstraps_writers_may_make_them(name: str, boundary: str | None) -> None:
    found = stack(name)
    assert (found.role_path, found.permissions_boundary_arn) == (f"/switchyard/{name}/", boundary)
    given = stack(name, {"permissions_boundary": "other"})
    assert given.permissions_boundary_arn == f"arn:aws:iam::{given.account_id}:policy/other"


@pytest.mark.parametrize(
    ("name", "disposable", "days"),
    [("local", True, 7), ("dev", True, 7), ("staging", False, 30), ("prod", False, 30)],
)
def test_only_the_first_two_environments_may_lose_their_data(name: str, disposable: bool, days: int) -> None:
    found = stack(name)
    assert (found.disposable, found.key_deletion_window_days) == (disposable, days)
    key = arguments.encryption_key(found)
    balancer = arguments.load_balancer(found, NETWORK)
    store = arguments.release_store(found, KEY)
    backups = arguments.backups(found, MONITORING, None)
    assert key.deletion_window_days == days
    assert arguments.registry(found, KEY).force_delete is disposable
    assert balancer.log_bucket_force_destroy is disposable
    assert store.deletion_protection is not disposable
    assert backups.force_destroy is disposable
    assert backups.key_deletion_window_days == days
    assert arguments.secrets(found, KEY).recovery_window_days == (0 if disposable else 30)
    database = arguments.database(found, "main", NETWORK, KEY, MONITORING)
    assert database.key_deletion_window_days == days


def test_names_and_tags_come_from_the_project_and_the_stack() -> None:
    assert (PROD.prefix, PROD.images_path) == ("switchyard-prod", "/switchyard/prod/images")
    assert PROD.tags == {
        "team": "platform",
        "cost-centre": "shop",
        "project": "switchyard",
        "stack": "prod",
        "managed-by": "switchyard",
    }


def test_the_stacks_key() -> None:
    args = arguments.encryption_key(PROD)
    assert isinstance(args, EncryptionKeyArgs)
    assert (args.account_id, args.region, args.alias_name) == (ACCOUNT, "eu-west-1", "switchyard-prod")
    assert {
        "logs.eu-west-1.amazonaws.com",
        "sns.amazonaws.com",
        "cloudwatch.amazonaws.com",
        "backup.amazonaws.com",
        "events.rds.amazonaws.com",
    } <= set(args.service_principals)


def test_monitoring() -> None:
    assert arguments.monitoring(PROD, KEY) == MonitoringArgs(
        name_prefix="switchyard-prod",
        log_groups=["api", "web"],
        log_retention_days=30,
        kms_key_arn="arn:key",
        emails=["ops@example.com"],
        account_id=ACCOUNT,
    )


def test_the_network() -> None:
    assert arguments.network(PROD, KEY) == NetworkArgs(
        cidr=IPv4Network("10.30.0.0/16"),
        zones=["eu-west-1a", "eu-west-1b", "eu-west-1c"],
        region="eu-west-1",
        nat="per-zone",
        interface_endpoints=["ecr.api", "ecr.dkr", "logs", "secretsmanager", "ssm", "kms"],
        flow_log_retention_days=90,
        kms_key_arn="arn:key",
        service_ports=[3000, 8080],
        database_port=5433,
        edge_ingress_cidrs=["0.0.0.0/0"],
        edge_ports=[80, 443],
        test_port=8443,
        test_ingress_cidrs=["10.9.0.0/16"],
        account_id=ACCOUNT,
        name_tag_prefix="switchyard-prod",
        role_path="/switchyard/prod/",
        permissions_boundary_arn=BOUNDARY,
    )
    assert arguments.network(LOCAL, KEY).edge_ports == [80], "nothing listens on 443"


def test_services_on_one_port_need_one_opening() -> None:
    assert arguments.network(stack("local", {"services.web.port": 8080}), KEY).service_ports == [8080]


def test_the_load_balancer() -> None:
    assert arguments.load_balancer(PROD, NETWORK) == LoadBalancerArgs(
        load_balancer_name="switchyard-prod",
        subnet_ids=["public"],
        security_group_id="sg-edge",
        protocol="https",
        certificate_arn="arn:aws:acm:eu-west-1:333333333333:certificate/00000000-0000-4000-8000-333333333333",
        test_port=8443,
        deletion_protection=True,
        idle_timeout_seconds=60,
        access_log_retention_days=401,
        log_bucket_force_destroy=False,
        account_id=ACCOUNT,
    )


def test_the_cluster_the_release_store_and_the_registry() -> None:
    assert arguments.cluster(PROD, KEY) == ClusterArgs(
        cluster_name="switchyard-prod",
        kms_key_arn="arn:key",
        log_group_name="/switchyard-prod/sessions",
        log_retention_days=30,
    )
    assert arguments.release_store(PROD, KEY) == ReleaseStoreArgs(
        table_name="switchyard-prod-releases",
        images_path="/switchyard/prod/images",
        kms_key_arn="arn:key",
        deletion_protection=True,
    )
    assert arguments.registry(PROD, KEY) == RegistryArgs(
        repositories=["api", "web"],
        name_prefix="switchyard-prod",
        kms_key_arn="arn:key",
        keep_images=100,
        untagged_days=7,
        force_delete=False,
        pull_account_ids=["222222222222"],
    )


def test_only_repositories_and_secrets_without_an_address_are_the_stacks_own() -> None:
    secrets = {"A": "b", "B": "a", "C": "arn:aws:secretsmanager:eu-west-1:333333333333:secret:c", "D": "a"}
    mixed = stack("prod", {"services.api.image_repository": "ghcr.io/t/api", "services.api.secrets": secrets})
    assert arguments.registry(mixed, KEY).repositories == ["web"]
    assert arguments.secrets(mixed, KEY) == SecretsArgs(
        names=["a", "b"], name_prefix="switchyard-prod", kms_key_arn="arn:key", recovery_window_days=30
    )


def test_the_webhook_of_a_release_is_a_secret_of_the_stack_unless_it_has_an_address() -> None:
    named = arguments.secrets(stack("prod", {"release.notify": {"slack_webhook_secret": "slack"}}), KEY)
    assert "slack" in named.names
    arn = "arn:aws:secretsmanager:eu-west-1:333333333333:secret:slack-AbCdEf"
    elsewhere = arguments.secrets(stack("prod", {"release.notify": {"slack_webhook_secret": arn}}), KEY)
    assert elsewhere.names == arguments.secrets(PROD, KEY).names


def test_a_database() -> None:
    assert arguments.database(PROD, "main", NETWORK, KEY, MONITORING) == DatabaseArgs(
        account_id=ACCOUNT,
        region="eu-west-1",
        identifier="switchyard-prod-main",
        engine_version="16",
        parameter_group_family="postgres16",
        instance_class="db.m7g.large",
        allocated_storage_gib=100,
        max_allocated_storage_gib=1000,
        multi_az=True,
        subnet_ids=["data"],
        security_group_id="sg-data",
        port=5433,
        database_name="shop",
        master_username="owner",
        backup_retention_days=35,
        backup_window="02:00-03:00",
        maintenance_window="sun:04:00-sun:05:00",
        backup_tier="gold",
        deletion_protection=True,
        final_snapshot_identifier="switchyard-prod-main-final",
        skip_final_snapshot=False,
        read_replicas=0,
        performance_insights_retention_days=731,
        monitoring_interval_seconds=15,
        slow_query_milliseconds=500,
        log_retention_days=30,
        log_kms_key_arn="arn:key",
        topic_arn="arn:topic",
        key_deletion_window_days=30,
        role_path="/switchyard/prod/",
        permissions_boundary_arn=BOUNDARY,
    )


def test_a_minor_version_has_the_parameters_of_its_major_one() -> None:
    minor = stack("local", {"databases.main.engine_version": "17.2"})
    args = arguments.database(minor, "main", NETWORK, KEY, MONITORING)
    assert (args.engine_version, args.parameter_group_family) == ("17.2", "postgres17")


def test_alarms_of_a_database() -> None:
    database: Any = SimpleNamespace(identifier="main-1", replica_identifiers=["main-2", "main-3"])
    assert arguments.database_alarms(PROD, "main", database, MONITORING) == DatabaseAlarmsArgs(
        name_prefix="switchyard-prod",
        database_name="main",
        database_identifier="main-1",
        replica_identifiers={"replica-1": "main-2", "replica-2": "main-3"},
        topic_arn="arn:topic",
        cpu_percent=81,
        free_storage_gib=11,
        connections=600,
        replica_lag_seconds=31,
        period_seconds=60,
        evaluation_periods=4,
    )


def test_backups() -> None:
    windows = {"start_window_minutes": 60, "completion_window_minutes": 360}
    copies: Any = object()
    locked = stack("prod", {"backups.lock.changeable_for_days": 3, "backups.tiers.standard.continuous": True})
    assert arguments.backups(locked, MONITORING, copies) == BackupsArgs(
        account_id=ACCOUNT,
        region="eu-west-1",
        name_prefix="switchyard-prod",
        tiers=[
            BackupTier(
                name="gold",
                schedule_cron="cron(0 1 * * ? *)",
                retention_days=365,
                cold_storage_after_days=30,
                continuous=False,
                **windows,
            ),
            BackupTier(
                name="standard",
                schedule_cron="cron(30 1 * * ? *)",
                retention_days=35,
                cold_storage_after_days=None,
                continuous=True,
                **windows,
            ),
        ],
        min_retention_days=7,
        max_retention_days=400,
        compliance_changeable_for_days=3,
        copy_provider=copies,
        copy_region="eu-central-1",
        topic_arn="arn:topic",
        expect_daily=True,
        force_destroy=False,
        key_deletion_window_days=30,
        role_path="/switchyard/prod/",
        permissions_boundary_arn=BOUNDARY,
    )


@pytest.mark.parametrize("name", STACKS)
def test_a_missing_backup_calls_somebody_in_production_only(name: str) -> None:
    assert arguments.backups(stack(name), MONITORING, None).expect_daily is (name == "prod")
