"""An engine that ends in good order when its command is interrupted, and the status that tells so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pulumi.automation as auto

from switchyard.errors import SwitchyardError
from switchyard.up_signals import GuardedCommand, Stopped


class Interrupted(KeyboardInterrupt):
    """A signal came, and the engine has ended what it had begun. `status`: what a shell would give."""

    def __init__(self, status: int) -> None:
        super().__init__("interrupted")
        self.status = status


@contextmanager
def interruptible(engine: auto.LocalWorkspace, say: Callable[[str], None]) -> Iterator[None]:
    """While it lasts, Ctrl-C, SIGTERM and a closed terminal end the engine's work in good order.

    Raises Interrupted afterwards, whatever the engine made of it.
    """
    command = engine.pulumi_command
    guarded = GuardedCommand(command, say)
    engine.pulumi_command = guarded
    try:
        with guarded.listening():
            yield
    except (Stopped, SwitchyardError, auto.CommandError):
        if guarded.status is None:
            raise
    finally:
        engine.pulumi_command = command
    if guarded.status is not None:
        raise Interrupted(guarded.status)
