"""One ECS service: its runs, its deployments, and when to give up on one of them."""

import time
from collections.abc import Sequence
from typing import Any

from moto.core.utils import utcnow

from localcloud.aws.ecs import begin_deployment, keep_task, new_task, tell
from localcloud.dataplane.runs import Home, TaskRun
from localcloud.dataplane.scheduler import (
    Condition,
    ServiceView,
    Stop,
    TaskView,
    Why,
    breaker_threshold,
    decide,
    delay_seconds,
    is_rolled_out,
)

SCHEDULER = "ServiceSchedulerInitiated"
# A task that was well for so long has made up for the failures before it.
FORGIVEN_SECONDS = 10.0
# Failed starts after which ECS says so, where no circuit breaker watches.
LOUD_FAILURES = 3
BREAKER = "ECS deployment circuit breaker"


class ServiceRuns:
    """The runs of one service. `step` is called every now and then, by one thread."""

    def __init__(self, service: Any, *, account: str, region: str, home: Home) -> None:
        self._account, self._region, self._home = account, region, home
        self._service = service
        self._runs: dict[str, TaskRun] = {}
        self._healthy_since: dict[str, float] = {}
        self._order = 0
        self._deployment = ""
        # Failed starts of the deployment in a row, as ECS counts; and all unwished ends, for the pauses.
        self._failed = 0
        self._unlucky = 0
        self._not_before = 0.0
        self._last_completed: str | None = None

    @property
    def runs(self) -> Sequence[TaskRun]:
        """Those that have not ended."""
        return list(self._runs.values())

    @property
    def tasks(self) -> int:
        """How many there are."""
        return len(self._runs)

    def step(self, service: Any) -> None:
        """One look at the service and at what runs of it, and whatever follows from that.

        service: moto's, which is another one after the service was deleted and made again.
        """
        self._service = service
        now = time.monotonic()
        if service.status != "ACTIVE":
            for run in self.runs:
                run.stop(SCHEDULER, f"Service {service.name} was deleted")
            self._harvest(now)
            return
        self._follow_deployment()
        self._obey_stop_task()
        self._harvest(now)
        self._break_if_hopeless()
        view = self._view(now)
        decision = decide(view)
        for stop in decision.stop:
            self._stop(stop)
        # A task that was found sick just now is a failed start as well: its pause begins here.
        if time.monotonic() >= self._not_before:
            for _ in range(decision.start):
                self._start()
        self._publish(view)

    def abandon(self) -> None:
        """The service is gone without a word: its tasks go too."""
        for run in self.runs:
            run.stop(SCHEDULER, "The service is gone")
        self._harvest(time.monotonic())

    @property
    def _primary(self) -> dict[str, Any]:
        found: dict[str, Any] = self._service.deployments[0]
        return found

    def _follow_deployment(self) -> None:
        if not self._service.deployments:
            begin_deployment(self._service, self._service.task_definition)
        if self._primary["id"] != self._deployment:
            self._deployment = self._primary["id"]
            self._failed = self._unlucky = 0
            self._not_before = 0.0

    def _obey_stop_task(self) -> None:
        """StopTask marks the task; the service starts another one in its place."""
        for run in self.runs:
            if run.task.desired_status == "STOPPED" and not run.was_asked_to_stop:
                run.stop(run.task.stop_code, run.task.stopped_reason)

    def _harvest(self, now: float) -> None:
        """Takes away what has ended, and counts what ended unasked."""
        for identity, run in list(self._runs.items()):
            if run.condition(now, self._grace()) is Condition.HEALTHY:
                since = self._healthy_since.setdefault(identity, now)
                self._count_healthy(run, now - since)
            if not run.ended:
                continue
            del self._runs[identity]
            self._healthy_since.pop(identity, None)
            if run.ended_by_itself:
                tell(self._service, f"has stopped 1 running tasks: (task {identity}).")
                self._count_failure(run, now)

    def _count_healthy(self, run: TaskRun, seconds: float) -> None:
        if run.deployment == self._deployment and not run.has_settled:
            self._failed = 0
        run.has_settled = True
        if seconds >= FORGIVEN_SECONDS:
            self._unlucky = 0

    def _count_failure(self, run: TaskRun, now: float) -> None:
        if run.deployment != self._deployment:
            return
        self._unlucky += 1
        if not run.has_settled:
            self._failed += 1
        self._not_before = now + delay_seconds(self._unlucky)
        if self._failed == LOUD_FAILURES:
            tell(self._service, "is unable to consistently start tasks successfully.")

    def _grace(self) -> float:
        return float(getattr(self._service, "health_check_grace_period_seconds", None) or 0)

    def _configuration(self) -> dict[str, Any]:
        return getattr(self._service, "deployment_configuration", None) or {}

    def _break_if_hopeless(self) -> None:
        """The circuit breaker. Like ECS's it watches a deployment until that has completed, not after."""
        breaker = self._configuration().get("deploymentCircuitBreaker") or {}
        primary = self._primary
        hopeless = self._failed >= breaker_threshold(self._service.desired_count)
        if not (breaker.get("enable") and hopeless and primary["rolloutState"] == "IN_PROGRESS"):
            return
        primary["rolloutState"] = "FAILED"
        primary["rolloutStateReason"] = f"{BREAKER}: tasks failed to start."
        primary["failedTasks"] = self._failed
        tell(self._service, f"(deployment {primary['id']}) deployment failed: tasks failed to start.")
        if breaker.get("rollback"):
            self._roll_back(primary)

    def _roll_back(self, failed: dict[str, Any]) -> None:
        # The same definition once more would fail the same way.
        if self._last_completed in (None, failed["taskDefinition"]):
            tell(self._service, "deployment failed: no rollback candidate was found to run the rollback.")
            return
        again = begin_deployment(self._service, str(self._last_completed))
        again["rolloutStateReason"] = f"{BREAKER}: rolling back to {self._last_completed}."
        tell(self._service, f"rolling back to deployment {again['id']}.")
        for run in self.runs:
            # What still runs of it is what the new deployment asks for.
            if run.task.task_definition_arn == self._last_completed:
                run.deployment = run.task.started_by = again["id"]
        self._follow_deployment()

    def _view(self, now: float) -> ServiceView:
        configuration = self._configuration()
        primary = self._primary
        return ServiceView(
            desired=self._service.desired_count,
            deployment=primary["id"],
            held=primary["rolloutState"] == "FAILED" or now < self._not_before,
            minimum_healthy_percent=configuration.get("minimumHealthyPercent", 100),
            maximum_percent=configuration.get("maximumPercent", 200),
            tasks=[
                TaskView(
                    id=identity,
                    deployment=run.deployment,
                    condition=run.condition(now, self._grace()),
                    order=run.order,
                )
                for identity, run in self._runs.items()
            ],
        )

    def _stop(self, stop: Stop) -> None:
        run = self._runs[stop.id]
        if stop.why is Why.UNHEALTHY:
            groups = ", ".join(self._target_groups())
            run.stop(SCHEDULER, f"Task failed ELB health checks in (target-group {groups})")
            tell(self._service, f"(task {stop.id}) failed ELB health checks in (target-group {groups}).")
            self._count_failure(run, time.monotonic())
        else:
            run.stop(SCHEDULER, f"Scaling activity initiated by (deployment {self._deployment})")

    def _target_groups(self) -> Sequence[str]:
        return [
            balancer["targetGroupArn"]
            for balancer in self._service.load_balancers
            if balancer.get("targetGroupArn")
        ]

    def _start(self) -> None:
        service, backend = self._service, self._service._backend
        definition = backend.describe_task_definition(self._primary["taskDefinition"])
        cluster = backend._get_cluster(service.cluster_name)
        task = new_task(
            backend,
            cluster,
            definition,
            group=f"service:{service.name}",
            launch_type=service.launch_type or "FARGATE",
            started_by=self._deployment,
            tags=list(service.tags) if service.propagate_tags == "SERVICE" else [],
            platform_version=service.platform_version,
        )
        self._order += 1
        run = TaskRun(
            task,
            definition,
            account=self._account,
            region=self._region,
            home=self._home,
            target_groups=self._target_groups(),
            deployment=self._deployment,
            order=self._order,
        )
        keep_task(backend, task)
        self._runs[task.id] = run
        run.start()

    def _publish(self, view: ServiceView) -> None:
        """What DescribeServices says of counts and deployments."""
        service, primary = self._service, self._primary
        for deployment in service.deployments:
            running, pending = self._counts(deployment["id"])
            if (deployment["runningCount"], deployment["pendingCount"]) != (running, pending):
                deployment["updatedAt"] = utcnow()
            deployment["runningCount"], deployment["pendingCount"] = running, pending
        primary["desiredCount"] = service.desired_count
        primary["failedTasks"] = self._failed
        service.running_count, service.pending_count = self._counts(None)
        if is_rolled_out(view) and primary["rolloutState"] == "IN_PROGRESS":
            primary["rolloutState"] = "COMPLETED"
            primary["rolloutStateReason"] = f"ECS deployment {primary['id']} completed."
            tell(service, f"(deployment {primary['id']}) deployment completed.")
            tell(service, "has reached a steady state.")
        if primary["rolloutState"] == "COMPLETED":
            self._last_completed = primary["taskDefinition"]
        used = {run.deployment for run in self.runs}
        service.deployments = [
            deployment
            for deployment in service.deployments
            if deployment is primary or deployment["id"] in used
        ]

    def _counts(self, deployment: str | None) -> tuple[int, int]:
        """Running and pending tasks of a deployment, or of all; what is on its way out is neither."""
        states = [
            run.task.last_status for run in self.runs if deployment is None or run.deployment == deployment
        ]
        running = states.count("RUNNING")
        pending = sum(state in ("PROVISIONING", "PENDING", "ACTIVATING") for state in states)
        return running, pending
