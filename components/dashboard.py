"""The one picture of a stack.

Creates: one CloudWatch dashboard with a block for each service (blue and green side by side) and one for
the databases.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import cloudwatch

COLUMNS = 24  # the width of every CloudWatch dashboard
_WIDGET_WIDTH = 8
_WIDGET_HEIGHT = 6
_TITLE_HEIGHT = 1
_LINE_COLOURS = {"blue": "#1f77b4", "green": "#2ca02c"}

Line = Sequence[object]
Widget = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class DashboardService:
    """What the dashboard shows of one service.

    name: title of its block.
    load_balancer_arn_suffix: `app/<name>/<id>`.
    target_group_arn_suffixes: `targetgroup/<name>/<id>` by colour.
    cluster_name: its ECS cluster.
    ecs_service_names: its ECS services by colour.
    """

    name: str
    load_balancer_arn_suffix: pulumi.Input[str]
    target_group_arn_suffixes: Mapping[str, pulumi.Input[str]]
    cluster_name: pulumi.Input[str]
    ecs_service_names: Mapping[str, pulumi.Input[str]]


@dataclass(frozen=True, kw_only=True)
class DashboardArgs:
    """What a dashboard is made from.

    dashboard_name: its name, unique in the account (dashboards are global).
    region: region of the metrics.
    services: one block each, in this order.
    databases: identifiers of RDS instances; empty leaves the block out.
    """

    dashboard_name: str
    region: pulumi.Input[str]
    services: Sequence[DashboardService]
    databases: Sequence[pulumi.Input[str]]


def dashboard_body(
    *,
    region: pulumi.Input[str],
    services: Sequence[DashboardService],
    databases: Sequence[pulumi.Input[str]],
) -> Mapping[str, Sequence[Widget]]:
    """The body of the dashboard: blocks from top to bottom, three graphs in a line."""
    blocks = [(service.name, _service_graphs(service)) for service in services]
    if databases:
        blocks.append(("Databases", _database_graphs(databases)))
    widgets: list[Widget] = []
    top = 0
    for title, graphs in blocks:
        widgets.append(_title(title, top))
        top += _TITLE_HEIGHT
        for index, (heading, lines) in enumerate(graphs.items()):
            line, place = divmod(index, COLUMNS // _WIDGET_WIDTH)
            position = (place * _WIDGET_WIDTH, top + line * _WIDGET_HEIGHT)
            widgets.append(_graph(heading, lines, position, region))
        top += -(-len(graphs) * _WIDGET_WIDTH // COLUMNS) * _WIDGET_HEIGHT
    return {"widgets": widgets}


def _service_graphs(service: DashboardService) -> Mapping[str, Sequence[Line]]:
    def balancer(metric: str, statistic: str) -> list[Line]:
        return [
            [
                "AWS/ApplicationELB",
                metric,
                "LoadBalancer",
                service.load_balancer_arn_suffix,
                "TargetGroup",
                target_group,
                _style(colour, statistic),
            ]
            for colour, target_group in sorted(service.target_group_arn_suffixes.items())
        ]

    def tasks(metric: str) -> list[Line]:
        return [
            [
                "AWS/ECS",
                metric,
                "ClusterName",
                service.cluster_name,
                "ServiceName",
                ecs_service,
                _style(colour, "Average"),
            ]
            for colour, ecs_service in sorted(service.ecs_service_names.items())
        ]

    return {
        "Requests per minute": balancer("RequestCount", "Sum"),
        "5xx per minute": balancer("HTTPCode_Target_5XX_Count", "Sum"),
        "Response time p99 (s)": balancer("TargetResponseTime", "p99"),
        "Healthy hosts": balancer("HealthyHostCount", "Minimum"),
        "CPU (%)": tasks("CPUUtilization"),
        "Memory (%)": tasks("MemoryUtilization"),
    }


def _database_graphs(databases: Sequence[pulumi.Input[str]]) -> Mapping[str, Sequence[Line]]:
    def instances(metric: str, statistic: str) -> list[Line]:
        return [
            ["AWS/RDS", metric, "DBInstanceIdentifier", database, {"label": database, "stat": statistic}]
            for database in databases
        ]

    return {
        "CPU (%)": instances("CPUUtilization", "Average"),
        "Connections": instances("DatabaseConnections", "Maximum"),
        "Free storage (bytes)": instances("FreeStorageSpace", "Minimum"),
    }


def _style(colour: str, statistic: str) -> Mapping[str, str]:
    return {"color": _LINE_COLOURS[colour], "label": colour, "stat": statistic}


def _title(title: str, top: int) -> Widget:
    return {
        "type": "text",
        "x": 0,
        "y": top,
        "width": COLUMNS,
        "height": _TITLE_HEIGHT,
        "properties": {"markdown": f"## {title}"},
    }


def _graph(
    heading: str, lines: Sequence[Line], position: tuple[int, int], region: pulumi.Input[str]
) -> Widget:
    x, y = position
    return {
        "type": "metric",
        "x": x,
        "y": y,
        "width": _WIDGET_WIDTH,
        "height": _WIDGET_HEIGHT,
        "properties": {
            "title": heading,
            "view": "timeSeries",
            "region": region,
            "period": 60,
            "metrics": lines,
            "yAxis": {"left": {"min": 0}},
        },
    }


class Dashboard(pulumi.ComponentResource):
    """A CloudWatch dashboard that shows both colours of every service, and the databases."""

    arn: pulumi.Output[str]
    name: pulumi.Output[str]

    def __init__(self, name: str, args: DashboardArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:monitoring:Dashboard", name, None, opts)
        body = dashboard_body(region=args.region, services=args.services, databases=args.databases)
        dashboard = cloudwatch.Dashboard(
            f"{name}-dashboard",
            dashboard_name=args.dashboard_name,
            dashboard_body=pulumi.Output.json_dumps(body, sort_keys=True),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.arn = dashboard.dashboard_arn
        self.name = dashboard.dashboard_name
        self.register_outputs({"arn": self.arn, "name": self.name})
