from components.cluster import Cluster, ClusterArgs
from tests.unit.harness import Deployment, deploy, value_of

CLUSTER = "aws:ecs/cluster:Cluster"
CAPACITY = "aws:ecs/clusterCapacityProviders:ClusterCapacityProviders"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/k"


def cluster() -> Deployment:
    return deploy(
        lambda: Cluster(
            "main",
            ClusterArgs(
                cluster_name="switchyard-test",
                kms_key_arn=KEY,
                log_group_name="/switchyard-test/sessions",
                log_retention_days=90,
            ),
        )
    )


def test_a_cluster_measures_its_tasks_and_keeps_sessions_encrypted_and_on_record() -> None:
    assert cluster().one(CLUSTER).inputs == {
        "name": "switchyard-test",
        "settings": [{"name": "containerInsights", "value": "enabled"}],
        "configuration": {
            "executeCommandConfiguration": {
                "kmsKeyId": KEY,
                "logging": "OVERRIDE",
                "logConfiguration": {
                    "cloudWatchEncryptionEnabled": True,
                    "cloudWatchLogGroupName": "/switchyard-test/sessions",
                },
            }
        },
    }, "ECS.12, and whoever types into a production container leaves a trace"


def test_the_record_of_sessions_is_encrypted_and_ends_some_day() -> None:
    assert cluster().one(LOG_GROUP).inputs == {
        "name": "/switchyard-test/sessions",
        "retentionInDays": 90,
        "kmsKeyId": KEY,
    }, "what was typed may hold customer data"


def test_tasks_run_on_fargate_that_nobody_takes_back() -> None:
    assert cluster().one(CAPACITY).inputs == {
        "clusterName": "switchyard-test",
        "capacityProviders": ["FARGATE"],
        "defaultCapacityProviderStrategies": [{"capacityProvider": "FARGATE", "weight": 1}],
    }, "an interrupted spot task would look like a bad release"


def test_a_cluster_is_three_resources_that_belong_to_it() -> None:
    deployment = cluster()
    assert deployment.count() == {CLUSTER: 1, CAPACITY: 1, LOG_GROUP: 1}, "anything more is a surprise"
    assert [deployment.one(t).parent for t in (CLUSTER, CAPACITY, LOG_GROUP)] == ["main"] * 3, (
        "children of the component move and die with it"
    )


def test_callers_get_the_cluster_and_the_sessions_log_group() -> None:
    made = cluster().result
    assert value_of(made.arn) == "arn:aws:Cluster:eu-west-1:123456789012:main-cluster"
    assert value_of(made.name) == "switchyard-test"
    assert value_of(made.session_log_group_arn) == "arn:aws:LogGroup:eu-west-1:123456789012:main-sessions"


def test_type_and_names_are_state_and_stay_as_they_are() -> None:
    assert {r.type: r.name for r in cluster().resources} == {
        "switchyard:compute:Cluster": "main",
        CLUSTER: "main-cluster",
        CAPACITY: "main-capacity",
        LOG_GROUP: "main-sessions",
    }, "another name makes Pulumi delete and create; rename with an alias only"
