"""What ECS would do next with a service's tasks. Pure: a picture of the service in, a decision out.

The rules are ECS's rolling update (developer guide, "Deploy Amazon ECS services by replacing tasks"): never
fewer healthy tasks than the minimum percent of the desired count, never more tasks than the maximum.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

# Fargate's own pace is minutes; a laptop needs to see it happen.
FIRST_DELAY_SECONDS = 0.5
LONGEST_DELAY_SECONDS = 30.0
# How long a task without a target group has to run to count as started.
SETTLED_SECONDS = 1.0


class Condition(StrEnum):
    """How a task is, as far as its service cares."""

    STARTING = "starting"
    HEALTHY = "healthy"
    # Its target has been unhealthy for longer than the grace period.
    FAILING = "failing"
    # On its way out: it counts for nothing any more.
    LEAVING = "leaving"


@dataclass(frozen=True, kw_only=True)
class TaskView:
    """A task that has not ended. `order` grows with each start."""

    id: str
    deployment: str
    condition: Condition
    order: int


@dataclass(frozen=True, kw_only=True)
class ServiceView:
    """A service at one moment.

    desired: tasks that are asked for. deployment: id of the primary one, which new tasks belong to.
    held: no task may be started now: the deployment has failed, or the last start failed a moment ago.
    """

    desired: int
    deployment: str
    held: bool
    minimum_healthy_percent: int
    maximum_percent: int
    tasks: Sequence[TaskView]


class Why(StrEnum):
    """Why a task is stopped."""

    SCALING = "scaling"
    REPLACED = "replaced"
    UNHEALTHY = "unhealthy"


@dataclass(frozen=True, kw_only=True)
class Stop:
    """A task to be stopped."""

    id: str
    why: Why


@dataclass(frozen=True, kw_only=True)
class Decision:
    """How many tasks of the primary deployment to start, and which tasks to stop."""

    start: int
    stop: Sequence[Stop]


def decide(service: ServiceView) -> Decision:
    """The next step of a service towards its desired count of tasks of the primary deployment."""
    alive = [task for task in service.tasks if task.condition is not Condition.LEAVING]
    failing = [task for task in alive if task.condition is Condition.FAILING]
    new = [task for task in alive if task.deployment == service.deployment and task not in failing]
    old = [task for task in alive if task.deployment != service.deployment and task not in failing]
    ceiling = max(service.desired, service.desired * service.maximum_percent // 100)
    room = max(0, ceiling - len(new) - len(old))
    missing = max(0, service.desired - len(new))
    return Decision(
        start=0 if service.held else min(missing, room),
        stop=[
            *(Stop(id=task.id, why=Why.UNHEALTHY) for task in failing),
            *(Stop(id=task.id, why=Why.SCALING) for task in _excess(new, service.desired)),
            *(Stop(id=task.id, why=Why.REPLACED) for task in _replaced(new, old, service)),
        ],
    )


def _excess(new: Sequence[TaskView], desired: int) -> Sequence[TaskView]:
    """More than asked for: those that serve nobody yet go first, then the newest."""
    last_to_go = sorted(new, key=lambda task: (task.condition is not Condition.HEALTHY, task.order))
    return last_to_go[desired:]


def _replaced(new: Sequence[TaskView], old: Sequence[TaskView], service: ServiceView) -> Sequence[TaskView]:
    """Tasks of earlier deployments that can go now, the oldest first."""
    serving = [task for task in old if task.condition is Condition.HEALTHY]
    useless = [task for task in old if task not in serving]
    healthy = len(serving) + sum(task.condition is Condition.HEALTHY for task in new)
    floor = math.ceil(service.desired * service.minimum_healthy_percent / 100)
    spare = max(0, healthy - floor)
    return [*useless, *sorted(serving, key=lambda task: task.order)[:spare]]


def is_rolled_out(service: ServiceView) -> bool:
    """Whether the service has what is asked for: exactly the new tasks, all healthy, and nothing else."""
    wanted = [
        task
        for task in service.tasks
        if task.deployment == service.deployment and task.condition is Condition.HEALTHY
    ]
    others = [task for task in service.tasks if task.deployment != service.deployment]
    return len(wanted) == service.desired and not others


def breaker_threshold(desired: int) -> int:
    """Failed starts in a row that end a deployment.

    Half the desired count, at least 3, at most 200 (ECS developer guide, "Amazon ECS deployment circuit
    breaker").
    """
    return min(200, max(3, math.ceil(desired * 0.5)))


def delay_seconds(failures: int) -> float:
    """How long to wait before the next start, after this many failed ones in a row."""
    if failures <= 0:
        return 0.0
    return min(LONGEST_DELAY_SECONDS, FIRST_DELAY_SECONDS * 2.0 ** min(failures - 1, 16))
