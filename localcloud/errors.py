"""What can go wrong with the embedded cloud, as one small tree."""


class CloudError(Exception):
    """Says what is wrong, and what to do about it, in words that a user can act on."""


class EngineUnavailable(CloudError):
    """Pulumi's engine or its AWS plugin is not there and can't be got."""


class CloudNotRunning(CloudError):
    """The embedded cloud is asked for and does not run."""
