import json
from typing import Any

import pulumi
import pytest

from components.database import Database, DatabaseArgs, _secret_arn, monitoring_trust_policy
from components.encryption import key_policy
from tests.unit.harness import ACCOUNT, REGION, Deployment, deploy, value_of

INSTANCE = "aws:rds/instance:Instance"
KEY = "aws:kms/key:Key"
ALIAS = "aws:kms/alias:Alias"
SUBNETS = "aws:rds/subnetGroup:SubnetGroup"
PARAMETERS = "aws:rds/parameterGroup:ParameterGroup"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
ROLE = "aws:iam/role:Role"
ATTACHMENT = "aws:iam/rolePolicyAttachment:RolePolicyAttachment"
EVENTS = "aws:rds/eventSubscription:EventSubscription"

TOPIC_ARN = "arn:aws:sns:eu-west-1:123456789012:alarms"
LOG_KEY_ARN = "arn:aws:kms:eu-west-1:123456789012:key/logs"
KEY_ARN = "arn:aws:Key:eu-west-1:123456789012:main-key"

EVERY_INSTANCE = {
    "instanceClass": "db.m7g.large",
    "multiAz": True,
    "port": 5433,
    "publiclyAccessible": False,
    "vpcSecurityGroupIds": ["sg-database"],
    "parameterGroupName": "main-parameters",
    "caCertIdentifier": "rds-ca-rsa2048-g1",
    "iamDatabaseAuthenticationEnabled": True,
    "storageType": "gp3",
    "storageEncrypted": True,
    "maxAllocatedStorage": 500,
    "copyTagsToSnapshot": True,
    "deletionProtection": True,
    "autoMinorVersionUpgrade": True,
    "maintenanceWindow": "sun:03:00-sun:04:00",
    "applyImmediately": False,
    "enabledCloudwatchLogsExports": ["postgresql", "upgrade"],
    "monitoringInterval": 60,
    "monitoringRoleArn": "arn:aws:Role:eu-west-1:123456789012:main-monitoring-role",
    "performanceInsightsEnabled": True,
    "performanceInsightsKmsKeyId": KEY_ARN,
    "performanceInsightsRetentionPeriod": 7,
}
PRIMARY = EVERY_INSTANCE | {
    "identifier": "switchyard-test",
    "engine": "postgres",
    "engineVersion": "16",
    "dbName": "shop",
    "dbSubnetGroupName": "main-subnets",
    "username": "shop_owner",
    "manageMasterUserPassword": True,
    "masterUserSecretKmsKeyId": KEY_ARN,
    "kmsKeyId": KEY_ARN,
    "allocatedStorage": 100,
    "backupRetentionPeriod": 14,
    "backupWindow": "01:00-01:30",
    "deleteAutomatedBackups": False,
    "skipFinalSnapshot": False,
    "finalSnapshotIdentifier": "switchyard-test-final",
    "tags": {"backup-tier": "gold"},
}


VALUES: dict[str, Any] = {
    "account_id": ACCOUNT,
    "region": REGION,
    "identifier": "switchyard-test",
    "engine_version": "16",
    "parameter_group_family": "postgres16",
    "instance_class": "db.m7g.large",
    "allocated_storage_gib": 100,
    "max_allocated_storage_gib": 500,
    "multi_az": True,
    "subnet_ids": ["subnet-a", "subnet-b"],
    "security_group_id": "sg-database",
    "port": 5433,
    "database_name": "shop",
    "master_username": "shop_owner",
    "backup_retention_days": 14,
    "backup_window": "01:00-01:30",
    "maintenance_window": "sun:03:00-sun:04:00",
    "backup_tier": "gold",
    "deletion_protection": True,
    "final_snapshot_identifier": "switchyard-test-final",
    "read_replicas": 0,
    "performance_insights_retention_days": 7,
    "monitoring_interval_seconds": 60,
    "slow_query_milliseconds": 500,
    "log_retention_days": 90,
    "log_kms_key_arn": LOG_KEY_ARN,
    "topic_arn": TOPIC_ARN,
    "key_deletion_window_days": 30,
    "role_path": "/switchyard/test/",
    "permissions_boundary_arn": "arn:boundary",
}


def database(**changes: Any) -> Deployment:
    return deploy(lambda: Database("main", DatabaseArgs(**(VALUES | changes))))


def test_the_instance_is_private_encrypted_watched_and_kept() -> None:
    assert database().one(INSTANCE).inputs == PRIMARY, "RDS.2, 3, 5, 6, 8, 9, 10, 11, 13, 17, 36"


def test_no_password_is_in_the_program_nor_in_its_state() -> None:
    inputs = database(read_replicas=2)
    for resource in inputs.resources:
        assert not {"password", "passwordWo", "masterPassword"} & set(resource.inputs), resource.name
        assert resource.secret_inputs == frozenset(), "there is no secret to hide: RDS keeps the password"
    assert inputs.one(INSTANCE, "main").inputs["manageMasterUserPassword"] is True


def test_the_parts_of_a_database_are_these_and_no_more() -> None:
    assert database().count() == {
        KEY: 1,
        ALIAS: 1,
        SUBNETS: 1,
        PARAMETERS: 1,
        LOG_GROUP: 2,
        ROLE: 1,
        ATTACHMENT: 1,
        INSTANCE: 1,
        EVENTS: 3,
    }


def test_all_parts_belong_to_the_database() -> None:
    children = [r for r in database(read_replicas=1).resources if not r.type.startswith("switchyard:")]
    assert len(children) == 15
    assert {r.parent for r in children if r.type in {KEY, ALIAS}} == {"main-key"}
    assert {r.parent for r in children if r.type not in {KEY, ALIAS}} == {"main"}


def test_the_type_of_a_database_is_state_for_ever() -> None:
    assert database().one("switchyard:data:Database").name == "main"


def test_the_key_serves_no_service_in_its_own_name() -> None:
    deployment = database()
    assert deployment.one(KEY).inputs == {
        "description": "storage, snapshots, insights and master password of database switchyard-test",
        "deletionWindowInDays": 30,
        "enableKeyRotation": True,
        "policy": key_policy(account_id=ACCOUNT, region=REGION, service_principals=[]),
    }, "RDS and Secrets Manager use it by grants and for their callers"
    assert deployment.one(ALIAS).inputs["name"] == "alias/rds/switchyard-test"


def test_the_key_outlives_the_stack_as_long_as_a_snapshot_does() -> None:
    assert database().one(KEY).retain_on_delete, "a snapshot without its key is noise"
    assert not database(skip_final_snapshot=True).one(KEY).retain_on_delete, "nothing is left to read"


def test_a_database_that_may_go_takes_its_backups_along() -> None:
    inputs = database(skip_final_snapshot=True).one(INSTANCE).inputs
    assert inputs == PRIMARY | {"skipFinalSnapshot": True, "deleteAutomatedBackups": True}, (
        "the weaker choice is written down once, and changes nothing else"
    )


@pytest.mark.parametrize("protected", [True, False])
def test_deletion_protection_holds_in_rds_and_in_pulumi(protected: bool) -> None:
    deployment = database(deletion_protection=protected, read_replicas=1)
    assert [(r.inputs["deletionProtection"], r.protect) for r in deployment.of(INSTANCE)] == [
        (protected, protected),
        (protected, protected),
    ], "RDS refuses late, in the middle of a destroy; Pulumi refuses before it starts"
    assert [r.name for r in deployment.resources if r.protect and r.type != INSTANCE] == []


def test_without_a_tier_no_backup_plan_selects_the_database() -> None:
    assert "tags" not in database(backup_tier=None).one(INSTANCE).inputs


def test_connections_without_tls_are_refused_and_logged_with_slow_statements() -> None:
    assert database().one(PARAMETERS).inputs == {
        "description": "parameters of database switchyard-test",
        "family": "postgres16",
        "parameters": [
            {"name": "log_connections", "value": "1"},
            {"name": "log_disconnections", "value": "1"},
            {"name": "log_min_duration_statement", "value": "500"},
            {"name": "rds.force_ssl", "value": "1"},
        ],
    }, "RDS.38; autonamed, because a new major version replaces the group while the old one is in use"


def test_the_database_lives_in_the_given_subnets() -> None:
    assert database().one(SUBNETS).inputs == {
        "description": "private subnets of database switchyard-test",
        "subnetIds": ["subnet-a", "subnet-b"],
    }


def test_log_groups_are_there_before_rds_makes_endless_ones() -> None:
    deployment = database(read_replicas=1)
    assert [(r.name, r.inputs) for r in deployment.of(LOG_GROUP)] == [
        (
            f"{logical_name}-{log}-log",
            {
                "name": f"/aws/rds/instance/{identifier}/{log}",
                "retentionInDays": 90,
                "kmsKeyId": LOG_KEY_ARN,
            },
        )
        for logical_name, identifier, log in [
            ("main", "switchyard-test", "postgresql"),
            ("main-replica-1", "switchyard-test-replica-1", "postgresql"),
            ("main-replica-1", "switchyard-test-replica-1", "upgrade"),
            ("main", "switchyard-test", "upgrade"),
        ]
    ]
    for instance in deployment.of(INSTANCE):
        assert {
            "main-postgresql-log",
            "main-upgrade-log",
            "main-replica-1-postgresql-log",
            "main-replica-1-upgrade-log",
        } <= set(instance.dependencies), "nothing in the inputs makes the instance wait for them"


def test_every_exported_log_has_its_group() -> None:
    deployment = database(read_replicas=2)
    exported = {
        f"/aws/rds/instance/{instance.inputs['identifier']}/{log}"
        for instance in deployment.of(INSTANCE)
        for log in instance.inputs["enabledCloudwatchLogsExports"]
    }
    assert len(exported) == 6
    assert {group.inputs["name"] for group in deployment.of(LOG_GROUP)} == exported


def test_the_monitoring_role_is_for_rds_and_these_instances() -> None:
    deployment = database(read_replicas=1)
    role = deployment.one(ROLE)
    assert role.inputs == {
        "path": "/switchyard/test/",
        "permissionsBoundary": "arn:boundary",
        "description": "enhanced monitoring of database switchyard-test",
        "assumeRolePolicy": monitoring_trust_policy(
            account_id=ACCOUNT, region=REGION, identifiers=["switchyard-test", "switchyard-test-replica-1"]
        ),
    }
    assert deployment.one(ATTACHMENT).inputs == {
        "role": "main-monitoring-role",
        "policyArn": "arn:aws:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole",
    }


def test_instances_wait_until_the_role_may_write() -> None:
    waits = [r.dependencies for r in database(read_replicas=1).of(INSTANCE)]
    assert len(waits) == 2
    assert all("main-monitoring" in names for names in waits), "RDS tries the role when it makes an instance"


def test_the_trust_policy_names_account_and_instances() -> None:
    document = json.loads(
        monitoring_trust_policy(account_id=ACCOUNT, region=REGION, identifiers=["one", "one-replica-1"])
    )
    assert document == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "monitoring.rds.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": "123456789012"},
                    "ArnLike": {
                        "aws:SourceArn": [
                            "arn:aws:rds:eu-west-1:123456789012:db:one",
                            "arn:aws:rds:eu-west-1:123456789012:db:one-replica-1",
                        ]
                    },
                },
            }
        ],
    }, "RDS acts for every account of AWS: the conditions make it ours"


def test_a_replica_takes_from_the_primary_what_rds_lets_no_one_choose() -> None:
    deployment = database(read_replicas=2)
    assert {r.name: r.inputs for r in deployment.of(INSTANCE)} == {
        "main": PRIMARY,
        "main-replica-1": EVERY_INSTANCE
        | {
            "identifier": "switchyard-test-replica-1",
            "replicateSourceDb": "switchyard-test",
            "skipFinalSnapshot": True,
        },
        "main-replica-2": EVERY_INSTANCE
        | {
            "identifier": "switchyard-test-replica-2",
            "replicateSourceDb": "switchyard-test",
            "skipFinalSnapshot": True,
        },
    }, "key, subnets, version and users are the primary's; a backup tier would store the same data twice"


def test_replicas_add_instances_and_logs_alone() -> None:
    none, two = database().count(), database(read_replicas=2).count()
    assert {type_: two[type_] - none[type_] for type_ in two if two[type_] != none[type_]} == {
        INSTANCE: 2,
        LOG_GROUP: 4,
    }


def test_critical_events_of_this_database_reach_the_topic() -> None:
    deployment = database(read_replicas=1)
    assert {r.name: r.inputs for r in deployment.of(EVENTS)} == {
        "main-instances": {
            "snsTopic": TOPIC_ARN,
            "sourceType": "db-instance",
            "sourceIds": ["switchyard-test", "switchyard-test-replica-1"],
            "eventCategories": ["configuration change", "failure", "maintenance"],
        },
        "main-parameters": {
            "snsTopic": TOPIC_ARN,
            "sourceType": "db-parameter-group",
            "sourceIds": ["main-parameters"],
            "eventCategories": ["configuration change"],
        },
        "main-security-groups": {
            "snsTopic": TOPIC_ARN,
            "sourceType": "db-security-group",
            "eventCategories": ["configuration change", "failure"],
        },
    }, "RDS.20, RDS.21 and RDS.22 name these categories; another stack's database is another topic's matter"


def test_a_database_tells_where_it_is_and_where_its_password_is() -> None:
    result = database(read_replicas=2).result
    assert {
        "identifier": value_of(result.identifier),
        "arn": value_of(result.arn),
        "address": value_of(result.address),
        "port": value_of(result.port),
        "database_name": value_of(result.database_name),
        "secret_arn": value_of(result.secret_arn),
        "kms_key_arn": value_of(result.kms_key_arn),
        "replica_identifiers": [value_of(i) for i in result.replica_identifiers],
    } == {
        "identifier": "switchyard-test",
        "arn": "arn:aws:Instance:eu-west-1:123456789012:main",
        "address": "main.rds.example.com",
        "port": 5433,
        "database_name": "shop",
        "secret_arn": "arn:aws:secretsmanager:eu-west-1:123456789012:secret:main",
        "kms_key_arn": KEY_ARN,
        "replica_identifiers": ["switchyard-test-replica-1", "switchyard-test-replica-2"],
    }


def test_a_database_without_replicas_lists_none() -> None:
    assert database().result.replica_identifiers == []


def test_values_may_come_from_other_resources() -> None:
    def program() -> Database:
        outputs = {
            "slow_query_milliseconds": pulumi.Output.from_input(250),
            "subnet_ids": pulumi.Output.from_input(["subnet-c"]),
            "topic_arn": pulumi.Output.from_input("arn:aws:sns:eu-west-1:123456789012:other"),
        }
        return Database("main", DatabaseArgs(**(VALUES | outputs)))

    deployment = deploy(program)
    assert deployment.one(PARAMETERS).inputs["parameters"][2]["value"] == "250"
    assert deployment.one(SUBNETS).inputs["subnetIds"] == ["subnet-c"]
    assert [r.inputs["snsTopic"] for r in deployment.of(EVENTS)] == [
        "arn:aws:sns:eu-west-1:123456789012:other"
    ] * 3


def test_a_database_whose_password_rds_does_not_manage_is_refused() -> None:
    with pytest.raises(ValueError, match="no secret for the master user"):
        _secret_arn([])
