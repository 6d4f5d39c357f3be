"""Cuts a release off in the middle of its own `pulumi up`, and says what that has left."""

import json
import signal
import time
from typing import Any

from localcloud.paths import state_bucket
from tests.cloud.commands import Command
from tests.cloud.releases import STACK, WAIT_SECONDS, Checkout

PROJECT_NAME = "switchyard"
# What the engine had sent before it was stopped is answered by then.
STANDS_SECONDS = 0.3


def pending(checkout: Checkout, s3: Any = None) -> list[str]:
    """What the state says is being written in AWS, begun and not ended: kind and name.

    s3: a client, for who asks often: to make one takes longer than many a create.
    """
    key = f".pulumi/stacks/{PROJECT_NAME}/{STACK}.json"
    asked = s3 or checkout.stack.aws("s3")
    stored = asked.get_object(Bucket=state_bucket(checkout.stack.account), Key=key)
    latest: dict[str, Any] = json.load(stored["Body"])["checkpoint"]["latest"]
    return [
        f"{one['type']} {one['resource']['urn'].rsplit('::', 1)[-1]}"
        for one in latest.get("pending_operations") or []
        if one["type"] != "reading"
    ]


def locks(checkout: Checkout) -> list[str]:
    """The locks of the stack's state."""
    prefix = f".pulumi/locks/organization/{PROJECT_NAME}/{STACK}/"
    found = checkout.stack.aws("s3").list_objects_v2(
        Bucket=state_bucket(checkout.stack.account), Prefix=prefix
    )
    return [one["Key"] for one in found.get("Contents", [])]


def wait_for_pending(checkout: Checkout, command: Command, kind: str = "") -> None:
    """Looks as often as it can until the update has something of that kind begun, and not ended."""
    deadline, s3 = time.monotonic() + WAIT_SECONDS, checkout.stack.aws("s3")
    while not any(one.startswith(kind) for one in pending(checkout, s3)):
        if command.is_over:
            raise AssertionError(f"it was to be cut off in its update, and it ended: {command.end().text}")
        assert time.monotonic() < deadline, f"nothing was begun within {WAIT_SECONDS} s"


def kill_in_its_update(checkout: Checkout, image: str, *flags: str, kind: str = "") -> None:
    """Begins a release and kills it, with its engine, while that creates, updates or deletes something."""
    assert pending(checkout) == [], "the run before this one has left something: that is not what to wait for"
    command, s3 = checkout.start(image, *flags), checkout.stack.aws("s3")
    while True:
        wait_for_pending(checkout, command, kind)
        # It goes on while it is looked at: what is still open once it stands is open for good.
        command.tell(signal.SIGSTOP, group=True)
        time.sleep(STANDS_SECONDS)
        if any(one.startswith(kind) for one in pending(checkout, s3)):
            break
        command.tell(signal.SIGCONT, group=True)
    command.tell(signal.SIGKILL, group=True)
    assert command.end().status == -signal.SIGKILL
