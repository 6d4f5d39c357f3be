"""Finders of load balancing (see switchyard/finders/__init__.py)."""

from switchyard.finders.look import Look


def load_balancer(look: Look) -> str | None:
    """A load balancer by name and tags."""
    return _balancing(look, "describe_load_balancers", "LoadBalancers", "LoadBalancerArn", look["name"])


def target_group(look: Look) -> str | None:
    """A target group by name and tags."""
    return _balancing(look, "describe_target_groups", "TargetGroups", "TargetGroupArn", look["name"])


def listener(look: Look) -> str | None:
    """A listener by its port: a load balancer has one for each."""
    found = look.every("elbv2", "describe_listeners", "Listeners", LoadBalancerArn=look["loadBalancerArn"])
    return next((entry["ListenerArn"] for entry in found if entry["Port"] == int(look["port"])), None)


def listener_rule(look: Look) -> str | None:
    """A rule by its priority: a listener has one for each."""
    found = look.every("elbv2", "describe_rules", "Rules", ListenerArn=look["listenerArn"])
    priority = str(int(look["priority"]))
    return next((entry["RuleArn"] for entry in found if entry["Priority"] == priority), None)


def _balancing(look: Look, call: str, result: str, key: str, name: str) -> str | None:
    for found in look.every("elbv2", call, result, Names=[name]):
        described = look.every("elbv2", "describe_tags", "TagDescriptions", ResourceArns=[found[key]])
        if any(look.is_ours(entry["Tags"]) for entry in described):
            return str(found[key])
    return None
