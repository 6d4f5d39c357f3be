"""Counts, health and scaling of the colours: two ECS services per service, each with a target group."""

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from components.colours import Colour
from release.aws.outputs import StackParts
from release.aws.session import asking, complete
from release.errors import NeedsPerson, ReleaseError, Unavailable
from release.ports import ColourState, Images

if TYPE_CHECKING:
    from mypy_boto3_application_autoscaling import ApplicationAutoScalingClient
    from mypy_boto3_application_autoscaling.type_defs import SuspendedStateTypeDef
    from mypy_boto3_ecs import ECSClient
    from mypy_boto3_ecs.type_defs import ServiceTypeDef
    from mypy_boto3_elbv2 import ElasticLoadBalancingv2Client

What = Literal["none", "in", "all"]

HEALTHY = "healthy"
# These finish what they have and get nothing new: they count neither as healthy nor against the colour.
LEAVING = frozenset({"draining", "unhealthy.draining"})
DIMENSION: Literal["ecs:service:DesiredCount"] = "ecs:service:DesiredCount"
# A scheduled action may lower the limits as well as raise them, so it waits as long as scale-in does.
SUSPENDED: Mapping[What, "SuspendedStateTypeDef"] = {
    "none": {
        "DynamicScalingInSuspended": False,
        "DynamicScalingOutSuspended": False,
        "ScheduledScalingSuspended": False,
    },
    "in": {
        "DynamicScalingInSuspended": True,
        "DynamicScalingOutSuspended": False,
        "ScheduledScalingSuspended": True,
    },
    "all": {
        "DynamicScalingInSuspended": True,
        "DynamicScalingOutSuspended": True,
        "ScheduledScalingSuspended": True,
    },
}


class EcsFleet:
    """The colours of the stack's services on ECS.

    images: what the colours should run. ECS goes back to an older version by itself when the tasks of a new
        one don't start; that is healthy then, and must not be taken for the new one.
    minimums: least number of tasks of a colour that takes traffic, by service.
    """

    def __init__(
        self,
        *,
        ecs: "ECSClient",
        elbv2: "ElasticLoadBalancingv2Client",
        autoscaling: "ApplicationAutoScalingClient",
        images: Images,
        parts: StackParts,
        minimums: Mapping[str, int],
    ) -> None:
        self._ecs = ecs
        self._elbv2 = elbv2
        self._autoscaling = autoscaling
        self._images = images
        self._parts = parts
        self._minimums = dict(minimums)
        # A task definition never changes.
        self._images_of: dict[str, frozenset[str]] = {}

    def state(self, service: str, colour: Colour) -> ColourState:
        """How the colour is now. Raises NeedsPerson for an ECS service or target group that is gone."""
        name = self._parts.service(service).ecs_services[colour]
        with asking(f"look at the ECS service {name}"):
            found = self._service(name)
            desired, running = found["desiredCount"], found["runningCount"]
            deployments = found["deployments"]
        targets = self._targets(service, colour)
        return ColourState(
            desired=desired,
            running=running,
            healthy=targets[HEALTHY],
            unhealthy=sum(n for state, n in targets.items() if state != HEALTHY and state not in LEAVING),
            rollout_failed=_gave_up(deployments) or self._other_version(service, colour, deployments),
        )

    def scale(self, service: str, colour: Colour, count: int) -> None:
        """Sets the desired count, and nothing else of the ECS service.

        A colour that wakes from nothing gets a deployment of its own: ECS's circuit breaker watches only a
        deployment that is under way, and would let tasks that can't start crash for ever.
        https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-circuit-breaker.html
        """
        if count < 0:
            raise ValueError(f"{service} {colour} can't have {count} tasks: give 0 or more")
        name = self._parts.service(service).ecs_services[colour]
        with asking(f"set the desired count of the ECS service {name} to {count}"):
            wakes = count > 0 and self._service(name)["desiredCount"] == 0
            answer = self._ecs.update_service(
                cluster=self._parts.cluster, service=name, desiredCount=count, forceNewDeployment=wakes
            )
            now = answer["service"]["desiredCount"]
        if now != count:
            raise Unavailable(
                f"ECS was told to run {count} tasks of {name} and answers that it will run {now}"
            )

    def suspend(self, service: str, colour: Colour, what: What) -> None:
        """Suspends scale-in or all scaling, or resumes it; nothing happens for a colour without a target.

        The limits are not sent: AWS leaves what is not sent as it is, also if somebody changes it just now.
        https://docs.aws.amazon.com/autoscaling/application/APIReference/API_RegisterScalableTarget.html
        """
        name = self._parts.service(service).ecs_services[colour]
        resource = f"service/{self._parts.cluster}/{name}"
        if self._suspended(resource) in (None, SUSPENDED[what]):
            return
        with asking(f"set what is suspended of the scaling of {name}"):
            answer = self._autoscaling.register_scalable_target(
                ServiceNamespace="ecs",
                ResourceId=resource,
                ScalableDimension=DIMENSION,
                SuspendedState=SUSPENDED[what],
            )
            complete(answer, "ScalableTargetARN")

    def minimum(self, service: str) -> int:
        """Least number of tasks of a colour that takes traffic, as the settings say."""
        self._parts.service(service)
        return self._minimums[service]

    def _service(self, name: str) -> "ServiceTypeDef":
        answer = self._ecs.describe_services(cluster=self._parts.cluster, services=[name])
        found = [one for one in answer["services"] if one["serviceName"] == name]
        if not found or found[0]["status"] != "ACTIVE":
            raise _gone(name, answer)
        return found[0]

    def _targets(self, service: str, colour: Colour) -> Counter[str]:
        """How many targets of the colour are in each state."""
        group = self._parts.service(service).target_groups[colour]
        with asking(f"look at the targets of {service} {colour}"):
            answer = self._elbv2.describe_target_health(TargetGroupArn=group)
            return Counter(target["TargetHealth"]["State"] for target in answer["TargetHealthDescriptions"])

    def _suspended(self, resource: str) -> "SuspendedStateTypeDef | None":
        """What is suspended now; None where there is no scalable target."""
        with asking(f"look at the scaling of {resource}"):
            pages = self._autoscaling.get_paginator("describe_scalable_targets").paginate(
                ServiceNamespace="ecs", ResourceIds=[resource], ScalableDimension=DIMENSION
            )
            found = [target for page in pages for target in page["ScalableTargets"]]
        if not found:
            return None
        return {**SUSPENDED["none"], **found[0].get("SuspendedState", {})}

    def _other_version(self, service: str, colour: Colour, deployments: Any) -> str | None:
        """What is wrong where the colour runs another image than the one that was released to it."""
        wanted = self._images.read(service).get(colour)
        primary = next((one for one in deployments if one["status"] == "PRIMARY"), None)
        if wanted is None or primary is None:
            return None
        running = self._images_in(primary["taskDefinition"])
        if wanted in running:
            return None
        return (
            f"ECS runs {', '.join(sorted(running)) or 'no image'} in {service} {colour}, and not {wanted}: "
            "either it went back by itself, or the program was not applied"
        )

    def _images_in(self, task_definition: str) -> frozenset[str]:
        if task_definition not in self._images_of:
            with asking(f"read the task definition {task_definition}"):
                answer = self._ecs.describe_task_definition(taskDefinition=task_definition)
                containers = answer["taskDefinition"]["containerDefinitions"]
                self._images_of[task_definition] = frozenset(one["image"] for one in containers)
        return self._images_of[task_definition]


def _gone(name: str, answer: Any) -> ReleaseError:
    failures = answer.get("failures", [])
    if failures and any(failure.get("reason") != "MISSING" for failure in failures):
        told = "; ".join(
            f"{failure.get('reason')} {failure.get('detail', '')}".strip() for failure in failures
        )
        return Unavailable(f"ECS does not tell how the service {name} is: {told}")
    return NeedsPerson(
        f"ECS has no active service {name}: somebody deleted it; `pulumi up --refresh` makes it again"
    )


def _gave_up(deployments: Any) -> str | None:
    """Why ECS stopped trying to start the newest tasks.

    With the circuit breaker's rollback the older deployment becomes the primary one at once, and the failed
    one stays beside it for as long as it has tasks.
    """
    for deployment in deployments:
        reason = deployment.get("rolloutStateReason") or "ECS gives no reason"
        if deployment.get("rolloutState") == "FAILED":
            return f"{reason} ({deployment.get('failedTasks', 0)} failed tasks)"
        if deployment["status"] == "PRIMARY" and "rolling back" in reason:
            return reason
    return None
