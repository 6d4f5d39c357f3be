"""Back to images of an earlier release, after the last one has completed. Pure: it is given the history."""

from collections.abc import Sequence

from release.errors import NeedsPerson, Refused
from release.model import Phase, Release
from release.plan import Request, below_floor, leaves_a_floor


def going_back(history: Sequence[Release], actor: str, to: int | None) -> Request:
    """The request that goes back; without a number, to the images before the last completed release.

    history: releases that are over, the newest first. Raises Refused where there is nothing to go back to,
    NeedsPerson where the schema no longer fits.
    """
    completed = [release for release in history if release.phase is Phase.COMPLETED]
    if not completed:
        raise Refused("no release has completed on this stack: there is nothing to go back to")
    images = _images_before(completed[0]) if to is None else _images_of(completed, to)
    sources = []
    for service, image in images.items():
        source = _release_of(completed, service, image, to)
        why = below_floor(history, service, source) if source else _unknown(history, service)
        if why:
            raise NeedsPerson(f"{service} can't go back: {why}. Release a version that fits the schema")
        sources.extend([source.number] if source else [])
    return Request(
        kind="hotfix",
        images=images,
        actor=actor,
        returns_to=to if to is not None else max(sources, default=None),
        undoes=completed[0].number,
    )


def _images_before(release: Release) -> dict[str, str]:
    without = [change.service for change in release.changes if change.previous_image is None]
    if without:
        raise Refused(
            f"release {release.id} was the first one of {', '.join(without)}: there is nothing to go back to"
        )
    return {change.service: str(change.previous_image) for change in release.changes}


def _images_of(completed: Sequence[Release], number: int) -> dict[str, str]:
    found = next((release for release in completed if release.number == number), None)
    if found is None:
        known = ", ".join(str(release.number) for release in completed)
        raise Refused(f"release {number} did not complete; these did: {known}")
    return {change.service: change.image for change in found.changes}


def _release_of(completed: Sequence[Release], service: str, image: str, number: int | None) -> Release | None:
    """The newest completed release of that image of the service; the very one if it is numbered."""
    for release in completed:
        if number is not None and release.number != number:
            continue
        if any(change.service == service and change.image == image for change in release.changes):
            return release
    return None


def _unknown(history: Sequence[Release], service: str) -> str | None:
    """Why a version that no record tells of can't come back: any floor may be too high for it."""
    for release in history:
        for change in release.changes:
            if change.service == service and leaves_a_floor(release, change):
                floor = change.floor or "nobody knows what"
                return (
                    f"release {release.id} left its schema at a floor of {floor}, and no record tells what "
                    "the version before knows"
                )
    return None
