"""What a policy says of a resource, in the words of the report. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class PolicyFinding:
    """A resource that does not keep to a control.

    id: of the control, such as RDS.3.
    resource: the URN or the name.
    waived: why, and until when, it may stay; None if it may not.
    mandatory: an unwaived one fails the check; else it is advice.
    """

    id: str
    severity: str
    resource: str
    message: str
    remedy: str
    waived: str | None = None
    mandatory: bool = True
