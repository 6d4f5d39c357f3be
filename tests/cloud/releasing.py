"""What the tests of releases share: the stack's settings, and how everything is between two releases."""

from typing import Any

from tests.cloud.releases import COLOURS, SERVICE, Checkout

AT_ONCE = ("--strategy", "all-at-once")
# Long enough for everything that a test does in it; nobody waits for its end.
LONG_BAKE = ("--bake", "600")
CANARY_PERCENT = 20
CANARY = ("--strategy", "canary", "--step", str(CANARY_PERCENT), "--every", "30", "--bake", "5")
ALL_SUSPENDED = {
    "DynamicScalingInSuspended": True,
    "DynamicScalingOutSuspended": True,
    "ScheduledScalingSuspended": True,
}
NONE_SUSPENDED = dict.fromkeys(ALL_SUSPENDED, False)


def settings(found: dict[str, Any]) -> None:
    """The stack's own settings, but for what would make these tests long or their traffic an alarm."""
    # A fiftieth of the requests takes two seconds on purpose.
    found["switchyard:monitoring"]["alarms"]["latency_p99_seconds"] = 4
    api = found["switchyard:services"][SERVICE]
    api["smoke"] = [{"path": "/api/", "body_contains": '"status": "ok"', "max_seconds": 20}]
    # A fixed number of tasks: one that follows the load would make every release another one.
    api["count"] = {"minimum": 2, "maximum": 2}
    api["longest_request_seconds"] = api["deregistration_delay_seconds"] = 10


def live(checkout: Checkout) -> tuple[str, str]:
    """The colour that has the traffic, and the one that has none."""
    weights = checkout.weights()
    assert sorted(weights.values()) == [0, 100], f"between releases one colour has it all: {weights}"
    new, old = sorted(COLOURS, key=lambda colour: weights[colour])
    return old, new


def settled(checkout: Checkout, colour: str) -> None:
    """Everything as it has to be between two releases, with the traffic on that colour."""
    idle = next(each for each in COLOURS if each != colour)
    assert checkout.weights() == {colour: 100, idle: 0}
    assert checkout.weights("test") == {colour: 0, idle: 100}, "the test listener reaches the idle colour"
    assert checkout.desired() == {colour: 2, idle: 0}
    suspended = checkout.suspended()
    assert suspended[colour] == NONE_SUSPENDED, "the live colour scales by itself again"
    assert suspended[idle] == ALL_SUSPENDED, "no policy may start tasks in the idle colour"
    assert checkout.current() is None
    assert checkout.item("lock", "stack")["held"] == {"BOOL": False}, "the next release must find it free"
