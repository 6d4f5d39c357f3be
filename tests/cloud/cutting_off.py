"""Cuts a release off in the middle of its own `pulumi up`, and says what that has left."""

import json
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Lock
from typing import Any

from localcloud.paths import state_bucket
from tests.cloud.commands import Command
from tests.cloud.recorder import recording
from tests.cloud.releases import STACK, WAIT_SECONDS, Checkout, wait_for

PROJECT_NAME = "switchyard"
STATE = f".pulumi/stacks/{PROJECT_NAME}/{STACK}.json"


def pending(checkout: Checkout) -> list[str]:
    """What the state says is being written in AWS, begun and not ended: kind and name."""
    stored = checkout.stack.aws("s3").get_object(Bucket=state_bucket(checkout.stack.account), Key=STATE)
    return _pending(json.load(stored["Body"]))


def _pending(state: Mapping[str, Any]) -> list[str]:
    return [
        f"{one['type']} {one['resource']['urn'].rsplit('::', 1)[-1]}"
        for one in state["checkpoint"]["latest"].get("pending_operations") or []
        if one["type"] != "reading"
    ]


def locks(checkout: Checkout) -> list[str]:
    """The locks of the stack's state."""
    prefix = f".pulumi/locks/organization/{PROJECT_NAME}/{STACK}/"
    found = checkout.stack.aws("s3").list_objects_v2(
        Bucket=state_bucket(checkout.stack.account), Prefix=prefix
    )
    return [one["Key"] for one in found.get("Contents", [])]


class Held:
    """An update that AWS has answered, and whose state does not know yet: it is held before it is written.

    kind: of the first operation that is held at its end, such as "creating".
    """

    def __init__(self, kind: str) -> None:
        self._kind = kind
        self._begun: set[str] = set()
        self._one_at_a_time = Lock()
        self._held, self._decided = Event(), Event()
        self._goes_on = False
        self.address = ""

    def before(self, verb: str, path: str, body: bytes) -> bool:
        """Whether the request is passed on; what would end the operation waits for that to be said."""
        if verb != "PUT" or not path.partition("?")[0].endswith(STATE):
            return True
        # Around it may stand what the client says of its parts.
        now = {
            one
            for one in _pending(json.loads(body[body.index(b"{") : body.rindex(b"}") + 1]))
            if one.startswith(self._kind)
        }
        with self._one_at_a_time:
            if self._begun <= now or self._decided.is_set():
                self._begun = now
                return True
            self._held.set()
            self._decided.wait(WAIT_SECONDS)
            return self._goes_on

    def wait(self, command: Command) -> None:
        """Returns once the operation is held; the command has to get there."""

        def look() -> bool | None:
            if not self._held.is_set() and command.is_over:
                raise AssertionError(f"it was to be cut off in its update, and ended: {command.end().text}")
            return self._held.is_set() or None

        wait_for(look, "an operation is held")

    def let_go(self) -> None:
        """It goes on."""
        self._goes_on = True
        self._decided.set()

    def drop(self) -> None:
        """What was held is never written."""
        self._decided.set()


@contextmanager
def held(checkout: Checkout, kind: str = "") -> Iterator[Held]:
    """Holds the first operation of that kind of a release whose state goes by its address."""
    found = Held(kind)
    with recording(checkout.stack.environment["AWS_ENDPOINT_URL"], found.before) as proxy:
        found.address = proxy.endpoint
        try:
            yield found
        finally:
            found.drop()


def kill_in_its_update(checkout: Checkout, image: str, *flags: str, kind: str = "") -> None:
    """Begins a release and kills it, with its engine, while that creates, updates or deletes something."""
    assert pending(checkout) == [], "the run before this one has left something: that is not what to wait for"
    with held(checkout, kind) as update:
        command = checkout.start(image, *flags, state_by=update.address)
        update.wait(command)
        command.tell(signal.SIGKILL, group=True)
        assert command.end().status == -signal.SIGKILL
