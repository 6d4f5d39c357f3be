"""Errors of the release engine.

ReleaseError
├── Refused              nothing was begun: a gate, a lock, a mistake in what was asked
│   └── NotYet           nothing is wrong but that it is too early: the soak is not over
├── Unavailable          AWS (or another source) did not answer in time; a later try may
├── MovedByOthers        somebody else moved the weights; nothing may be written over that
├── LostLock             another process owns the release now; this one must not act any more
└── NeedsPerson          the engine can't know what is right; the message says what to look at
"""


class ReleaseError(Exception):
    """One message for a person: what happened, and what to do."""


class Refused(ReleaseError):
    """Nothing was begun."""


class NotYet(Refused):
    """Nothing was begun; the same later may be."""


class Unavailable(ReleaseError):
    """Something did not answer, after all its retries."""


class MovedByOthers(ReleaseError):
    """The load balancer's weights are not what the record says."""


class LostLock(ReleaseError):
    """The lock has another owner or a newer fencing token."""


class NeedsPerson(ReleaseError):
    """No safe way on or back is known."""
