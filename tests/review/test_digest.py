"""The same plan has the same digest; another plan, state or configuration has another."""

import hashlib
import json
from dataclasses import replace

import pytest
from pulumi.automation import EngineEvent

from review.digest import Plan, compare, configuration_version, plan_of, secret_key, state_version
from review.events import read
from review.masking import Masker
from tests.review.events import BUCKET, INSTANCE, SERVICE, recorded, step

STATE = {"resources": [{"urn": "u", "inputs": {"a": 1}}], "manifest": {"time": "1"}}


def plan(*events: EngineEvent, keyed: Masker | None = None) -> Plan:
    reading = read(events, Masker(), keyed=keyed)
    return plan_of(reading.changes, project="p", stack="s", state="state", configuration="c", refreshed=False)


def test_the_same_plan_has_the_same_digest_in_whatever_order_the_engine_tells_it() -> None:
    events = [step("update", SERVICE, "a", {"x": 1}, {"x": 2}), step("create", BUCKET, "b", None, {"y": 1})]
    assert plan(*events).digest == plan(*reversed(events)).digest


def test_a_random_name_does_not_make_another_plan() -> None:
    one, other = (
        plan(step("create", "aws:s3/bucket:Bucket", "logs", None, {"bucket": f"logs-{suffix}"}))
        for suffix in ("0a1b2c3", "4d5e6f7")
    )
    assert one.digest == other.digest


@pytest.mark.parametrize(
    "other",
    [
        step("update", SERVICE, "a", {"x": 1}, {"x": 3}, diffs=["x"]),
        step("update", SERVICE, "b", {"x": 1}, {"x": 2}, diffs=["x"]),
        step("replace", SERVICE, "a", {"x": 1}, {"x": 2}, diffs=["x"]),
        step("update", SERVICE, "a", {"x": 1, "z": 0}, {"x": 2, "z": 1}, diffs=["x"]),
    ],
)
def test_another_operation_another_resource_and_another_value_make_another_plan(other: EngineEvent) -> None:
    planned = plan(step("update", SERVICE, "a", {"x": 1}, {"x": 2}, diffs=["x"]))
    assert planned.digest != plan(other).digest
    assert compare(planned, plan(other))


@pytest.mark.parametrize("field", ["state", "configuration", "stack", "project"])
def test_another_state_or_configuration_makes_another_plan(field: str) -> None:
    planned = plan(step("update", SERVICE, "a", {"x": 1}, {"x": 2}))
    now = replace(planned, **{field: "other"})  # type: ignore[arg-type]
    assert planned.digest != now.digest
    assert len(compare(planned, now)) == 1
    assert compare(planned, planned) == []


def test_the_difference_names_the_resource_the_property_and_both_values() -> None:
    planned = plan(step("update", SERVICE, "a", {"x": 1}, {"x": 2}), step("delete", BUCKET, "b", {}))
    now = plan(step("update", SERVICE, "a", {"x": 1}, {"x": 3}), step("create", INSTANCE, "c", None, {}))
    assert [line.split("::", 2)[2] for line in compare(planned, now)] == [
        f"{SERVICE}::a: x: planned 1 → 2; now 1 → 3",
        f"{INSTANCE}::c: not planned; now: create",
        f"{BUCKET}::b: planned: delete; now: nothing",
    ]


def test_another_secret_makes_another_plan_and_is_not_in_it() -> None:
    def planned(password: str, key: bytes = b"key") -> Plan:
        event = step("update", INSTANCE, "m", {"password": "older"}, {"password": password})
        return plan(event, keyed=Masker().keyed(key))

    one, other = planned("first-password"), planned("second-password")
    assert one.digest != other.digest
    (told,) = compare(one, other)
    assert told.endswith(f"{INSTANCE}::m: update with other values, which are secret or are not shown")
    assert "password" not in json.dumps(one.to_json()).replace('"password"', "")
    guess = json.dumps({"password": "first-password"}, sort_keys=True, separators=(",", ":"))
    assert hashlib.sha256(guess.encode()).hexdigest() not in json.dumps(one.to_json()), "it could be guessed"
    assert one.digest != planned("first-password", b"other key").digest


def test_a_states_version_is_its_content_and_not_the_time_of_its_writing() -> None:
    assert state_version(STATE) == state_version({**STATE, "manifest": {"time": "2"}})
    assert state_version(STATE) != state_version({"resources": [{"urn": "u", "inputs": {"a": 2}}]})
    assert state_version({"resources": None}) == state_version({}), "a new stack and none are the same"


def test_the_key_of_secrets_is_not_the_published_version() -> None:
    key = secret_key(STATE)
    assert key is not None
    assert key.hex() != state_version(STATE)
    assert secret_key({}) is None, "everybody knows an empty state"


def test_the_configuration_counts_as_it_is_written() -> None:
    assert configuration_version({"a": 1, "b": 2}) == configuration_version({"b": 2, "a": 1})
    assert configuration_version({"a": {"secure": "v1:x"}}) != configuration_version(
        {"a": {"secure": "v1:y"}}
    )


def test_a_plan_survives_its_file_and_a_changed_file_is_noticed() -> None:
    reading = read(recorded("database-replacement"), Masker())
    planned = plan_of(reading.changes, project="p", stack="s", state="1", configuration="2", refreshed=True)
    written = json.loads(json.dumps(planned.to_json()))
    assert Plan.from_json(written).digest == planned.digest
    assert compare(Plan.from_json(written), planned) == []
    with pytest.raises(ValueError, match="changed"):
        Plan.from_json({**written, "state": "3"})
    with pytest.raises(ValueError, match="format 9"):
        Plan.from_json({**written, "format": 9})
