"""What wakes somebody up, and what stops a release.

Creates CloudWatch alarms. `ServiceAlarms`, per colour: error rate, p99 latency, unhealthy hosts; per service:
CPU, memory, missing tasks. `DatabaseAlarms`: CPU, free storage, connections, and the lag of each replica.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.watch import Metric, Rhythm, Watch, alarm

_BYTES_PER_GIB = 1024**3


@dataclass(frozen=True, kw_only=True)
class ServiceAlarmsArgs:
    """What the alarms of a service are made from. An alarm fires above its threshold, never at it.

    name_prefix, service_name: alarms are named `<prefix>-<service>[-<colour>]-<what>`.
    cluster_name: the ECS cluster.
    ecs_service_names: ECS service by colour.
    load_balancer_arn_suffix: `app/<name>/<id>`.
    target_group_arn_suffixes: `targetgroup/<name>/<id>` by colour.
    topic_arn: gets a message when an alarm fires and when it is over.
    error_rate_percent: share of a colour's requests that the application answers with 5xx.
    latency_p99_seconds: 99th percentile of a colour's response time.
    cpu_percent, memory_percent: average utilisation of the busier colour.
    period_seconds: length of one data point; 60 is the finest that these metrics have.
    evaluation_periods: data points in a row that have to be bad.
    """

    name_prefix: str
    service_name: str
    cluster_name: pulumi.Input[str]
    ecs_service_names: Mapping[str, pulumi.Input[str]]
    load_balancer_arn_suffix: pulumi.Input[str]
    target_group_arn_suffixes: Mapping[str, pulumi.Input[str]]
    topic_arn: pulumi.Input[str]
    error_rate_percent: float
    latency_p99_seconds: float
    cpu_percent: float
    memory_percent: float
    period_seconds: int
    evaluation_periods: int


@dataclass(frozen=True, kw_only=True)
class DatabaseAlarmsArgs:
    """What the alarms of a database are made from.

    name_prefix, database_name: alarms are named `<prefix>-<database>[-<replica>]-<what>`.
    database_identifier: the RDS instance that is written to.
    replica_identifiers: RDS instance of each read replica, by a short name; may be empty.
    topic_arn: gets a message when an alarm fires and when it is over.
    cpu_percent: average CPU utilisation, above which the alarm fires.
    free_storage_gib: free storage in GiB, below which the alarm fires.
    connections: open connections, above which the alarm fires.
    replica_lag_seconds: age of a replica's data, above which the alarm fires.
    period_seconds: length of one data point; 60 is the finest that these metrics have.
    evaluation_periods: data points in a row that have to be bad.
    """

    name_prefix: str
    database_name: str
    database_identifier: pulumi.Input[str]
    replica_identifiers: Mapping[str, pulumi.Input[str]]
    topic_arn: pulumi.Input[str]
    cpu_percent: float
    free_storage_gib: float
    connections: int
    replica_lag_seconds: float
    period_seconds: int
    evaluation_periods: int


class ServiceAlarms(pulumi.ComponentResource):
    """The alarms of one service; a release gates on those of its colours."""

    alarm_names_by_colour: dict[str, list[pulumi.Output[str]]]
    service_alarm_names: list[pulumi.Output[str]]
    alarm_names: list[pulumi.Output[str]]

    def __init__(
        self, name: str, args: ServiceAlarmsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("switchyard:monitoring:ServiceAlarms", name, None, opts)
        rhythm = Rhythm(
            period_seconds=args.period_seconds,
            evaluation_periods=args.evaluation_periods,
            topic_arn=args.topic_arn,
        )
        prefix = f"{args.name_prefix}-{args.service_name}"
        self.alarm_names_by_colour = {
            colour: [
                alarm(f"{name}-{colour}", f"{prefix}-{colour}", watch, rhythm, self).name
                for watch in _colour_watches(args, colour)
            ]
            for colour in sorted(args.target_group_arn_suffixes)
        }
        self.service_alarm_names = [
            alarm(name, prefix, watch, rhythm, self).name for watch in _service_watches(args)
        ]
        of_colours = [found for names in self.alarm_names_by_colour.values() for found in names]
        self.alarm_names = of_colours + self.service_alarm_names
        self.register_outputs(
            {
                "alarm_names_by_colour": self.alarm_names_by_colour,
                "service_alarm_names": self.service_alarm_names,
                "alarm_names": self.alarm_names,
            }
        )


class DatabaseAlarms(pulumi.ComponentResource):
    """The alarms of one RDS database and its read replicas."""

    alarm_names: list[pulumi.Output[str]]

    def __init__(
        self, name: str, args: DatabaseAlarmsArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("switchyard:monitoring:DatabaseAlarms", name, None, opts)
        rhythm = Rhythm(
            period_seconds=args.period_seconds,
            evaluation_periods=args.evaluation_periods,
            topic_arn=args.topic_arn,
        )
        prefix = f"{args.name_prefix}-{args.database_name}"
        self.alarm_names = [
            alarm(name, prefix, watch, rhythm, self).name for watch in _database_watches(args)
        ] + [
            alarm(
                f"{name}-{replica}", f"{prefix}-{replica}", _replica_watch(args, replica), rhythm, self
            ).name
            for replica in sorted(args.replica_identifiers)
        ]
        self.register_outputs({"alarm_names": self.alarm_names})


def _colour_watches(args: ServiceAlarmsArgs, colour: str) -> list[Watch]:
    who = f"{args.service_name} {colour}"
    dimensions = {
        "LoadBalancer": args.load_balancer_arn_suffix,
        "TargetGroup": args.target_group_arn_suffixes[colour],
    }

    def balancer(metric: str, statistic: str) -> Metric:
        return Metric(namespace="AWS/ApplicationELB", name=metric, statistic=statistic, dimensions=dimensions)

    # Missing data is no breach here: the load balancer reports nothing for an idle colour, and a colour
    # without traffic does no harm.
    return [
        Watch(
            name="error-rate",
            description=f"{who} answers more than {args.error_rate_percent:g} % of its requests with 5xx. "
            "Look first at the newest errors in the log group of the service, then at the last release.",
            metrics={
                "errors": balancer("HTTPCode_Target_5XX_Count", "Sum"),
                "requests": balancer("RequestCount", "Sum"),
            },
            # The count of errors is missing, not 0, while there are none.
            expression="IF(requests > 0, 100 * FILL(errors, 0) / requests, 0)",
            threshold=args.error_rate_percent,
            missing_data="notBreaching",
        ),
        Watch(
            name="latency-p99",
            description=f"1 % of the requests to {who} take longer than {args.latency_p99_seconds:g} s. "
            "Look first at CPU of the service and of the database, then at slow queries.",
            metrics={"latency": balancer("TargetResponseTime", "p99")},
            threshold=args.latency_p99_seconds,
            missing_data="notBreaching",
        ),
        Watch(
            name="unhealthy-hosts",
            description=f"Tasks of {who} fail the health check of the load balancer. "
            "Look first at the events of the ECS service and why its last tasks stopped.",
            metrics={"unhealthy": balancer("UnHealthyHostCount", "Maximum")},
            threshold=0,
            missing_data="notBreaching",
        ),
    ]


def _service_watches(args: ServiceAlarmsArgs) -> list[Watch]:
    colours = sorted(args.ecs_service_names)

    def by_colour(namespace: str, metric: str, prefix: str) -> dict[str, Metric]:
        return {
            f"{prefix}_{colour}": Metric(
                namespace=namespace,
                name=metric,
                statistic="Average",
                dimensions={"ClusterName": args.cluster_name, "ServiceName": args.ecs_service_names[colour]},
            )
            for colour in colours
        }

    def utilisation(name: str, metric: str, percent: float, first: str) -> Watch:
        metrics = by_colour("AWS/ECS", metric, name)
        filled = ", ".join(f"FILL({key}, 0)" for key in metrics)
        return Watch(
            name=name,
            description=f"The busier colour of {args.service_name} uses more than {percent:g} % of its "
            f"{name}. Look first at {first}.",
            metrics=metrics,
            expression=f"MAX([{filled}])",
            threshold=percent,
            # Without a task there is nothing to measure; the alarm on missing tasks tells that.
            missing_data="notBreaching",
        )

    def missing(colour: str) -> str:
        desired, running = f"FILL(desired_{colour}, 0)", f"FILL(running_{colour}, 0)"
        return f"IF({desired} > {running}, {desired} - {running}, 0)"

    return [
        utilisation("cpu", "CPUUtilization", args.cpu_percent, "its request rate and its maximum of tasks"),
        utilisation("memory", "MemoryUtilization", args.memory_percent, "the last release for a leak"),
        Watch(
            name="missing-tasks",
            description=f"{args.service_name} runs fewer tasks than it should. Look first at the events of "
            "its ECS services: image, secrets, capacity and health checks, in this order.",
            metrics={
                **by_colour("ECS/ContainerInsights", "DesiredTaskCount", "desired"),
                **by_colour("ECS/ContainerInsights", "RunningTaskCount", "running"),
            },
            # Colour by colour: the surplus of a deployment in one must not hide a hole in the other.
            expression=" + ".join(missing(colour) for colour in colours),
            threshold=0,
            # Silence of every count means that nobody counts any more, and a service that nobody counts
            # may well be down.
            missing_data="breaching",
        ),
    ]


def _database_watches(args: DatabaseAlarmsArgs) -> list[Watch]:
    who = args.database_name

    def database(metric: str, statistic: str) -> Mapping[str, Metric]:
        return {"value": _rds(metric, statistic, args.database_identifier)}

    return [
        Watch(
            name="cpu",
            description=f"{who} uses more than {args.cpu_percent:g} % of its CPU. "
            "Look first at the top SQL of Performance Insights.",
            metrics=database("CPUUtilization", "Average"),
            threshold=args.cpu_percent,
            # A running instance always reports it: silence means that the database is down.
            missing_data="breaching",
        ),
        Watch(
            name="free-storage",
            description=f"{who} has less than {args.free_storage_gib:g} GiB of storage left. Look first at "
            "what grew (tables, replication slots), and at the limit of storage autoscaling.",
            metrics=database("FreeStorageSpace", "Minimum"),
            threshold=args.free_storage_gib * _BYTES_PER_GIB,
            fires_below=True,
            # A silent database already fires the CPU alarm; one is enough to wake up.
            missing_data="notBreaching",
        ),
        Watch(
            name="connections",
            description=f"{who} has more than {args.connections} open connections. "
            "Look first at the pools of the services: a release runs two colours at a time.",
            metrics=database("DatabaseConnections", "Maximum"),
            threshold=args.connections,
            missing_data="notBreaching",
        ),
    ]


def _replica_watch(args: DatabaseAlarmsArgs, replica: str) -> Watch:
    limit = args.replica_lag_seconds
    return Watch(
        name="replica-lag",
        description=f"Replica {replica} of {args.database_name} is more than {limit:g} s behind, or does not "
        "replicate. Look first at the state of its replication, then at long queries on it.",
        metrics={"lag": _rds("ReplicaLag", "Maximum", args.replica_identifiers[replica])},
        # RDS reports -1 while replication is broken: the worst lag of all, not the best.
        expression=f"IF(lag < 0, {limit:g} + 1, lag)",
        threshold=limit,
        # A replica that stopped reporting its lag can't be trusted to follow.
        missing_data="breaching",
    )


def _rds(metric: str, statistic: str, identifier: pulumi.Input[str]) -> Metric:
    return Metric(
        namespace="AWS/RDS", name=metric, statistic=statistic, dimensions={"DBInstanceIdentifier": identifier}
    )
