from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pulumi
import pytest

from components.blue_green import BlueGreen, BlueGreenArgs, HealthCheck
from tests.unit.harness import ACCOUNT, REGION, Deployment, deploy, transformed, value_of

GROUP = "aws:lb/targetGroup:TargetGroup"
RULE = "aws:lb/listenerRule:ListenerRule"
LIVE = "aws:lb/getListenerRule:getListenerRule"
WEIGHTS = "actions[*].forward.targetGroups[*].weight"
BLUE = f"arn:aws:TargetGroup:{REGION}:{ACCOUNT}:api-blue"
GREEN = f"arn:aws:TargetGroup:{REGION}:{ACCOUNT}:api-green"
ARGS = BlueGreenArgs(
    vpc_id="vpc-1",
    production_listener_arn="arn:production",
    test_listener_arn="arn:test",
    priority=10,
    hosts=["shop.example.com"],
    paths=["/api/*", "/v2/*"],
    health_check=HealthCheck(
        path="/healthz",
        interval_seconds=10,
        timeout_seconds=5,
        healthy_threshold=2,
        unhealthy_threshold=3,
        matcher="200-204",
    ),
    deregistration_delay_seconds=60,
    slow_start_seconds=30,
    stickiness_seconds=None,
)
STICKY = replace(ARGS, stickiness_seconds=600)


def colours(args: BlueGreenArgs = ARGS) -> Deployment:
    return deploy(lambda: BlueGreen("api", args))


def groups(blue: int, green: int) -> list[dict[str, Any]]:
    return [{"arn": BLUE, "weight": blue}, {"arn": GREEN, "weight": green}]


def live(blue: int, green: int, stickiness: dict[str, Any] | None = None) -> dict[str, Any]:
    """The rule as the load balancer has it, stickiness and order spelled out as AWS does."""
    off = {"enabled": False, "duration": 3600}
    forward = {"targetGroups": groups(blue, green), "stickiness": stickiness or off}
    return {"actions": [{"type": "forward", "order": 1, "forward": forward}], "priority": 10}


# --- what is registered


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_a_target_group_is_exactly_this(colour: str) -> None:
    assert colours().one(GROUP, f"api-{colour}").inputs == {
        "vpcId": "vpc-1",
        "targetType": "ip",
        "port": 80,
        "protocol": "HTTP",
        "deregistrationDelay": 60,
        "slowStart": 30,
        "healthCheck": {
            "enabled": True,
            "path": "/healthz",
            "protocol": "HTTP",
            "port": "traffic-port",
            "interval": 10,
            "timeout": 5,
            "healthyThreshold": 2,
            "unhealthyThreshold": 3,
            "matcher": "200-204",
        },
    }, "the port is a constant: another one would replace the group, which then has no targets"


@pytest.mark.parametrize(
    ("name", "listener", "blue", "green"),
    [("api-production", "arn:production", 100, 0), ("api-test", "arn:test", 0, 100)],
)
def test_a_rule_starts_exactly_like_this(name: str, listener: str, blue: int, green: int) -> None:
    rule = colours().one(RULE, name)
    assert rule.inputs == {
        "listenerArn": listener,
        "priority": 10,
        "conditions": [
            {"hostHeader": {"values": ["shop.example.com"]}},
            {"pathPattern": {"values": ["/api/*", "/v2/*"]}},
        ],
        "actions": [{"type": "forward", "forward": {"targetGroups": groups(blue, green)}}],
    }, "production starts on blue, the test listener on green, and both groups are always declared"
    assert rule.ignore_changes == (WEIGHTS,), "nothing wider: a new group or stickiness has to arrive"


def test_a_pair_of_colours_is_two_groups_and_two_rules_and_nothing_else() -> None:
    deployment = colours()
    assert deployment.count() == {GROUP: 2, RULE: 2}
    assert [r.name for r in deployment.of(GROUP)] == ["api-blue", "api-green"]
    assert [r.parent for r in (*deployment.of(GROUP), *deployment.of(RULE))] == ["api"] * 4
    assert [r.ignore_changes for r in deployment.of(GROUP)] == [(), ()]


def test_a_group_is_made_before_the_old_one_goes_or_the_rule_would_point_at_nothing() -> None:
    assert [r.delete_before_replace for r in colours().of(GROUP)] == [False, False]


@pytest.mark.parametrize(
    ("hosts", "paths", "conditions"),
    [
        (["a.example.com"], [], [{"hostHeader": {"values": ["a.example.com"]}}]),
        ([], ["/*"], [{"pathPattern": {"values": ["/*"]}}]),
    ],
)
def test_what_is_empty_is_no_condition(
    hosts: Sequence[str], paths: Sequence[str], conditions: list[Any]
) -> None:
    for rule in ("api-production", "api-test"):
        found = colours(replace(ARGS, hosts=hosts, paths=paths)).one(RULE, rule)
        assert found.inputs["conditions"] == conditions, "an empty condition matches nothing on AWS"


@pytest.mark.parametrize("rule", ["api-production", "api-test"])
def test_a_client_stays_with_its_colour_only_if_that_is_asked_for(rule: str) -> None:
    assert "stickiness" not in colours().one(RULE, rule).inputs["actions"][0]["forward"]
    assert colours(STICKY).one(RULE, rule).inputs["actions"][0]["forward"]["stickiness"] == {
        "enabled": True,
        "duration": 600,
    }


def test_callers_get_each_colours_group_and_each_rule() -> None:
    api: BlueGreen = colours().result
    suffix = "TargetGroup/api-{}/0123456789abcdef"
    assert {colour: value_of(arn) for colour, arn in api.target_group_arns.items()} == {
        "blue": BLUE,
        "green": GREEN,
    }
    assert {colour: value_of(arn) for colour, arn in api.target_group_arn_suffixes.items()} == {
        "blue": suffix.format("blue"),
        "green": suffix.format("green"),
    }
    assert value_of(api.production_rule_arn).endswith(":api-production")
    assert value_of(api.test_rule_arn).endswith(":api-test")


# --- what is done to a rule before it is written


def test_a_rule_that_differs_in_nothing_but_weights_is_left_to_its_writer() -> None:
    deployment = colours()
    assert transformed(deployment, RULE, "api-production", answers={LIVE: live(30, 70)}) is None
    assert deployment.calls == [(LIVE, {"listenerArn": "arn:production", "priority": 10})]


@pytest.mark.parametrize(("rule", "listener"), [("api-production", "production"), ("api-test", "test")])
def test_a_rule_that_changes_in_anything_else_is_written_with_the_live_weights(
    rule: str, listener: str
) -> None:
    deployment = colours(STICKY)
    result = transformed(deployment, RULE, rule, answers={LIVE: live(30, 70)})
    assert deployment.calls == [(LIVE, {"listenerArn": f"arn:{listener}", "priority": 10})]
    assert result is not None
    registered = deployment.one(RULE, rule).inputs
    forward = {"targetGroups": groups(30, 70), "stickiness": {"enabled": True, "duration": 600}}
    assert result.props == {**registered, "actions": [{"type": "forward", "forward": forward}]}
    assert result.opts.ignore_changes == [], "weights that are ignored would be those of the state"


def test_what_else_is_ignored_stays_ignored_when_live_weights_are_written() -> None:
    deployment = colours(STICKY)
    rule = deployment.one(RULE, "api-production")
    deployment.resources[deployment.resources.index(rule)] = replace(
        rule, ignore_changes=("tags", WEIGHTS, "priority")
    )
    result = transformed(deployment, RULE, "api-production", answers={LIVE: live(30, 70)})
    assert result is not None
    assert result.opts.ignore_changes == ["tags", "priority"]


def test_a_rule_that_is_not_there_yet_is_written_as_it_starts() -> None:
    gone = Exception("invoke of aws:lb/getListenerRule:getListenerRule failed: reading rule: empty result")
    assert transformed(colours(STICKY), RULE, "api-production", answers={LIVE: gone}) is None


@pytest.mark.parametrize("words", ["Throttling: rate exceeded", "couldn't find resource", "AccessDenied"])
def test_an_update_stops_where_the_live_weights_cannot_be_known(words: str) -> None:
    with pytest.raises(Exception, match=words):
        transformed(colours(STICKY), RULE, "api-production", answers={LIVE: Exception(words)})


@pytest.mark.parametrize("unknown", ["listenerArn", "actions"])
def test_nothing_is_looked_up_while_the_listener_or_a_group_is_not_known(unknown: str) -> None:
    deployment = colours(STICKY)
    changed = {unknown: pulumi.output.Unknown()}  # type: ignore[no-untyped-call]
    assert transformed(deployment, RULE, "api-production", changed=changed) is None
    assert deployment.calls == []


def test_the_live_rule_is_asked_for_with_the_stacks_own_credentials() -> None:
    def program() -> None:
        provider = pulumi.ProviderResource("aws", "aws-home", {})
        BlueGreen("api", STICKY, pulumi.ResourceOptions(provider=provider))

    deployment = deploy(program)
    transformed(deployment, RULE, "api-production", answers={LIVE: live(30, 70)})
    (provider,) = deployment.call_providers
    assert provider.endswith("::aws-home::aws-home-id"), "the default provider is switched off"


def test_the_live_rule_is_understood_as_pulumi_aws_spells_it() -> None:
    """pulumi_aws.lb.outputs: GetListenerRuleActionResult has forwards, its forward has stickinesses."""
    (forward,) = (action["forward"] for action in live(30, 70)["actions"])
    listed = {"targetGroups": forward["targetGroups"], "stickinesses": [forward["stickiness"]]}
    answer = {"actions": [{"type": "forward", "order": 1, "forwards": [listed]}], "priority": 10}
    assert transformed(colours(), RULE, "api-production", answers={LIVE: answer}) is None
    result = transformed(colours(STICKY), RULE, "api-production", answers={LIVE: answer})
    assert result is not None
    forward = {"targetGroups": groups(30, 70), "stickiness": {"enabled": True, "duration": 600}}
    assert result.props == {
        **colours(STICKY).one(RULE, "api-production").inputs,
        "actions": [{"type": "forward", "forward": forward}],
    }


def test_the_rule_of_an_earlier_run_is_found_by_its_arn_whatever_its_priority() -> None:
    args = replace(STICKY, production_rule_arn="arn:rule", test_rule_arn="arn:test-rule")
    deployment = colours(args)
    for name in ("api-production", "api-test"):
        transformed(deployment, RULE, name, answers={LIVE: live(30, 70)}, changed={"priority": 20})
    assert deployment.calls == [(LIVE, {"arn": "arn:rule"}), (LIVE, {"arn": "arn:test-rule"})], (
        "at the new priority there may be the rule of another service, with weights of its own"
    )


def test_a_rule_that_an_earlier_run_did_not_make_is_looked_for_in_its_place() -> None:
    def program() -> None:
        nothing: pulumi.Output[str | None] = pulumi.Output.from_input(None)
        BlueGreen("api", replace(STICKY, production_rule_arn=nothing))

    deployment = deploy(program)
    transformed(deployment, RULE, "api-production", answers={LIVE: live(30, 70)})
    assert deployment.calls == [(LIVE, {"listenerArn": "arn:production", "priority": 10})]


def test_the_rule_of_another_service_at_the_same_place_gives_no_weights() -> None:
    """A new service may take a priority that another one gives up in the same update."""
    answer = live(40, 60)
    for group in answer["actions"][0]["forward"]["targetGroups"]:
        group["arn"] += "-of-another-service"
    assert transformed(colours(), RULE, "api-production", answers={LIVE: answer}) is None
