"""A stack's release engine, put together: settings, outputs and AWS clients into a driver.

The engine knows nothing of the embedded cloud. What differs there is given to it here: the endpoint, and
how much faster its metrics come.
"""

import os
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any

import pulumi.automation as auto

from infra.settings import Settings
from infra.settings_file import kept
from localcloud import cloud
from localcloud.paths import PROJECT
from release import plan as planning
from release.aws.alarms import StackAlarms
from release.aws.backups import newest_backup
from release.aws.balancer import RuleBalancer
from release.aws.fleet import EcsFleet
from release.aws.images import ParameterImages
from release.aws.one_off import OneOffTasks
from release.aws.outputs import StackParts
from release.aws.outputs import parts as parts_of
from release.aws.program import PulumiProgram
from release.aws.registry import EcrRegistry, repository_of
from release.aws.session import Clients, caller_account
from release.checks.analysis import Analysis
from release.checks.smoke import SmokeChecks, unreached
from release.clock import SystemClock
from release.driver import Driver, nobody
from release.errors import Refused
from release.evidence import Evidence
from release.gates import Sources, StackGates
from release.hands import Ports
from release.journal import Observe
from release.migrations import TaskMigrator
from release.notify import Notifications, herald_of
from release.past import past_releases
from release.ports import Balancer, Images, Say
from release.promotion import PastRelease, Proof, live_image, promotable, prove
from release.store import Store, this_process
from release.table import DynamoTable
from switchyard.errors import SwitchyardError
from switchyard.stacks import (
    environment_of,
    is_embedded,
    outputs_of,
    project_name,
    selected,
    session_of,
    settings_of,
    unreadable,
)

# How often a release looks at alarms, targets and judges, and how often CloudWatch has new figures.
POLL_SECONDS = 10.0
PERIOD_SECONDS = 60
# How often it looks whether a one-off task has ended.
TASK_POLL_SECONDS = 2.0
SHORTEST_POLL_SECONDS = 0.5
# How long a load balancer's nodes may take to follow new weights.
SETTLE_SECONDS = 10.0
SHORTEST_SETTLE_SECONDS = 2.0
# CloudWatch knows no other periods below a minute.
SHORT_PERIODS = (1, 5, 10, 30, 60)


@dataclass(frozen=True)
class ReleasedStack:
    """One stack that can be released to.

    evidence: of the stack that it is promoted from, where no credentials at hand lead there.
    """

    name: str
    evidence: Evidence | None = None

    @cached_property
    def settings(self) -> Settings:
        """What its file says."""
        return settings_of(self.name)

    @cached_property
    def speed(self) -> float:
        """By how much its metrics are faster than AWS's: 1 but on the embedded cloud."""
        return cloud.running().speed if is_embedded(self.name) else 1.0

    @cached_property
    def parts(self) -> StackParts:
        """What it is made of, out of Pulumi's outputs. Raises SwitchyardError and Refused."""
        try:
            return parts_of(outputs_of(self.name))
        except auto.StackNotFoundError:
            raise SwitchyardError(
                f"there is no stack {self.name}; bring it up first: `pulumi up --stack {self.name}`"
            ) from None
        except auto.CommandError as error:
            raise unreadable(self.name, error) from None

    @cached_property
    def clients(self) -> Clients:
        """AWS clients with the credentials that reach it."""
        environment = environment_of(self.name)
        session = session_of(environment, self.parts.region)
        return Clients(session, endpoint=environment.get("AWS_ENDPOINT_URL"))

    @cached_property
    def images(self) -> Images:
        """What its colours run."""
        return ParameterImages(self.clients.ssm, self.parts.images_path)

    @cached_property
    def balancer(self) -> Balancer:
        """Its listener rules."""
        return RuleBalancer(self.clients.elbv2, self.parts.services)

    @cached_property
    def store(self) -> Store:
        """Its releases, as this process sees them."""
        table = DynamoTable(self.clients.dynamodb, self.parts.release_table)
        return Store(table, this_process(), SystemClock().now)

    @cached_property
    def herald(self) -> Notifications:
        """Who is told of its releases; to be used as a context, so that the last message is sent."""
        notify = self.settings.release.notify
        commit = commit_of_checkout()
        return herald_of(notify, self.clients, self.parts, stack=self.name, commit=commit)

    def repository(self, service: str) -> str:
        """Address of the repository that a service's images come from. Raises Refused."""
        self.parts.service(service)
        return repository_of(self.settings.services[service].image_repository, self.parts)

    def driver(self, say: Say, observe: Observe = nobody) -> Driver:
        """The engine of this stack."""
        policy = planning.policy(
            self.settings,
            self.name,
            poll_seconds=max(POLL_SECONDS / self.speed, SHORTEST_POLL_SECONDS),
            settle_seconds=max(SETTLE_SECONDS / self.speed, SHORTEST_SETTLE_SECONDS),
        )

        def observe_all(event: Mapping[str, Any]) -> None:
            observe(event)
            self.herald.observe(event)

        stop = threading.Event()
        return Driver(
            ports=self._ports(SystemClock(stop)),
            policy=policy,
            store=self.store,
            say=say,
            observe=observe_all,
            stop=stop,
        )

    def _ports(self, clock: SystemClock) -> Ports:
        settings, parts, clients = self.settings, self.parts, self.clients
        services = settings.services
        program = PulumiProgram(self.name, self._opened)
        alarms = StackAlarms(clients.cloudwatch, parts)
        period = max(each for each in SHORT_PERIODS if each <= max(PERIOD_SECONDS / self.speed, 1))
        return Ports(
            balancer=self.balancer,
            fleet=EcsFleet(
                ecs=clients.ecs,
                elbv2=clients.elbv2,
                autoscaling=clients.autoscaling,
                images=self.images,
                parts=parts,
                minimums={name: service.count.minimum for name, service in services.items()},
            ),
            images=self.images,
            program=program,
            alarms=alarms,
            analyst=Analysis(
                clients.cloudwatch,
                parts,
                limits=settings.release.analysis,
                checks={name: service.checks for name, service in services.items()},
                period_seconds=period,
                settle_seconds=period,
                began=self._began,
            ),
            verifier=SmokeChecks(services, ca_file=self._ca_file()),
            migrator=TaskMigrator(
                tasks=OneOffTasks(
                    ecs=clients.ecs,
                    logs=clients.logs,
                    images=self.images,
                    parts=parts,
                    clock=clock,
                    poll_seconds=max(TASK_POLL_SECONDS / self.speed, SHORTEST_POLL_SECONDS),
                ),
                settings={name: service.migrations for name, service in services.items()},
            ),
            gates=self._gates(program, alarms, clock.now),
            herald=self.herald,
            clock=clock,
            test_url=parts.test_url,
        )

    def _began(self) -> datetime | None:
        release = self.store.current()
        return release.created_at if release else None

    def _ca_file(self) -> Path | None:
        """What to trust beside the system's authorities: the embedded cloud signs its certificates itself."""
        arn = self.settings.edge.certificate_arn
        return cloud.ensure_certificate(arn) if arn and is_embedded(self.name) else None

    def _gates(self, program: PulumiProgram, alarms: StackAlarms, now: Callable[[], datetime]) -> StackGates:
        clients = self.clients
        return StackGates(
            project=project_name(),
            stack=self.name,
            settings=self.settings,
            parts=self.parts,
            ask=Sources(
                account=lambda: caller_account(clients.sts),
                region=clients.region,
                missing_image=EcrRegistry(clients.ecr).missing,
                proofs=self._proofs,
                newest_backup=lambda identifier: newest_backup(clients.rds, identifier),
                pending_operations=program.pending_operations,
                unreached=unreached,
                unapplied=program.unapplied,
                firing=alarms.firing_before,
                now=now,
            ),
        )

    def _proofs(self, images: Mapping[str, str]) -> Sequence[Proof]:
        source = self.settings.release.promoted_from
        if source is None:
            return []
        evidence = self.evidence if self.evidence and self.evidence.stack == source else None
        soak = timedelta(seconds=self.settings.release.soak_seconds)
        history = evidence.releases if evidence else past(ReleasedStack(source))
        now = evidence.taken_at if evidence else SystemClock().now()
        return [
            prove(service, image, history, source=source, soak=soak, now=now)
            for service, image in images.items()
        ]

    @contextmanager
    def _opened(self) -> Iterator[auto.Stack]:
        with kept(PROJECT / f"Pulumi.{self.name}.yaml", only=is_embedded(self.name)):
            # Selecting it starts the CLI, so once is enough; how it is reached may change meanwhile.
            engine = self._engine
            engine.workspace.env_vars = dict(environment_of(self.name))
            yield engine

    @cached_property
    def _engine(self) -> auto.Stack:
        return selected(self.name)


def past(source: ReleasedStack) -> list[PastRelease]:
    """The releases of a stack, as promotion asks for them."""
    current = source.store.current()
    return past_releases([*([current] if current else []), *source.store.history()])


def promoted_images(
    source: str, here: ReleasedStack, services: Sequence[str], *, hotfix: bool = False
) -> dict[str, str]:
    """By service, the target's image of the digest that is live in the source, proven there for the soak.

    here: the target; its evidence counts instead of a look at the source. services: those to promote; all
    that both stacks have if empty. hotfix: completed there is enough, no soak. Raises Refused with every
    reason.
    """
    target, evidence = here.name, here.evidence
    allowed = here.settings.release.promoted_from
    if allowed is not None and allowed != source:
        raise Refused(f"{target} is promoted from {allowed}, its release.promoted_from; not from {source}")
    if evidence is not None and evidence.stack != source:
        raise Refused(f"the evidence is of {evidence.stack}, and {target} is to be promoted from {source}")
    there = ReleasedStack(source)
    wanted = services or [name for name in here.settings.services if name in there.settings.services]
    return promotable(
        evidence.releases if evidence else past(there),
        {name: image for name, image in evidence.live.items() if name in wanted}
        if evidence
        else running_images(there, wanted),
        {service: here.repository(service) for service in wanted},
        source=source,
        soak=timedelta(seconds=0 if hotfix else here.settings.release.soak_seconds),
        now=evidence.taken_at if evidence else SystemClock().now(),
    )


def running_images(stack: ReleasedStack, services: Sequence[str]) -> dict[str, str]:
    """By service, the image with all of its traffic, where something was released to it.

    Raises Refused while the traffic is split.
    """
    running = {
        service: live_image(service, stack.balancer.read(service).production, stack.images.read(service))
        for service in services
    }
    return {service: image for service, image in running.items() if image}


def commit_of_checkout(folder: Path = PROJECT) -> str | None:
    """What CI says is being released, else what is checked out here; None where neither tells."""
    named = os.environ.get("GITHUB_SHA") or os.environ.get("CI_COMMIT_SHA")
    git = shutil.which("git")
    if named or git is None:
        return named
    asked = [git, "-C", str(folder), "rev-parse", "--verify", "--quiet", "HEAD"]
    said = subprocess.run(asked, capture_output=True, text=True, check=False)  # noqa: S603 - git's own path
    return said.stdout.strip() or None
