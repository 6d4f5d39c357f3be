"""Plans in a folder, by digest: written by a preview, read when the plan is applied.

In CI the folder is an artefact that the preview's job hands to the job that applies.
"""

import json
from pathlib import Path

from infra.whole_file import write_whole
from review.digest import Plan
from review.errors import ReviewError


class FolderPlans:
    """Plans in one folder, a JSON file for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, plan: Plan) -> Path:
        """Writes the plan, whole or not at all, and returns where. Raises ReviewError if it can't."""
        path = self._path(plan.digest)
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            write_whole(path, json.dumps(plan.to_json(), indent=1, ensure_ascii=False) + "\n")
        except OSError as error:
            raise ReviewError(
                f"the plan of {plan.stack} can't be kept in {self._folder}: {error.strerror or error}; "
                "make room there, or name another folder in SWITCHYARD_PLANS"
            ) from None
        return path

    def load(self, digest: str) -> Plan | None:
        """The plan, or None if there is none. Raises ReviewError for a file that was changed."""
        path = self._path(digest)
        if not path.exists():
            return None
        try:
            plan = Plan.from_json(json.loads(path.read_text()))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ReviewError(f"{path} can't be used: {error}; preview again") from None
        if plan.digest != digest:
            raise ReviewError(f"{path} holds the plan {plan.digest}; preview again")
        return plan

    def _path(self, digest: str) -> Path:
        checked_digest(digest)
        return self._folder / f"{digest}.json"


def checked_digest(digest: str) -> str:
    """The digest itself. Raises ReviewError if it is none."""
    if len(digest) != 64 or set(digest) - set("0123456789abcdef"):
        raise ReviewError(
            f"{digest!r} is no digest of a plan: that is 64 hex digits, at the end of the preview's report"
        )
    return digest
