"""A task's place in its service's target groups, through the embedded load balancer."""

import contextlib
from collections.abc import Sequence
from typing import Any

from moto.core.exceptions import ServiceException
from moto.elbv2.exceptions import TargetGroupNotFoundError
from moto.elbv2.models import elbv2_backends

from localcloud.aws.ecs import ADDRESS

DELAY = "deregistration_delay.timeout_seconds"
# AWS's own default.
DEFAULT_DELAY_SECONDS = 300.0
# From bad to good; what a task is worth is what its worst target group says.
_STATES = ("unhealthy", "draining", "initial", "unavailable", "unused", "healthy")
# The last two say that nobody checks: no rule uses the group, or its checks are off.
GOOD = frozenset({"healthy", "unused", "unavailable"})


class Targets:
    """The target groups of one service. One that is gone is nobody's concern any more."""

    def __init__(self, account: str, region: str, arns: Sequence[str]) -> None:
        self._backend: Any = elbv2_backends[account][region]
        self._arns = tuple(arns)

    def __bool__(self) -> bool:
        """Whether there are any."""
        return bool(self._arns)

    def register(self, port: int) -> None:
        """A new target in each group."""
        for arn in self._known():
            with contextlib.suppress(TargetGroupNotFoundError):
                self._backend.register_targets(arn, [_target(port)])

    def deregister(self, port: int) -> None:
        """No new request from now on; those in flight may end while it drains."""
        for arn in self._known():
            # Somebody may have taken it out by hand.
            with contextlib.suppress(ServiceException):
                self._backend.deregister_targets(arn, [_target(port)])

    def state(self, port: int) -> str | None:
        """What the load balancer says of the target, the worst of all groups; None if no group has it."""
        found = {state for arn in self._known() if (state := self._state(arn, port)) is not None}
        return next((state for state in _STATES if state in found), None)

    def _state(self, arn: str, port: int) -> str | None:
        try:
            found = self._backend.describe_target_health(arn, [])
        except TargetGroupNotFoundError:
            return None
        for health in found:
            if (health.instance_id, int(health.port)) == (ADDRESS, port):
                state: str = health.status
                return state
        return None

    def delay_seconds(self) -> float:
        """The longest deregistration delay of the groups; 0 without any."""
        groups = [self._backend.target_groups.get(arn) for arn in self._arns]
        delays = [float(group.attributes.get(DELAY, DEFAULT_DELAY_SECONDS)) for group in groups if group]
        return max(delays, default=0.0)

    def _known(self) -> Sequence[str]:
        return [arn for arn in self._arns if arn in self._backend.target_groups]


def _target(port: int) -> dict[str, Any]:
    return {"Id": ADDRESS, "Port": port}
