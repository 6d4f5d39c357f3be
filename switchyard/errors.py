"""What the `switchyard` command refuses or fails at, as one small tree."""


class SwitchyardError(Exception):
    """Says what is wrong, and what to do about it, in words that a user can act on."""


class UnknownStack(SwitchyardError):
    """There is no Pulumi.<stack>.yaml for this stack."""


class StackNotUp(SwitchyardError):
    """The stack has never been brought up, or was destroyed."""


class DeploymentFailed(SwitchyardError):
    """The engine could not bring the stack up or down."""
