"""Errors of the pull-request report.

ReviewError
├── PlanDiffers          what would be done now is not what was previewed; nothing was applied
├── ChecksFailed         the plan loses data, breaks a policy or could not be made; nothing was applied
├── NotPlanned           what was applied is not what was planned; something was applied
├── ApplyFailed          the engine refused or stopped half-way
├── StackBusy            somebody else's run of the engine holds the stack; nothing was applied
└── CommentFailed        GitHub did not take the comment
    └── NoRights         the token may not comment here, as in a pull request from a fork
"""

from collections.abc import Mapping


class ReviewError(Exception):
    """One message for a person: what happened, and what to do."""


class PlanDiffers(ReviewError):
    """Nothing was applied."""


class ChecksFailed(ReviewError):
    """Nothing was applied."""


class NotPlanned(ReviewError):
    """Applied, and something else than the plan. done: resources by operation."""

    def __init__(self, message: str, done: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.done = dict(done or {})


class ApplyFailed(ReviewError):
    """The engine did not get to the end. done: resources by operation."""

    def __init__(self, message: str, done: Mapping[str, int] | None = None) -> None:
        super().__init__(message)
        self.done = dict(done or {})


class StackBusy(ReviewError):
    """Nothing was applied; it may be tried again."""


class CommentFailed(ReviewError):
    """The comment is as it was."""


class NoRights(CommentFailed):
    """The token may not comment here."""
