import json
from typing import Any

import pulumi

from components.dashboard import Dashboard, DashboardArgs, DashboardService, dashboard_body
from tests.unit.harness import ACCOUNT, Deployment, deploy, value_of

DASHBOARD = "aws:cloudwatch/dashboard:Dashboard"


def service(name: str) -> DashboardService:
    return DashboardService(
        name=name,
        load_balancer_arn_suffix="app/edge/1",
        target_group_arn_suffixes={
            "green": f"targetgroup/{name}-green/1",
            "blue": f"targetgroup/{name}-blue/1",
        },
        cluster_name="main",
        ecs_service_names={"green": f"{name}-green", "blue": f"{name}-blue"},
    )


def widgets(*services: str, databases: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    body = dashboard_body(region="eu-west-1", services=[service(s) for s in services], databases=databases)
    assert set(body) == {"widgets"}
    found: list[dict[str, Any]] = json.loads(json.dumps(body["widgets"]))
    return found


def graph(title: str, *, below: int, of: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = [w for w in of if w["y"] > below and w["properties"].get("title") == title]
    return found


def placed(found: list[dict[str, Any]]) -> list[tuple[str, int, int, int, int]]:
    return [
        (w["properties"].get("title") or w["properties"]["markdown"], w["x"], w["y"], w["width"], w["height"])
        for w in found
    ]


def test_each_service_is_a_title_and_two_lines_of_three_graphs() -> None:
    assert placed(widgets("api")) == [
        ("## api", 0, 0, 24, 1),
        ("Requests per minute", 0, 1, 8, 6),
        ("5xx per minute", 8, 1, 8, 6),
        ("Response time p99 (s)", 16, 1, 8, 6),
        ("Healthy hosts", 0, 7, 8, 6),
        ("CPU (%)", 8, 7, 8, 6),
        ("Memory (%)", 16, 7, 8, 6),
    ], "what users feel comes first"


def test_databases_come_last_in_a_line_of_their_own() -> None:
    assert placed(widgets("api", databases=("orders",)))[7:] == [
        ("## Databases", 0, 13, 24, 1),
        ("CPU (%)", 0, 14, 8, 6),
        ("Connections", 8, 14, 8, 6),
        ("Free storage (bytes)", 16, 14, 8, 6),
    ]


def test_no_two_widgets_overlap_and_none_leaves_the_grid() -> None:
    found = widgets("api", "web", "worker", databases=("orders", "orders-replica"))
    assert len(found) == 3 * 7 + 4
    cells = [
        (x, y)
        for w in found
        for x in range(w["x"], w["x"] + w["width"])
        for y in range(w["y"], w["y"] + w["height"])
    ]
    assert len(cells) == len(set(cells)), "CloudWatch refuses nothing here; it shows a mess"
    assert {x for x, _ in cells} == set(range(24)), "24 columns, all of them used"
    assert {y for _, y in cells} == set(range(max(y for _, y in cells) + 1)), "and no hole between blocks"


def test_a_stack_without_databases_has_no_empty_block() -> None:
    assert "## Databases" not in [title for title, *_ in placed(widgets("api"))]


def test_traffic_is_drawn_by_colour_in_its_own_colour() -> None:
    found = widgets("api")
    expected = {
        "Requests per minute": ("RequestCount", "Sum"),
        "5xx per minute": ("HTTPCode_Target_5XX_Count", "Sum"),
        "Response time p99 (s)": ("TargetResponseTime", "p99"),
        "Healthy hosts": ("HealthyHostCount", "Minimum"),
    }
    for title, (metric, statistic) in expected.items():
        assert graph(title, below=0, of=found)["properties"]["metrics"] == [
            [
                "AWS/ApplicationELB",
                metric,
                "LoadBalancer",
                "app/edge/1",
                "TargetGroup",
                f"targetgroup/api-{colour}/1",
                {"color": line, "label": colour, "stat": statistic},
            ]
            for colour, line in (("blue", "#1f77b4"), ("green", "#2ca02c"))
        ], f"{title}: a release is watched by comparing the two"


def test_utilisation_is_that_of_the_ecs_services() -> None:
    found = widgets("api")
    for title, metric in (("CPU (%)", "CPUUtilization"), ("Memory (%)", "MemoryUtilization")):
        assert graph(title, below=0, of=found)["properties"]["metrics"] == [
            [
                "AWS/ECS",
                metric,
                "ClusterName",
                "main",
                "ServiceName",
                f"api-{colour}",
                {"color": line, "label": colour, "stat": "Average"},
            ]
            for colour, line in (("blue", "#1f77b4"), ("green", "#2ca02c"))
        ]


def test_every_database_is_a_line_in_each_of_its_graphs() -> None:
    found = widgets(databases=("orders", "orders-replica"))
    expected = {
        "CPU (%)": ("CPUUtilization", "Average"),
        "Connections": ("DatabaseConnections", "Maximum"),
        "Free storage (bytes)": ("FreeStorageSpace", "Minimum"),
    }
    for title, (metric, statistic) in expected.items():
        assert graph(title, below=0, of=found)["properties"]["metrics"] == [
            ["AWS/RDS", metric, "DBInstanceIdentifier", database, {"label": database, "stat": statistic}]
            for database in ("orders", "orders-replica")
        ]


def test_a_graph_names_its_region_and_starts_at_zero() -> None:
    properties = dict(graph("CPU (%)", below=0, of=widgets("api"))["properties"])
    del properties["metrics"]
    assert properties == {
        "title": "CPU (%)",
        "view": "timeSeries",
        "region": "eu-west-1",
        "period": 60,
        "yAxis": {"left": {"min": 0}},
    }, "an axis that does not start at zero makes noise look like an outage"


def dashboard() -> Deployment:
    def program() -> Dashboard:
        late = DashboardService(
            name="api",
            load_balancer_arn_suffix=pulumi.Output.from_input("app/edge/1"),
            target_group_arn_suffixes={"blue": pulumi.Output.from_input("targetgroup/api-blue/1")},
            cluster_name=pulumi.Output.from_input("main"),
            ecs_service_names={"blue": pulumi.Output.from_input("api-blue")},
        )
        args = DashboardArgs(
            dashboard_name="switchyard-test",
            region="eu-west-1",
            services=[late],
            databases=[pulumi.Output.from_input("orders")],
        )
        return Dashboard("main", args)

    return deploy(program)


def test_a_stack_has_one_dashboard_and_its_json_never_changes_by_itself() -> None:
    deployment = dashboard()
    assert deployment.count() == {DASHBOARD: 1}
    found = deployment.one(DASHBOARD)
    body = dashboard_body(
        region="eu-west-1",
        services=[
            DashboardService(
                name="api",
                load_balancer_arn_suffix="app/edge/1",
                target_group_arn_suffixes={"blue": "targetgroup/api-blue/1"},
                cluster_name="main",
                ecs_service_names={"blue": "api-blue"},
            )
        ],
        databases=["orders"],
    )
    assert found.inputs == {
        "dashboardName": "switchyard-test",
        "dashboardBody": json.dumps(body, sort_keys=True),
    }, "what is known late is filled in"
    assert found.parent == "main"


def test_callers_get_the_dashboards_name_and_arn() -> None:
    made = dashboard().result
    assert value_of(made.name) == "switchyard-test"
    assert value_of(made.arn) == f"arn:aws:cloudwatch::{ACCOUNT}:dashboard/main-dashboard"


def test_titles_are_text_and_graphs_are_metrics() -> None:
    assert [w["type"] for w in widgets("api")] == ["text"] + ["metric"] * 6


def test_the_type_is_state_and_stays_as_it_is() -> None:
    (component,) = [r for r in dashboard().resources if r.type != DASHBOARD]
    assert (component.type, component.name) == ("switchyard:monitoring:Dashboard", "main")
