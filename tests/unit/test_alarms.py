from dataclasses import replace
from typing import Any

import pytest

from components.alarms import DatabaseAlarms, DatabaseAlarmsArgs, ServiceAlarms, ServiceAlarmsArgs
from tests.unit.harness import Deployment, Registered, deploy, value_of

ALARM = "aws:cloudwatch/metricAlarm:MetricAlarm"
TOPIC = "arn:aws:sns:eu-west-1:123456789012:alerts"
SERVICE = ServiceAlarmsArgs(
    name_prefix="switchyard-test",
    service_name="api",
    cluster_name="main",
    ecs_service_names={"green": "api-green", "blue": "api-blue"},
    load_balancer_arn_suffix="app/edge/1",
    target_group_arn_suffixes={"green": "targetgroup/green/1", "blue": "targetgroup/blue/1"},
    topic_arn=TOPIC,
    error_rate_percent=1.5,
    latency_p99_seconds=0.8,
    cpu_percent=85,
    memory_percent=90,
    period_seconds=60,
    evaluation_periods=3,
)
DATABASE = DatabaseAlarmsArgs(
    name_prefix="switchyard-test",
    database_name="orders",
    database_identifier="orders-db",
    replica_identifiers={"replica-2": "orders-r2", "replica-1": "orders-r1"},
    topic_arn=TOPIC,
    cpu_percent=80,
    free_storage_gib=5,
    connections=150,
    replica_lag_seconds=30,
    period_seconds=120,
    evaluation_periods=5,
)
ALL_SERVICE_ALARMS = [
    "switchyard-test-api-blue-error-rate",
    "switchyard-test-api-blue-latency-p99",
    "switchyard-test-api-blue-unhealthy-hosts",
    "switchyard-test-api-green-error-rate",
    "switchyard-test-api-green-latency-p99",
    "switchyard-test-api-green-unhealthy-hosts",
    "switchyard-test-api-cpu",
    "switchyard-test-api-memory",
    "switchyard-test-api-missing-tasks",
]


def of_service(args: ServiceAlarmsArgs = SERVICE) -> Deployment:
    return deploy(lambda: ServiceAlarms("api", args))


def of_database(args: DatabaseAlarmsArgs = DATABASE) -> Deployment:
    return deploy(lambda: DatabaseAlarms("orders", args))


def without_words(alarm: Registered) -> dict[str, Any]:
    return {key: value for key, value in alarm.inputs.items() if key != "alarmDescription"}


def rule(
    name: str, threshold: float, missing: str, *, periods: int = 3, below: bool = False
) -> dict[str, Any]:
    return {
        "name": name,
        "comparisonOperator": "LessThanThreshold" if below else "GreaterThanThreshold",
        "threshold": threshold,
        "evaluationPeriods": periods,
        "treatMissingData": missing,
        "alarmActions": [TOPIC],
        "okActions": [TOPIC],
    }


def query(
    key: str, namespace: str, metric: str, statistic: str, dimensions: dict[str, str], period: int = 60
) -> dict[str, Any]:
    return {
        "id": key,
        "metric": {
            "namespace": namespace,
            "metricName": metric,
            "dimensions": dimensions,
            "stat": statistic,
            "period": period,
        },
        "returnData": False,
    }


def result(expression: str, label: str) -> dict[str, Any]:
    return {"id": "result", "expression": expression, "label": label, "returnData": True}


def balancer(colour: str) -> dict[str, str]:
    return {"LoadBalancer": "app/edge/1", "TargetGroup": f"targetgroup/{colour}/1"}


def tasks(colour: str) -> dict[str, str]:
    return {"ClusterName": "main", "ServiceName": f"api-{colour}"}


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_the_error_rate_is_a_share_of_the_requests_of_one_colour(colour: str) -> None:
    alarm = of_service().one(ALARM, f"api-{colour}-error-rate")
    assert without_words(alarm) == {
        **rule(f"switchyard-test-api-{colour}-error-rate", 1.5, "notBreaching"),
        "metricQueries": [
            query("errors", "AWS/ApplicationELB", "HTTPCode_Target_5XX_Count", "Sum", balancer(colour)),
            query("requests", "AWS/ApplicationELB", "RequestCount", "Sum", balancer(colour)),
            result("IF(requests > 0, 100 * FILL(errors, 0) / requests, 0)", "error-rate"),
        ],
    }, "no requests is no error; and errors that are not reported are none"


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_latency_is_the_99th_percentile_of_one_colour(colour: str) -> None:
    alarm = of_service().one(ALARM, f"api-{colour}-latency-p99")
    assert without_words(alarm) == {
        **rule(f"switchyard-test-api-{colour}-latency-p99", 0.8, "notBreaching"),
        "namespace": "AWS/ApplicationELB",
        "metricName": "TargetResponseTime",
        "extendedStatistic": "p99",
        "dimensions": balancer(colour),
        "period": 60,
    }, "an average hides the one user in a hundred"


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_one_unhealthy_host_of_a_colour_is_too_many(colour: str) -> None:
    alarm = of_service().one(ALARM, f"api-{colour}-unhealthy-hosts")
    assert without_words(alarm) == {
        **rule(f"switchyard-test-api-{colour}-unhealthy-hosts", 0, "notBreaching"),
        "namespace": "AWS/ApplicationELB",
        "metricName": "UnHealthyHostCount",
        "statistic": "Maximum",
        "dimensions": balancer(colour),
        "period": 60,
    }, "an idle colour has no hosts, and no alarm"


@pytest.mark.parametrize(
    ("name", "metric", "percent"), [("cpu", "CPUUtilization", 85), ("memory", "MemoryUtilization", 90)]
)
def test_utilisation_is_that_of_the_busier_colour(name: str, metric: str, percent: float) -> None:
    alarm = of_service().one(ALARM, f"api-{name}")
    assert without_words(alarm) == {
        **rule(f"switchyard-test-api-{name}", percent, "notBreaching"),
        "metricQueries": [
            query(f"{name}_blue", "AWS/ECS", metric, "Average", tasks("blue")),
            query(f"{name}_green", "AWS/ECS", metric, "Average", tasks("green")),
            result(f"MAX([FILL({name}_blue, 0), FILL({name}_green, 0)])", name),
        ],
    }, "an average of both would be halved by the idle colour"


def test_a_missing_task_counts_in_either_colour_and_silence_counts_as_missing() -> None:
    alarm = of_service().one(ALARM, "api-missing-tasks")
    insights = "ECS/ContainerInsights"
    blue = (
        "IF(FILL(desired_blue, 0) > FILL(running_blue, 0), FILL(desired_blue, 0) - FILL(running_blue, 0), 0)"
    )
    assert without_words(alarm) == {
        **rule("switchyard-test-api-missing-tasks", 0, "breaching"),
        "metricQueries": [
            query("desired_blue", insights, "DesiredTaskCount", "Average", tasks("blue")),
            query("desired_green", insights, "DesiredTaskCount", "Average", tasks("green")),
            query("running_blue", insights, "RunningTaskCount", "Average", tasks("blue")),
            query("running_green", insights, "RunningTaskCount", "Average", tasks("green")),
            result(f"{blue} + {blue.replace('blue', 'green')}", "missing-tasks"),
        ],
    }, "the surplus of a deployment in one colour must not hide a hole in the other"


def test_a_service_has_nine_alarms_that_belong_to_it() -> None:
    deployment = of_service()
    assert deployment.count() == {ALARM: 9}
    assert {a.parent for a in deployment.of(ALARM)} == {"api"}


def test_a_release_finds_the_alarms_of_each_colour_and_of_the_service() -> None:
    made = of_service().result
    by_colour = {c: [value_of(n) for n in names] for c, names in made.alarm_names_by_colour.items()}
    assert by_colour == {"blue": ALL_SERVICE_ALARMS[:3], "green": ALL_SERVICE_ALARMS[3:6]}, (
        "a gate on the wrong colour is no gate"
    )
    assert [value_of(n) for n in made.service_alarm_names] == ALL_SERVICE_ALARMS[6:]
    assert [value_of(n) for n in made.alarm_names] == ALL_SERVICE_ALARMS


def test_period_and_patience_reach_every_alarm() -> None:
    alarms = of_service(replace(SERVICE, period_seconds=300, evaluation_periods=7)).of(ALARM)
    periods = [a.inputs["period"] for a in alarms if "period" in a.inputs]
    inner = [
        q["metric"]["period"] for a in alarms for q in a.inputs.get("metricQueries", []) if "metric" in q
    ]
    assert (periods, inner) == ([300] * 4, [300] * 12)
    assert [a.inputs["evaluationPeriods"] for a in alarms] == [7] * 9


def test_every_description_says_what_it_means_and_where_to_look_first() -> None:
    alarms = [*of_service().of(ALARM), *of_database().of(ALARM)]
    words = {a.inputs["name"]: a.inputs["alarmDescription"] for a in alarms}
    assert len(words) == 14
    assert not [name for name, text in words.items() if "Look first at " not in text]
    assert max(len(text) for text in words.values()) <= 1024, "the limit of CloudWatch"
    assert words["switchyard-test-api-blue-error-rate"] == (
        "api blue answers more than 1.5 % of its requests with 5xx. Look first at the newest errors in the "
        "log group of the service, then at the last release."
    )
    assert "longer than 0.8 s" in words["switchyard-test-api-green-latency-p99"]
    assert "more than 90 % of its memory" in words["switchyard-test-api-memory"]
    assert "less than 5 GiB" in words["switchyard-test-orders-free-storage"]
    assert "more than 150 open connections" in words["switchyard-test-orders-connections"]
    assert (
        "Replica replica-1 of orders is more than 30 s behind"
        in (words["switchyard-test-orders-replica-1-replica-lag"])
    )


def database_metric(metric: str, statistic: str) -> dict[str, Any]:
    return {
        "namespace": "AWS/RDS",
        "metricName": metric,
        "statistic": statistic,
        "dimensions": {"DBInstanceIdentifier": "orders-db"},
        "period": 120,
    }


def test_a_busy_database_wakes_somebody_up_and_a_silent_one_too() -> None:
    assert without_words(of_database().one(ALARM, "orders-cpu")) == {
        **rule("switchyard-test-orders-cpu", 80, "breaching", periods=5),
        **database_metric("CPUUtilization", "Average"),
    }, "a running instance always reports its CPU"


def test_storage_fires_below_its_limit_in_bytes() -> None:
    assert without_words(of_database().one(ALARM, "orders-free-storage")) == {
        **rule("switchyard-test-orders-free-storage", 5 * 1024**3, "notBreaching", periods=5, below=True),
        **database_metric("FreeStorageSpace", "Minimum"),
    }, "RDS reports bytes; an alarm above 5 bytes would always fire"


def test_connections_are_counted_at_their_worst() -> None:
    assert without_words(of_database().one(ALARM, "orders-connections")) == {
        **rule("switchyard-test-orders-connections", 150, "notBreaching", periods=5),
        **database_metric("DatabaseConnections", "Maximum"),
    }, "during a release two colours hold connections"


@pytest.mark.parametrize(("replica", "identifier"), [("replica-1", "orders-r1"), ("replica-2", "orders-r2")])
def test_a_replica_that_lags_or_stopped_fires(replica: str, identifier: str) -> None:
    alarm = of_database().one(ALARM, f"orders-{replica}-replica-lag")
    assert without_words(alarm) == {
        **rule(f"switchyard-test-orders-{replica}-replica-lag", 30, "breaching", periods=5),
        "metricQueries": [
            query(
                "lag", "AWS/RDS", "ReplicaLag", "Maximum", {"DBInstanceIdentifier": identifier}, period=120
            ),
            result("IF(lag < 0, 30 + 1, lag)", "replica-lag"),
        ],
    }, "RDS reports -1 while replication is broken, which is below every threshold"


def test_a_database_without_replicas_has_three_alarms() -> None:
    deployment = of_database(replace(DATABASE, replica_identifiers={}))
    assert deployment.count() == {ALARM: 3}
    assert {a.parent for a in deployment.of(ALARM)} == {"orders"}


def test_callers_get_the_names_of_a_databases_alarms() -> None:
    assert [value_of(n) for n in of_database().result.alarm_names] == [
        "switchyard-test-orders-cpu",
        "switchyard-test-orders-free-storage",
        "switchyard-test-orders-connections",
        "switchyard-test-orders-replica-1-replica-lag",
        "switchyard-test-orders-replica-2-replica-lag",
    ]


def test_the_types_are_state_and_stay_as_they_are() -> None:
    components = [r for d in (of_service(), of_database()) for r in d.resources if r.type != ALARM]
    assert [(r.type, r.name) for r in components] == [
        ("switchyard:monitoring:ServiceAlarms", "api"),
        ("switchyard:monitoring:DatabaseAlarms", "orders"),
    ]
