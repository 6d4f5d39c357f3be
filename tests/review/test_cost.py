"""The monthly cost of a stack: what is billed, by how much, and what is not known."""

from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from localcloud import aws_names
from review.cost import ComponentDelta, Estimate, cents, delta, estimate
from review.cost_items import Item, of_declared, of_states
from review.cost_prices import PriceTable, load
from review.cost_rules import FREE, RULES
from review.cost_usage import Usage, of_settings
from review.terraform_program import declared
from tests.unit import stacks

PRICES = load("eu-west-1")
USAGE = Usage()
REGION = "eu-west-1"


def item(
    type_: str, name: str = "it", uses: Mapping[str, Sequence[str]] | None = None, **inputs: Any
) -> Item:
    return Item(
        key=f"{type_}::{name}",
        type=type_,
        name=name,
        component="part",
        region=REGION,
        inputs=inputs,
        uses=uses or {},
    )


def bill(*items: Item, usage: Usage = USAGE) -> dict[str, Decimal]:
    """The quantity of a month by the price's key."""
    found: dict[str, Decimal] = {}
    for line in estimate(items, PRICES, usage).lines:
        found[line.key] = found.get(line.key, Decimal(0)) + line.quantity
    return found


def why(*items: Item, usage: Usage = USAGE) -> list[str]:
    return [unpriced.why for unpriced in estimate(items, PRICES, usage).unpriced]


# --- what is billed


def test_every_type_of_the_program_has_a_rule_or_is_known_to_be_free() -> None:
    assert set(aws_names.RESOURCES) - set(RULES) - FREE == set()
    assert set(RULES) & FREE == set()


def test_a_type_without_a_rule_is_unpriced_and_never_free() -> None:
    queue = item("aws:sqs/queue:Queue")
    assert why(queue) == ["aws:sqs/queue:Queue has no rule in review/cost_rules.py"]
    assert estimate([queue], PRICES, USAGE).monthly == 0


def test_what_the_table_has_no_price_for_is_unpriced() -> None:
    database = item(
        "aws:rds/instance:Instance",
        engine="postgres",
        instanceClass="db.x9.huge",
        storageType="gp3",
        allocatedStorage=20,
    )
    assert why(database) == [
        "db.x9.huge, single-AZ: no price for rds.postgres.db.x9.huge.single.hour in eu-west-1"
    ]
    assert bill(database) == {"rds.gp3.single.gb_month": Decimal(20)}


def test_what_is_in_another_region_is_unpriced() -> None:
    key = Item(
        key="k", type="aws:kms/key:Key", name="k", component="k", region="us-east-1", inputs={}, uses={}
    )
    assert why(key) == ["it is in us-east-1; the prices are of eu-west-1"]


def test_a_task_is_billed_by_cpu_memory_architecture_and_the_live_colours_count() -> None:
    definition = item(
        "aws:ecs/taskDefinition:TaskDefinition",
        cpu="512",
        memory="1024",
        runtimePlatform={"cpuArchitecture": "ARM64"},
    )
    blue, green = (
        item("aws:ecs/service:Service", name, {"taskDefinition": [definition.key]}, desiredCount=0.0)
        for name in ("blue", "green")
    )
    expected = {
        "fargate.arm64.vcpu_hour": Decimal(730) * 3 / 2,
        "fargate.arm64.gb_hour": Decimal(730) * 3,
    }
    assert bill(definition, blue, green, usage=Usage(tasks={"part": 3})) == expected
    target = item("aws:appautoscaling/target:Target", minCapacity=3.0)
    assert bill(definition, blue, green, target) == expected, "else the least that autoscaling keeps"
    assert why(definition, blue, green) == ["how many tasks run: neither assumed nor declared"]


def test_of_two_colours_of_two_sizes_the_dearer_one_is_counted() -> None:
    small, large = (
        item("aws:ecs/taskDefinition:TaskDefinition", name, cpu=cpu, memory="2048")
        for name, cpu in (("small", "256"), ("large", "1024"))
    )
    services = [
        item("aws:ecs/service:Service", "blue", {"taskDefinition": [small.key]}),
        item("aws:ecs/service:Service", "green", {"taskDefinition": [large.key]}),
    ]
    found = bill(small, large, *services, usage=Usage(tasks={"part": 1}))
    assert found["fargate.x86_64.vcpu_hour"] == 730


def test_a_load_balancer_is_billed_with_its_public_addresses() -> None:
    public = item("aws:lb/loadBalancer:LoadBalancer", subnets=["a", "b", "c"])
    assert bill(public) == {
        "alb.hour": Decimal(730),
        "alb.lcu_hour": Decimal(730),
        "ipv4.hour": Decimal(730 * 3),
    }
    internal = item("aws:lb/loadBalancer:LoadBalancer", subnets=["a"], internal=True)
    assert "ipv4.hour" not in bill(internal)


def test_an_interface_endpoint_is_billed_per_zone_and_a_gateway_endpoint_is_free() -> None:
    interface = item("aws:ec2/vpcEndpoint:VpcEndpoint", vpcEndpointType="Interface", subnetIds=["a", "b"])
    assert bill(interface)["endpoint.hour"] == 1460
    assert bill(item("aws:ec2/vpcEndpoint:VpcEndpoint", vpcEndpointType="Gateway")) == {}


def test_a_database_is_billed_by_its_zones_its_storage_and_its_password() -> None:
    inputs: dict[str, Any] = {
        "engine": "postgres",
        "instanceClass": "db.m7g.large",
        "multiAz": True,
        "storageType": "gp3",
        "allocatedStorage": 100.0,
        "manageMasterUserPassword": True,
        "backupRetentionPeriod": 35.0,
        "performanceInsightsRetentionPeriod": 731.0,
        "monitoringInterval": 15.0,
    }
    database = item("aws:rds/instance:Instance", **inputs)
    assert bill(database) == {
        "rds.postgres.db.m7g.large.multi.hour": Decimal(730),
        "rds.gp3.multi.gb_month": Decimal(100),
        "secretsmanager.secret.month": Decimal(1),
    }
    assert len(why(database)) == 2, "insights beyond a week and enhanced monitoring are billed too"
    busy = Usage(database_fill=Decimal(1), database_change_per_day=Decimal("0.01"))
    assert bill(database, usage=busy)["rds.backup.gb_month"] == 35


def test_an_alarm_is_billed_by_the_metrics_that_it_looks_at() -> None:
    metric = {"metric": {"period": 60.0}}
    expression = {"expression": "a / b"}
    alarm = "aws:cloudwatch/metricAlarm:MetricAlarm"
    assert bill(item(alarm, metricQueries=[metric, metric, expression])) == {
        "cloudwatch.alarm.metric_month": Decimal(2)
    }
    assert bill(item(alarm, period=60.0)) == {"cloudwatch.alarm.metric_month": Decimal(1)}
    assert bill(item(alarm, period=10.0)) == {"cloudwatch.alarm.high_resolution.metric_month": Decimal(1)}


def test_logs_are_billed_as_they_are_written_and_for_as_long_as_they_are_kept() -> None:
    group = item("aws:cloudwatch/logGroup:LogGroup", retentionInDays=300.0)
    assert bill(group) == {
        "cloudwatch.logs.ingested_gb": Decimal(5),
        "cloudwatch.logs.stored_gb_month": Decimal("7.5"),
    }


def test_provisioned_tables_are_unpriced() -> None:
    assert why(item("aws:dynamodb/table:Table", billingMode="PROVISIONED")) == [
        "provisioned capacity has no rule here"
    ]
    assert "dynamodb.pitr.gb_month" in bill(
        item(
            "aws:dynamodb/table:Table",
            billingMode="PAY_PER_REQUEST",
            pointInTimeRecovery={"enabled": True},
        )
    )


def test_a_cluster_with_container_insights_says_that_they_are_billed() -> None:
    on = item("aws:ecs/cluster:Cluster", settings=[{"name": "containerInsights", "value": "enabled"}])
    assert len(why(on)) == 1
    assert why(item("aws:ecs/cluster:Cluster")) == []


@pytest.mark.parametrize("type_", sorted(RULES))
def test_a_resource_of_which_nothing_is_known_stops_no_rule(type_: str) -> None:
    """An old state, or a preview, may hold nothing but unknown or secret values."""
    secret = {"4dabf18193072939515e22adb298388d": "1b47061264138c4ac30d75fd1eb44270", "ciphertext": "v1:x"}
    hidden = {"allocatedStorage": secret, "retentionInDays": secret, "metricQueries": [secret]}
    cases: list[dict[str, Any]] = [{}, hidden]
    for inputs in cases:
        found = estimate([item(type_, **inputs)], PRICES, USAGE)
        assert (
            found.lines
            or found.unpriced
            or type_
            in (
                "aws:ec2/vpcEndpoint:VpcEndpoint",
                "aws:ecs/cluster:Cluster",
            )
        ), "what is billed is either priced or said not to be"


# --- the whole


def stack_estimate(stack: str, changes: Mapping[str, Any] | None = None) -> Estimate:
    loaded = stacks.stack(stack, changes)
    return estimate(of_declared(declared(loaded)), PRICES, of_settings(loaded.settings))


def test_production_is_estimated_by_component() -> None:
    found = stack_estimate("prod")
    parts = found.by_component()
    assert found.monthly == cents(sum((line.monthly for line in found.lines), Decimal(0)))
    assert abs(sum(parts.values(), Decimal(0)) - found.monthly) < Decimal("0.01") * len(parts)
    assert {"network", "main", "api", "web", "edge"} <= set(parts)
    # Three tasks of 1 vCPU and 2 GB, and their log group stands elsewhere.
    assert parts["api"] == cents(730 * 3 * (Decimal("0.04048") + 2 * Decimal("0.004445")))
    assert found.assumptions["tasks of api"] == "3"
    assert {u.component for u in found.unpriced} == {"backups", "cluster", "main", "monitoring"}


def test_a_change_is_told_by_component_and_by_what_is_unpriced_since() -> None:
    before = stack_estimate("staging")
    after = stack_estimate("staging", {"network.nat": "per-zone", "databases.main.multi_az": False})
    found = delta(before, after)
    # Two more gateways with an address each; half a database.
    gateways = 2 * (730 * (Decimal("0.048") + Decimal("0.005")) + 50 * Decimal("0.048"))
    changes = {part.component: part.change for part in found.components}
    assert changes["network"] == cents(gateways)
    assert changes["main"] < 0
    assert found.change == found.after - found.before
    assert list(changes) == sorted(changes, key=lambda name: -abs(changes[name]))
    assert (list(found.unpriced), list(found.released)) == ([], [])


def test_no_change_costs_nothing() -> None:
    found = delta(stack_estimate("dev"), stack_estimate("dev"))
    assert found.change == 0
    assert not found.components


def test_what_is_new_and_what_is_gone_count_from_zero() -> None:
    key = item("aws:kms/key:Key")
    queue = item("aws:sqs/queue:Queue")
    nothing, something = (estimate(found, PRICES, USAGE) for found in ([], [key, queue]))
    assert delta(nothing, something).components == [
        ComponentDelta(component="part", before=Decimal(0), after=Decimal("1.00"))
    ]
    assert len(delta(nothing, something).unpriced) == 1
    assert delta(something, nothing).change == Decimal("-1.00")
    assert len(delta(something, nothing).released) == 1


def test_estimates_by_different_prices_are_not_compared() -> None:
    newer = PriceTable(region=REGION, as_of=date(2030, 1, 1), source="x", prices=PRICES.prices)
    with pytest.raises(ValueError, match="can't be compared"):
        delta(estimate([], PRICES, USAGE), estimate([], newer, USAGE))


# --- what is deployed


def states(*, multi_az: bool) -> list[dict[str, Any]]:
    """As `pulumi stack export` has them."""
    head = "urn:pulumi:prod::switchyard::"
    stack = f"{head}pulumi:pulumi:Stack::switchyard-prod"
    provider = f"{head}pulumi:providers:aws::aws-home"
    component = f"{head}switchyard:data:Database::main"
    return [
        {"urn": stack, "type": "pulumi:pulumi:Stack"},
        {"urn": provider, "type": "pulumi:providers:aws", "custom": True, "inputs": {"region": REGION}},
        {"urn": component, "type": "switchyard:data:Database", "parent": stack},
        {
            "urn": f"{head}switchyard:data:Database$aws:rds/instance:Instance::main-instance",
            "type": "aws:rds/instance:Instance",
            "custom": True,
            "parent": component,
            "provider": f"{provider}::1234-5678",
            "inputs": {
                "engine": "postgres",
                "instanceClass": "db.t4g.medium",
                "multiAz": multi_az,
                "storageType": "gp3",
                "allocatedStorage": 20,
            },
            "propertyDependencies": {"dbSubnetGroupName": [f"{head}x"]},
        },
    ]


def test_what_is_deployed_is_read_from_the_engines_state() -> None:
    (database,) = of_states(states(multi_az=True))
    assert (database.component, database.name, database.region) == ("main", "main-instance", REGION)
    assert list(database.uses) == ["dbSubnetGroupName"]
    before, after = (estimate(of_states(states(multi_az=zones)), PRICES, USAGE) for zones in (False, True))
    (part,) = delta(before, after).components
    assert part.component == "main"
    assert part.change > 0


def test_what_is_about_to_be_deleted_is_not_deployed_twice() -> None:
    *others, database = states(multi_az=True)
    assert len(of_states([*others, database, {**database, "delete": True}])) == 1
