"""Two colours of one service behind one load balancer.

Creates: a blue and a green target group, a production rule that forwards to both by weight, and a test
rule, on the listener that the world can't reach, that does the same for the idle colour.

The weights have one writer, and it is not this program: the release engine moves them. So the program
ignores exactly the weights. That alone is not safe: when something else in the same action changes
(stickiness, say), the provider writes the whole action, with the weights that the state remembers, and
traffic jumps back to an old colour. In that one case the rule is written with the weights that the load
balancer has at that moment; in every other it is not written at all.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pulumi
from pulumi_aws import lb

from components.colours import COLOURS

WEIGHTS = "actions[*].forward.targetGroups[*].weight"
# What a new stack starts with, before any release: production on blue, the test listener on green.
PRODUCTION_START = {"blue": 100, "green": 0}
TEST_START = {"blue": 0, "green": 100}
# Only a default for targets registered without a port; ECS always names the container's. As a constant
# it never forces a new target group, which would start without targets and without traffic.
TARGET_GROUP_PORT = 80


@dataclass(frozen=True, kw_only=True)
class HealthCheck:
    """How the load balancer asks a target whether it is well.

    healthy_threshold, unhealthy_threshold: consecutive answers that change its mind.
    matcher: status codes that count as well, as "200" or "200-299".
    """

    path: str
    interval_seconds: int
    timeout_seconds: int
    healthy_threshold: int
    unhealthy_threshold: int
    matcher: str


@dataclass(frozen=True, kw_only=True)
class BlueGreenArgs:
    """What a pair of colours is made from.

    priority: of both rules, unique on their listeners.
    hosts, paths: what a request must match; an empty one matches everything, both may not be empty.
    deregistration_delay_seconds: how long a target that leaves may finish its requests.
    slow_start_seconds: ramp for a target that has just become healthy; 0 for none.
    stickiness_seconds: how long a client stays with its colour; None for not at all.
    production_rule_arn, test_rule_arn: the rules that an earlier run made, which tell where to look for the
        live weights even if a priority changes; None, or an output of None, where there are none yet.
    """

    vpc_id: pulumi.Input[str]
    production_listener_arn: pulumi.Input[str]
    test_listener_arn: pulumi.Input[str]
    priority: int
    hosts: Sequence[str]
    paths: Sequence[str]
    health_check: HealthCheck
    deregistration_delay_seconds: int
    slow_start_seconds: int
    stickiness_seconds: int | None
    production_rule_arn: pulumi.Input[str | None] = None
    test_rule_arn: pulumi.Input[str | None] = None


class BlueGreen(pulumi.ComponentResource):
    """A blue and a green target group, and a rule on the production and on the test listener."""

    target_group_arns: dict[str, pulumi.Output[str]]
    target_group_arn_suffixes: dict[str, pulumi.Output[str]]
    production_rule_arn: pulumi.Output[str]
    test_rule_arn: pulumi.Output[str]

    def __init__(self, name: str, args: BlueGreenArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:release:BlueGreen", name, None, opts)
        groups = {colour: self._target_group(f"{name}-{colour}", args) for colour in COLOURS}
        self.target_group_arns = {colour: group.arn for colour, group in groups.items()}
        self.target_group_arn_suffixes = {colour: group.arn_suffix for colour, group in groups.items()}
        self.production_rule_arn = self._rule(
            f"{name}-production",
            _Rule(args.production_listener_arn, PRODUCTION_START, args.production_rule_arn),
            args,
        )
        self.test_rule_arn = self._rule(
            f"{name}-test", _Rule(args.test_listener_arn, TEST_START, args.test_rule_arn), args
        )
        self.register_outputs(
            {
                "target_group_arns": self.target_group_arns,
                "production_rule_arn": self.production_rule_arn,
                "test_rule_arn": self.test_rule_arn,
            }
        )

    def _target_group(self, name: str, args: BlueGreenArgs) -> lb.TargetGroup:
        check = args.health_check
        return lb.TargetGroup(
            name,
            vpc_id=args.vpc_id,
            target_type="ip",
            port=TARGET_GROUP_PORT,
            protocol="HTTP",
            deregistration_delay=args.deregistration_delay_seconds,
            slow_start=args.slow_start_seconds,
            health_check={
                "enabled": True,
                "path": check.path,
                "protocol": "HTTP",
                "port": "traffic-port",
                "interval": check.interval_seconds,
                "timeout": check.timeout_seconds,
                "healthy_threshold": check.healthy_threshold,
                "unhealthy_threshold": check.unhealthy_threshold,
                "matcher": check.matcher,
            },
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _rule(self, name: str, rule: "_Rule", args: BlueGreenArgs) -> pulumi.Output[str]:
        forward: lb.ListenerRuleActionForwardArgsDict = {
            "target_groups": [
                {"arn": self.target_group_arns[colour], "weight": rule.start[colour]} for colour in COLOURS
            ]
        }
        if args.stickiness_seconds is not None:
            forward["stickiness"] = {"enabled": True, "duration": args.stickiness_seconds}
        conditions: list[lb.ListenerRuleConditionArgsDict] = []
        if args.hosts:
            conditions.append({"host_header": {"values": list(args.hosts)}})
        if args.paths:
            conditions.append({"path_pattern": {"values": list(args.paths)}})

        async def keep_live_weights(
            given: pulumi.ResourceTransformArgs,
        ) -> pulumi.ResourceTransformResult | None:
            """Looks at the rule as it is before it is written."""
            wanted = await _known(given.props["actions"])
            known = await _known(rule.arn)
            address = {"arn": known} if known else await _place(given)
            live = await self._live_actions(address) if wanted and address else None
            # At a place that is new to this service there may be the rule of another one.
            if live is None or not (known or _arns(wanted) & _arns(live)):
                return None
            carried = carry_live_weights(wanted, live)
            if carried is None:
                return None
            options = pulumi.ResourceOptions.merge(given.opts, None)
            options.ignore_changes = [path for path in options.ignore_changes or [] if path != WEIGHTS]
            return pulumi.ResourceTransformResult({**given.props, "actions": carried}, options)

        made = lb.ListenerRule(
            name,
            listener_arn=rule.listener_arn,
            priority=args.priority,
            conditions=conditions,
            actions=[{"type": "forward", "forward": forward}],
            opts=pulumi.ResourceOptions(
                parent=self, ignore_changes=[WEIGHTS], transforms=[keep_live_weights]
            ),
        )
        return made.arn

    async def _live_actions(self, address: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """What the rule does now; None where there is no such rule."""
        try:
            rule = await pulumi.runtime.invoke_async(
                "aws:lb/getListenerRule:getListenerRule", dict(address), pulumi.InvokeOptions(parent=self)
            )
        except Exception as error:
            # The provider's words for a rule that is not there. Anything else (a throttled or failed call)
            # must stop the update: without the live weights it is not safe.
            if "empty result" in str(error):
                return None
            raise
        actions: list[dict[str, Any]] = rule["actions"]
        return actions


class _Rule(NamedTuple):
    """A rule to make, and the one that may be there already."""

    listener_arn: pulumi.Input[str]
    start: Mapping[str, int]
    arn: pulumi.Input[str | None]


async def _place(given: pulumi.ResourceTransformArgs) -> dict[str, Any] | None:
    """Where the rule will be; None on a new listener."""
    listener_arn = await _known(given.props["listenerArn"])
    return {"listenerArn": listener_arn, "priority": given.props["priority"]} if listener_arn else None


async def _known(value: pulumi.Input[Any]) -> Any:
    """The value of an input; None while it is unknown."""
    return await pulumi.Output.from_input(value).future()


def carry_live_weights(
    wanted: Sequence[Mapping[str, Any]], live: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]] | None:
    """The wanted actions with the live weights in them, or None where there is nothing to carry.

    That is so where nothing but weights differs, and where the live rule has no weights at all. A group that
    the live rule does not have takes the weight of the one in its place: it replaces it.
    """
    if [_shape(action) for action in wanted] == [_shape(action) for action in live]:
        return None
    live_groups = [group for action in live for group in _groups(action)]
    by_arn = {group["arn"]: group["weight"] for group in live_groups}
    if not by_arn:
        return None
    by_place = [group["weight"] for group in live_groups if group["arn"] not in _arns(wanted)]
    return [_with_weights(action, by_arn, by_place) for action in wanted]


def _with_weights(
    action: Mapping[str, Any], by_arn: Mapping[str, Any], by_place: list[Any]
) -> dict[str, Any]:
    groups = []
    for group in _groups(action):
        if group["arn"] in by_arn:
            weight = by_arn[group["arn"]]
        else:
            weight = by_place.pop(0) if by_place else group["weight"]
        groups.append({**group, "weight": int(weight)})
    return {**action, "forward": {**action["forward"], "targetGroups": groups}}


def _shape(action: Mapping[str, Any]) -> tuple[Any, ...]:
    """All of a forward action but its weights. Stickiness that is off has no duration."""
    stickiness = _block(_block(action, "forward"), "stickiness", "stickinesses")
    sticky = int(stickiness["duration"]) if stickiness.get("enabled") else None
    return action.get("type"), frozenset(group["arn"] for group in _groups(action)), sticky


def _groups(action: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list(_block(action, "forward").get("targetGroups") or [])


def _block(holder: Mapping[str, Any], name: str, listed: str | None = None) -> Mapping[str, Any]:
    """A block that a resource has as an object, and pulumi-aws's function as a list of one in the plural."""
    found: Mapping[str, Any] = holder.get(name) or next(iter(holder.get(listed or f"{name}s") or []), {})
    return found


def _arns(actions: Sequence[Mapping[str, Any]]) -> set[str]:
    return {group["arn"] for action in actions for group in _groups(action)}
