"""What has to hold before a release begins. A gate that can't be evaluated has not passed.

| gate               | what it asks                                                    | overridable |
| ------------------ | --------------------------------------------------------------- | ----------- |
| target             | credentials, region and outputs are those of this very stack     | no          |
| images             | each image is a digest, of its service's repository, and there   | no          |
| pending-operations | no interrupted `pulumi up` has left anything undecided           | no          |
| test-listener      | what asks the smoke checks, this machine, reaches it             | no          |
| infrastructure     | `pulumi up` has nothing left to do but for the idle colours      | yes         |
| proof              | each digest has lived in `promoted_from` for `soak_seconds`      | yes         |
| change-record      | the release names its change record, where one is wanted         | yes         |
| freeze             | no freeze is in force                                            | yes         |
| backups            | each database has a backup younger than `backup_max_age_hours`   | yes         |
| alarms             | nothing fires of both colours and of the databases               | yes         |

A release applies what belongs to its idle colours and nothing else. So what is left to do elsewhere would not
be there when the new version starts; overridden, it stays left.

What can't be overridden would release to the wrong place, or what nobody can pull or check, or over a state
that nobody knows.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from math import ceil

from components.colours import Colour
from infra.settings import Settings
from release.aws.images import is_digest
from release.aws.outputs import StackParts
from release.aws.registry import repository_of
from release.errors import ReleaseError
from release.freeze import freeze_at
from release.ports import FREEZE_GATE, GateResult
from release.promotion import Proof

# Of what is left to do, so many are named.
LISTED = 5


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A gate's answer, with the figures."""

    passed: bool
    reason: str


@dataclass(frozen=True, kw_only=True)
class Sources:
    """Whom the gates ask. Each may raise ReleaseError.

    account: the account that the credentials belong to.
    region: the region that the clients speak to.
    missing_image: why an image can't be pulled by its digest, None if it can.
    proofs: of images by service, how they have done in the stack that they have to be proven in.
    newest_backup: of a database's RDS identifier, when it was backed up last; None if never.
    pending_operations: what interrupted updates have left undecided.
    unreached: why no connection to a URL's server comes about from here, None if one does.
    unapplied: what `pulumi up` would do now, but to what belongs to these colours by service.
    firing: of services, the alarms that speak against a start.
    now: the time, aware.
    """

    account: Callable[[], str]
    region: str
    missing_image: Callable[[str], str | None]
    proofs: Callable[[Mapping[str, str]], Sequence[Proof]]
    newest_backup: Callable[[str], datetime | None]
    pending_operations: Callable[[], Sequence[str]]
    unreached: Callable[[str], str | None]
    unapplied: Callable[[Mapping[str, Colour]], Sequence[str]]
    firing: Callable[[Sequence[str]], Sequence[str]]
    now: Callable[[], datetime]


@dataclass(frozen=True, kw_only=True)
class StackGates:
    """The gates of one stack."""

    project: str
    stack: str
    settings: Settings
    parts: StackParts
    ask: Sources

    def evaluate(
        self,
        images: Mapping[str, str],
        *,
        change: str | None,
        hotfix: bool,
        applied: Mapping[str, Colour],
    ) -> Sequence[GateResult]:
        """Every gate, for the images by service; always all of them, in the same order."""
        gates: list[tuple[str, bool, Callable[[], Answer]]] = [
            ("target", False, self._target),
            ("images", False, partial(self._images, images)),
            ("pending-operations", False, self._pending_operations),
            ("test-listener", False, partial(self._test_listener, images)),
            ("infrastructure", True, partial(self._infrastructure, applied)),
            ("proof", True, partial(self._proof, images, hotfix=hotfix)),
            ("change-record", True, partial(self._change_record, change)),
            (FREEZE_GATE, True, self._freeze),
            ("backups", True, self._backups),
            ("alarms", True, partial(self._alarms, images)),
        ]
        # Each may wait for AWS for the better part of a minute.
        with ThreadPoolExecutor(max_workers=len(gates)) as pool:
            return list(pool.map(lambda gate: _result(*gate), gates))

    def frozen(self, now: datetime) -> str | None:
        """Why no stage may begin now, and until when; or None."""
        release = self.settings.release
        freeze = freeze_at(now, release.freezes, release.weekly_freezes)
        return str(freeze) if freeze else None

    def _target(self) -> Answer:
        account, allowed = self.ask.account(), self.settings.accounts
        path = f"/{self.project}/{self.stack}/images"
        wrong = []
        if account not in allowed:
            wrong.append(f"the credentials are of account {account}, and not of {' or '.join(allowed)}")
        if self.parts.account != account:
            wrong.append(
                f"the stack's load balancer is in account {self.parts.account}, and not in {account}"
            )
        for what, region in (
            ("the AWS clients speak to", self.ask.region),
            ("the outputs are of", self.parts.region),
        ):
            if region != self.settings.region:
                wrong.append(f"{what} {region or 'no region'}, and not {self.settings.region}")
        if self.parts.images_path != path:
            wrong.append(f"the outputs are of {self.parts.images_path}, and not of {path}")
        if wrong:
            return Answer(passed=False, reason="; ".join(wrong))
        return Answer(
            passed=True,
            reason=f"stack {self.stack} in account {account}, {self.settings.region}, as its settings say",
        )

    def _images(self, images: Mapping[str, str]) -> Answer:
        if not images:
            return Answer(passed=False, reason="no image was given for any service")
        wrong = [reason for service, image in images.items() if (reason := self._wrong_image(service, image))]
        if wrong:
            return Answer(passed=False, reason="; ".join(wrong))
        count = "1 image is" if len(images) == 1 else f"all {len(images)} images are"
        return Answer(passed=True, reason=f"{count} in the registry, by digest")

    def _wrong_image(self, service: str, image: str) -> str | None:
        settings = self.settings.services.get(service)
        if settings is None:
            return f"the stack has no service {service}; it has: {', '.join(self.settings.services)}"
        if not is_digest(image):
            return f"{image!r} is no digest: give repository@sha256:<64 hex digits>"
        repository = repository_of(settings.image_repository, self.parts)
        if image.partition("@")[0] != repository:
            return f"{image} is not of {repository}, where {service} pulls from"
        missing = self.ask.missing_image(image)
        if missing and self.settings.release.promoted_from:
            missing += (
                f"; copy it from {self.settings.release.promoted_from} by its digest (`skopeo copy --all "
                "--preserve-digests`, `crane copy`, or a replication rule of ECR)"
            )
        return missing

    def _pending_operations(self) -> Answer:
        pending = self.ask.pending_operations()
        if pending:
            told = f"{len(pending)} of an interrupted update are undecided: {', '.join(pending)}"
            return Answer(
                passed=False, reason=f"{told}; `switchyard recover --stack {self.stack}` decides them"
            )
        return Answer(passed=True, reason="no operation of an interrupted update is pending")

    def _test_listener(self, images: Mapping[str, str]) -> Answer:
        services = [self.settings.services[name] for name in images if name in self.settings.services]
        if not any(service.smoke or service.smoke_command for service in services):
            return Answer(passed=True, reason="no smoke check is asked for (services.*.smoke)")
        url = self.parts.test_url
        if why := self.ask.unreached(url):
            return Answer(
                passed=False,
                reason=f"this machine asks the smoke checks and does not reach {url}: {why}; let its address "
                f"in (edge.test_ingress_cidrs, then `switchyard up --stack {self.stack}`), or release from "
                "behind the stack's NAT gateways",
            )
        return Answer(passed=True, reason=f"{url} is reached from this machine")

    def _infrastructure(self, applied: Mapping[str, Colour]) -> Answer:
        if not applied:
            return Answer(passed=True, reason="the images run already: nothing is applied")
        left = self.ask.unapplied(applied)
        if left:
            shown = [*left[:LISTED], *([f"{len(left) - LISTED} more"] if len(left) > LISTED else [])]
            told = f"the settings and the program are ahead of the stack: {', '.join(shown)}"
            return Answer(passed=False, reason=f"{told}; `switchyard up --stack {self.stack}` applies that")
        return Answer(passed=True, reason="the stack is as its settings and the program say")

    def _proof(self, images: Mapping[str, str], *, hotfix: bool) -> Answer:
        source = self.settings.release.promoted_from
        if source is None:
            return Answer(passed=True, reason="no proof is asked for (release.promoted_from)")
        if not hotfix:
            return _all_proven(images, self.ask.proofs(images))
        try:
            found = _all_proven(images, self.ask.proofs(images)).reason
        except ReleaseError as error:
            found = str(error)
        return Answer(
            passed=True, reason=f"the proof in {source} is waived for a hotfix; it would say: {found}"
        )

    def _change_record(self, change: str | None) -> Answer:
        if change and change.strip():
            return Answer(passed=True, reason=f"the change record is {change.strip()}")
        if self.settings.release.change_record:
            return Answer(
                passed=False,
                reason="no change record was named; give one with --change (release.change_record)",
            )
        return Answer(passed=True, reason="no change record is asked for (release.change_record)")

    def _freeze(self) -> Answer:
        frozen = self.frozen(self.ask.now())
        return Answer(passed=frozen is None, reason=frozen or "no freeze is in force")

    def _backups(self) -> Answer:
        hours = self.settings.release.backup_max_age_hours
        if hours is None:
            return Answer(passed=True, reason="no age of backups is asked for (release.backup_max_age_hours)")
        if not self.settings.databases:
            return Answer(passed=True, reason="the stack has no database")
        if missing := sorted(self.settings.databases.keys() - self.parts.databases.keys()):
            return Answer(
                passed=False, reason=f"the outputs do not tell of the database {', '.join(missing)}"
            )
        now, limit = self.ask.now(), timedelta(hours=hours)
        told, good = [], True
        for name, identifier in self.parts.databases.items():
            made = self.ask.newest_backup(identifier)
            good = good and made is not None and now - made <= limit
            told.append(f"{name}: {_age(now - made)} old" if made else f"{name}: no backup at all")
        return Answer(passed=good, reason=f"newest backups: {', '.join(told)}; at most {hours} h are allowed")

    def _alarms(self, images: Mapping[str, str]) -> Answer:
        firing = self.ask.firing([service for service in images if service in self.parts.services])
        if firing:
            return Answer(passed=False, reason=f"{len(firing)} firing: {'; '.join(firing)}")
        return Answer(passed=True, reason="no alarm of the colours or of the databases is firing")


def _all_proven(images: Mapping[str, str], proofs: Sequence[Proof]) -> Answer:
    """Every image needs a proof of its own: none at all proves nothing."""
    unsaid = sorted(images.keys() - {proof.service for proof in proofs})
    reasons = [proof.reason for proof in proofs] + [f"nothing is known of {service}" for service in unsaid]
    proven = bool(proofs) and not unsaid and all(proof.proven for proof in proofs)
    return Answer(passed=proven, reason="; ".join(reasons) or "no image was given for any service")


def _result(name: str, overridable: bool, gate: Callable[[], Answer]) -> GateResult:
    try:
        answer = gate()
    # Whatever went wrong: what nobody could look at has not passed.
    except Exception as error:  # noqa: BLE001
        told = str(error) if isinstance(error, ReleaseError) else f"{type(error).__name__}: {error}"
        answer = Answer(passed=False, reason=f"could not be evaluated: {told}")
    return GateResult(name=name, passed=answer.passed, reason=answer.reason, overridable=overridable)


def _age(span: timedelta) -> str:
    """Rounded up: what is over a limit has to look so."""
    minutes = ceil(span.total_seconds() / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"
