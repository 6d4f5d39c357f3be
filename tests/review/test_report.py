"""What makes a report fail, and what it says for programs."""

import json
from datetime import date, timedelta
from typing import Literal

import pytest

from review.changes import Reading
from review.policy_findings import PolicyFinding
from review.report import FAILED, PASSED, compose
from review.stateful import Allowance
from tests.review.events import BUCKET, INSTANCE, SERVICE, TODAY, ended, recorded, report_of, said, step, urn


def allowance(
    resource: str = "main",
    operation: Literal["replace", "delete"] = "replace",
    expires: date = TODAY,
) -> Allowance:
    return Allowance(resource=resource, operation=operation, reason="a new schema", expires=expires)


def test_a_replaced_database_fails_the_check_and_says_how_to_allow_it() -> None:
    report = report_of(recorded("database-replacement"))
    (check,) = report.failed
    assert report.status == FAILED
    assert (check.title, check.message) == ("Loses data", f"replace of {INSTANCE} main, because of dbName")
    assert "switchyard:allow" in check.remedy
    assert "operation: replace" in check.remedy


@pytest.mark.parametrize(
    "resource", ["main", urn(INSTANCE, "main").replace("aws:", "*aws:"), "*aws:rds/*::main", "mai*"]
)
def test_an_allowance_lets_it_pass_by_name_by_urn_and_by_pattern(resource: str) -> None:
    report = report_of(recorded("database-replacement"), allowances=[allowance(resource)])
    assert report.status == PASSED
    assert [check.message.rpartition("allowed until ")[2] for check in report.checks] == [
        "2026-11-21, because a new schema"
    ]


@pytest.mark.parametrize(
    "other",
    [allowance("other"), allowance(operation="delete"), allowance(expires=TODAY - timedelta(days=1))],
)
def test_another_resource_another_operation_and_yesterday_allow_nothing(other: Allowance) -> None:
    report = report_of(recorded("database-replacement"), allowances=[other])
    assert report.status == FAILED
    assert ("was allowed until 2026-11-20" in report.failed[0].message) == (other.expires < TODAY)


def test_of_two_allowances_the_one_that_is_still_good_counts() -> None:
    both = [allowance(expires=TODAY - timedelta(days=9)), allowance(expires=TODAY + timedelta(days=9))]
    assert report_of(recorded("database-replacement"), allowances=both).status == PASSED


@pytest.mark.parametrize("pattern", ["*", "**", "?*", ""])
def test_an_allowance_for_everything_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match="every resource"):
        allowance(pattern)


def test_a_deleted_bucket_fails_and_a_deleted_service_does_not() -> None:
    assert report_of([step("delete", BUCKET, "b", {}), ended()]).status == FAILED
    assert report_of([step("delete", SERVICE, "s", {}), ended()]).status == PASSED


def test_a_preview_that_failed_says_why_and_has_no_digest() -> None:
    report = report_of([said("error", "no credentials")])
    assert report.status == FAILED
    assert report.to_json()["digest"] is None
    assert report.failed[0].message == "no credentials"
    silent = compose(Reading(), project="p", stack="s", plan=None, today=TODAY)
    assert silent.status == FAILED
    assert silent.failed[0].message == "the engine ended without a word of why"


@pytest.mark.parametrize(
    ("mandatory", "waived", "status"),
    [(True, None, FAILED), (True, "until May, a test", PASSED), (False, None, PASSED)],
)
def test_a_mandatory_policy_fails_unless_it_is_waived(
    mandatory: bool, waived: str | None, status: int
) -> None:
    finding = PolicyFinding(
        id="RDS.3",
        severity="high",
        resource="main",
        message="not encrypted",
        remedy="encrypt it",
        waived=waived,
        mandatory=mandatory,
    )
    assert report_of([ended()], findings=[finding]).status == status


def test_nothing_to_do_is_a_report_that_passes() -> None:
    report = report_of([ended()])
    assert (report.status, report.headline) == (PASSED, "no changes")


def test_the_json_holds_all_of_it_and_nothing_that_json_does_not_know() -> None:
    found = json.loads(json.dumps(report_of(recorded("database-replacement")).to_json()))
    assert found["status"] == "failed"
    assert found["counts"] == {"replace": 3, "delete": 0, "update": 3, "import": 0, "forget": 0, "create": 0}
    assert found["changes"][0]["properties"] == [
        {"path": "dbName", "before": "shop", "after": "store", "replaces": True}
    ]
    assert len(found["digest"]) == 64
    assert "inputs" not in found["changes"][0]
