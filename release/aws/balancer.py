"""The weights of listener rules: the only thing of AWS that moves traffic."""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any

from components.colours import COLOURS, Colour
from release.aws.outputs import ServiceParts
from release.aws.session import asking, complete
from release.errors import NeedsPerson, Refused, Unavailable
from release.ports import Listener, Routing, Weights

if TYPE_CHECKING:
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client

Rule = Mapping[str, Any]


class RuleBalancer:
    """Reads and writes the weights of the services' production and test rules."""

    def __init__(self, elbv2: "ElasticLoadBalancingv2Client", services: Mapping[str, ServiceParts]) -> None:
        self._elbv2 = elbv2
        self._services = services

    def read(self, service: str) -> Routing:
        """The live weights of both rules. Raises NeedsPerson for a rule that is gone or not as we made it."""
        parts = self._parts(service)
        rules = self._rules([parts.production_rule, parts.test_rule])
        return Routing(
            production=_weights(rules[parts.production_rule], parts),
            test=_weights(rules[parts.test_rule], parts),
        )

    def write(self, service: str, listener: Listener, weights: Weights) -> None:
        """Sets the weights of one rule; all else of it is sent back as it was read.

        A call that failed may have been carried out all the same: read again before anything is concluded.
        """
        _check(service, weights)
        parts = self._parts(service)
        arn = parts.production_rule if listener == "production" else parts.test_rule
        actions = _with_weights(self._rules([arn])[arn], parts, weights)
        with asking(f"set the {listener} weights of {service} to {dict(weights)}"):
            complete(self._elbv2.modify_rule(RuleArn=arn, Actions=actions), "Rules")

    def _rules(self, arns: Sequence[str]) -> dict[str, Rule]:
        found: dict[str, Rule] = {}
        with asking(f"read the listener rules {', '.join(arns)}"):
            for page in self._elbv2.get_paginator("describe_rules").paginate(RuleArns=list(arns)):
                found |= {rule["RuleArn"]: rule for rule in page["Rules"]}
        if missing := [arn for arn in arns if arn not in found]:
            raise NeedsPerson(
                f"the load balancer has no rule {', '.join(missing)}: somebody deleted it; "
                "`pulumi up --refresh` makes it again"
            )
        return found

    def _parts(self, service: str) -> ServiceParts:
        if service not in self._services:
            raise Refused(f"the stack has no service {service}; it has: {', '.join(sorted(self._services))}")
        return self._services[service]


def _check(service: str, weights: Weights) -> None:
    whole = set(weights) == set(COLOURS) and all(0 <= weight <= 100 for weight in weights.values())
    if not whole or sum(weights.values()) != 100:
        raise ValueError(f"weights of {service} are {dict(weights)}: give both colours, 100 together")


def _forward(rule: Rule, parts: ServiceParts) -> Mapping[str, Any]:
    """The one forward action of the rule, to exactly the two colours. Raises NeedsPerson."""
    forwards = [action for action in rule["Actions"] if action.get("Type") == "forward"]
    groups = [
        group["TargetGroupArn"]
        for action in forwards
        for group in action.get("ForwardConfig", {}).get("TargetGroups", [])
    ]
    if len(forwards) != 1 or sorted(groups) != sorted(parts.target_groups.values()):
        raise NeedsPerson(
            f"the rule {rule['RuleArn']} forwards to {', '.join(groups) or 'nothing'}, and not to exactly "
            f"{' and '.join(sorted(parts.target_groups.values()))}: somebody changed it; "
            "`pulumi up --refresh` puts it right"
        )
    return forwards[0]  # type: ignore[no-any-return]


def _weights(rule: Rule, parts: ServiceParts) -> dict[Colour, int]:
    by_arn = {
        group["TargetGroupArn"]: group for group in _forward(rule, parts)["ForwardConfig"]["TargetGroups"]
    }
    # AWS answers the weight of each of several groups; without one, nothing may be assumed.
    missing = [arn for arn, group in by_arn.items() if group.get("Weight") is None]
    if missing:
        raise Unavailable(f"AWS does not tell the weight of {', '.join(missing)} in {rule['RuleArn']}")
    return {colour: int(by_arn[parts.target_groups[colour]]["Weight"]) for colour in COLOURS}


def _with_weights(rule: Rule, parts: ServiceParts, weights: Weights) -> list[Any]:
    """The rule's own actions with other weights in them."""
    forward = _forward(rule, parts)
    wanted = {parts.target_groups[colour]: weights[colour] for colour in COLOURS}
    actions = []
    for action in rule["Actions"]:
        kept = deepcopy(dict(action))
        if action is forward:
            for group in kept["ForwardConfig"]["TargetGroups"]:
                group["Weight"] = wanted[group["TargetGroupArn"]]
        if "AuthenticateOidcConfig" in kept:
            # AWS never tells the client's secret; without this it would have to be sent along.
            kept["AuthenticateOidcConfig"]["UseExistingClientSecret"] = True
        actions.append(kept)
    return actions
