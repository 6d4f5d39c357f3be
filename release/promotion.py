"""What has proved itself in one stack, and so may go to the next. Pure: it is given history and time.

A digest is proven in a stack once a release has completed with it there, its bake included, and it has
lived there for the soak time since, with nobody taking it back.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from components.colours import COLOURS, Colour
from release.aws.images import is_digest
from release.errors import NotYet, Refused
from release.ports import Weights

Outcome = Literal["completed", "rolled-back", "open", "failed"]


@dataclass(frozen=True, kw_only=True)
class PastRelease:
    """What promotion needs to know of a release in the source stack.

    ended: when its bake was over or it was rolled back; None while it is open.
    images: by service, what it released.
    undoes: number of the release that this one took back; None for any other.
    """

    number: int
    outcome: Outcome
    ended: datetime | None
    images: Mapping[str, str]
    undoes: int | None = None


@dataclass(frozen=True, kw_only=True)
class Proof:
    """Whether a digest is proven for a service; `reason` is a sentence with the figures in it.

    soaking: nothing speaks against it but that its time is not over.
    """

    service: str
    proven: bool
    reason: str
    soaking: bool = False


def digest_of(image: str) -> str:
    """The digest of `repository@sha256:…`. Raises Refused for an image that is not given by digest."""
    if not is_digest(image):
        raise Refused(f"{image!r} is no image by digest: give repository@sha256:<64 hex digits>")
    return image.partition("@")[2]


def retargeted(image: str, repository: str) -> str:
    """The same digest in another repository: a stack's tasks pull from their own registry."""
    return f"{repository}@{digest_of(image)}"


def prove(
    service: str,
    image: str,
    history: Sequence[PastRelease],
    *,
    source: str,
    soak: timedelta,
    now: datetime,
) -> Proof:
    """Whether the image's digest has lived in the source stack for the soak time, and was not taken back."""
    digest = digest_of(image)
    what = f"{service} {_short(digest)}"
    mine = sorted((one for one in history if service in one.images), key=lambda one: one.number)
    with_it = [one for one in mine if digest_of(one.images[service]) == digest]
    if not with_it:
        return _no(service, f"{what} was never released in {source}")
    completed = [one for one in with_it if one.outcome == "completed" and one.ended is not None]
    newest = with_it[-1]
    if newest.outcome in ("rolled-back", "failed"):
        return _no(service, f"{what} was {_ended_badly(newest)} in {source} by release {newest.number}")
    if not completed:
        return _no(service, f"{what} is not there yet: release {newest.number} in {source} is still open")
    return _lived(service, what, digest, mine, source=source, soak=soak, now=now)


def promotable(
    source_history: Sequence[PastRelease],
    source_images: Mapping[str, str],
    services: Mapping[str, str],
    *,
    source: str,
    soak: timedelta,
    now: datetime,
) -> dict[str, str]:
    """By service, the image for the target stack: the very digest that is live in the source stack.

    source_images: what each service runs in the source stack now, see `live_image`.
    services: the target stack's repository by service to promote.

    Raises Refused with every reason that stands against any of them; NotYet if it is too early, and no more.
    """
    if not services:
        raise Refused("there is no service to promote; name at least one")
    reasons: list[str] = []
    early = 0
    images: dict[str, str] = {}
    for service, repository in services.items():
        image = source_images.get(service)
        if image is None:
            reasons.append(f"{source} runs no {service}: nothing was released to it yet")
            continue
        proof = prove(service, image, source_history, source=source, soak=soak, now=now)
        open_ones = [one for one in source_history if one.outcome == "open" and service in one.images]
        if open_ones:
            reasons.append(f"release {open_ones[-1].number} of {service} is still open in {source}")
        elif not proof.proven:
            reasons.append(proof.reason)
            early += 1 if proof.soaking else 0
        elif other := _newer(service, image, source_history):
            reasons.append(
                f"{source} runs {service} {_short(digest_of(image))}, but the newest completed release "
                f"{other.number} was of {_short(digest_of(other.images[service]))}: see what was done there"
            )
        images[service] = retargeted(image, repository)
    if reasons:
        told = "\n".join(f"  {one}" for one in reasons)
        raise (NotYet if early == len(reasons) else Refused)(f"nothing was promoted from {source}:\n{told}")
    return images


def live_image(service: str, production: Weights, images: Mapping[Colour, str]) -> str | None:
    """The image that has all of a service's production traffic; None before the first release.

    Raises Refused while the traffic is split: then no single digest is live.
    """
    live = [colour for colour in COLOURS if production[colour] > 0]
    if len(live) != 1:
        raise Refused(
            f"the traffic of {service} is on {dict(production)}, so no one version is live; let its release "
            "end first"
        )
    return images.get(live[0])


def _lived(
    service: str,
    what: str,
    digest: str,
    mine: Sequence[PastRelease],
    *,
    source: str,
    soak: timedelta,
    now: datetime,
) -> Proof:
    """How long the digest's last unbroken time was."""
    since: PastRelease | None = None
    until: PastRelease | None = None
    for one in mine:
        if one.outcome != "completed" or one.ended is None:
            continue
        if digest_of(one.images[service]) != digest:
            until = until or (one if since else None)
        elif since is None or until is not None:
            since, until = one, None
    if since is None or since.ended is None:
        return _no(service, f"{what} was never completed in {source}")
    if until is not None and until.undoes is not None:
        return _no(service, f"{what} was taken back in {source} by release {until.number}")
    end = until.ended if until is not None and until.ended is not None else now
    lived = end - since.ended
    told = f"{what} lived in {source} for {_hours(lived)} since release {since.number}"
    if lived < soak:
        reason = f"{told}, of the {_hours(soak)} that it has to"
        return Proof(service=service, proven=False, reason=reason, soaking=until is None)
    return Proof(service=service, proven=True, reason=f"{told}; {_hours(soak)} are asked for")


def _newer(service: str, image: str, history: Sequence[PastRelease]) -> PastRelease | None:
    """The newest completed release of the service, if it was of another digest than what is live."""
    completed = [one for one in history if service in one.images and one.outcome == "completed"]
    newest = max(completed, key=lambda one: one.number, default=None)
    if newest is None or digest_of(newest.images[service]) == digest_of(image):
        return None
    return newest


def _no(service: str, reason: str) -> Proof:
    return Proof(service=service, proven=False, reason=reason)


def _ended_badly(release: PastRelease) -> str:
    return "rolled back" if release.outcome == "rolled-back" else "left unfinished"


def _short(digest: str) -> str:
    return digest[: len("sha256:") + 12]


def _hours(span: timedelta) -> str:
    minutes = int(span.total_seconds()) // 60
    return f"{minutes // 60} h {minutes % 60:02d} min"
