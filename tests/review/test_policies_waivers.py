"""Waivers: what they have to say, what they cover, and that they end."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import pytest

from policies.catalogue import ids
from policies.controls import databases
from policies.judge import judge
from policies.model import Resource, Stack
from policies.waivers import InvalidWaiver, Waiver, parse

TODAY = date(2026, 11, 21)
WAIVER: Mapping[str, Any] = {
    "control": "RDS.5",
    "resource": "main",
    "reason": "no data that anybody would miss",
    "expires": "2027-06-30",
}


def waiver(**changes: Any) -> Waiver:
    (found,) = parse({"waivers": [{**WAIVER, **changes}]}, ids(), TODAY)
    return found


def database(name: str = "main", **properties: Any) -> Resource:
    return Resource(urn=name, type=databases.INSTANCE, name=name, properties=properties)


def test_a_waiver_covers_its_control_and_its_resources_alone() -> None:
    found = waiver(resource="main*")
    assert found.covers("RDS.5", "main-replica-1")
    assert not found.covers("RDS.5", "other")
    assert not found.covers("RDS.8", "main")
    assert not waiver().covers("RDS.5", "main-replica-1"), "a name without * is the whole name"


def test_a_waiver_holds_on_its_last_day_and_not_on_the_next() -> None:
    found = waiver(expires="2026-11-21")
    assert not found.expired(TODAY)
    assert found.expired(date(2026, 11, 22))


def test_a_day_that_yaml_has_read_already_is_a_day() -> None:
    assert waiver(expires=date(2027, 6, 30)) == waiver()


def test_no_settings_are_no_waivers() -> None:
    assert parse(None, ids(), TODAY) == []
    assert parse({"waivers": []}, ids(), TODAY) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"reason": "later"}, "tells a reviewer nothing"),
        ({"reason": "          "}, "tells a reviewer nothing"),
        ({"expires": "soon"}, "give a day such as 2027-06-30"),
        ({"expires": "2028-06-30"}, "more than 366 days ahead"),
        ({"control": "RDS.99"}, "not one that is checked"),
        ({"resource": "*"}, "is all of them"),
        ({"resource": "?*"}, "is all of them"),
        ({"owner": "me"}, "exactly control, expires, reason, resource"),
    ],
)
def test_what_is_no_waiver_is_refused_with_what_is_allowed(changes: Mapping[str, Any], told: str) -> None:
    with pytest.raises(InvalidWaiver, match=r"switchyard:policy\.waivers\.0") as refused:
        waiver(**changes)
    assert told in str(refused.value)


@pytest.mark.parametrize("missing", sorted(WAIVER))
def test_a_waiver_without_one_of_its_parts_is_refused(missing: str) -> None:
    entry = {key: given for key, given in WAIVER.items() if key != missing}
    with pytest.raises(InvalidWaiver, match="allowed: exactly"):
        parse({"waivers": [entry]}, ids(), TODAY)


def test_every_mistake_is_told_at_once() -> None:
    wrong = [{**WAIVER, "control": "X.1"}, dict(WAIVER), {**WAIVER, "reason": ""}]
    with pytest.raises(InvalidWaiver) as refused:
        parse({"waivers": wrong}, ids(), TODAY)
    assert [line.split(":")[1] for line in str(refused.value).splitlines()] == [
        "policy.waivers.0",
        "policy.waivers.2",
    ]


@pytest.mark.parametrize("policy", [[], "waivers", {"waivers": "all"}])
def test_a_setting_of_another_shape_is_refused(policy: Any) -> None:
    with pytest.raises(InvalidWaiver, match="list `waivers`"):
        parse(policy, ids(), TODAY)


# --- a whole judgement

WEAK = Stack([database(engine="postgres", multiAz=False, port=5432.0)])


def test_a_waived_finding_fails_nothing_and_is_still_told() -> None:
    without = judge(WEAK, [], TODAY)
    assert "RDS.5" in {finding.control.id for finding in without.failed}
    judged = judge(WEAK, [waiver()], TODAY)
    assert "RDS.5" not in {finding.control.id for finding in judged.failed}
    assert [(f.control.id, f.waiver) for f in judged.waived] == [("RDS.5", waiver())]
    assert len(judged.failed) == len(without.failed) - 1, "a waiver of one control waives no other"


def test_an_expired_waiver_waives_nothing_and_fails_by_itself() -> None:
    late = date(2027, 7, 1)
    judged = judge(WEAK, [waiver()], late)
    assert "RDS.5" in {finding.control.id for finding in judged.failed}
    assert judged.expired == [waiver()]
    nothing = judge(Stack([]), [waiver()], late)
    assert not nothing.failed
    assert not nothing.passed, "an expired waiver fails even where nothing needs it"


def test_a_waiver_that_nothing_needs_is_told() -> None:
    judged = judge(WEAK, [waiver(resource="gone")], TODAY)
    assert judged.unused == [waiver(resource="gone")]


def test_what_is_of_low_severity_is_advised_and_passes() -> None:
    fine = database(
        multiAz=True,
        storageEncrypted=True,
        enabledCloudwatchLogsExports=["postgresql", "upgrade"],
        iamDatabaseAuthenticationEnabled=True,
        backupRetentionPeriod=7.0,
        username="owner",
        engine="postgres",
        port=5432.0,
    )
    judged = judge(Stack([fine]), [], TODAY)
    assert judged.passed
    assert "RDS.23" in {finding.control.id for finding in judged.advised}
