"""What the history tells another stack about the releases here."""

from collections.abc import Sequence

from release.model import Phase, Release
from release.promotion import Outcome, PastRelease

OUTCOMES: dict[Phase, Outcome] = {
    Phase.COMPLETED: "completed",
    Phase.ROLLED_BACK: "rolled-back",
    # Left as it stands: nothing proved itself there.
    Phase.NEEDS_PERSON: "failed",
}


def past_releases(history: Sequence[Release]) -> list[PastRelease]:
    """The history as promotion asks for it; a release in progress is open."""
    return [
        PastRelease(
            number=release.number,
            outcome=OUTCOMES.get(release.phase, "open"),
            ended=release.updated_at if release.phase.is_terminal else None,
            images={change.service: change.image for change in release.changes},
            undoes=release.undoes,
        )
        for release in history
    ]
