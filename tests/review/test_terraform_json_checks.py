"""checkov's report on a rendered program, less what is skipped with a reason."""

import json
from pathlib import Path
from typing import Any

import pytest

from review.terraform_checks import (
    InvalidReport,
    InvalidSkips,
    Skip,
    addresses,
    judged,
    main,
    skips,
    written,
)
from review.terraform_json import render
from review.terraform_program import declared
from tests.review.terraform_program import images
from tests.unit import stacks

PROGRAM = {
    "resource": {
        "aws_s3_bucket": {"logs": {"force_destroy": False}, "data": {"tags": {"logs": {"x": 1}}}},
        "aws_sns_topic": {"logs": {}},
    },
    "terraform": {"required_providers": {"aws": {"source": "hashicorp/aws"}}},
}
SKIP = Skip(check="CKV_AWS_18", resource="aws_s3_bucket.logs", reason="it is the bucket that logs go to")


def line_of(text: str, address: str) -> int:
    return next(number for number, found in addresses(text).items() if found == address)


def report(*failed: tuple[str, int], passed: int = 7, **summary: Any) -> dict[str, Any]:
    """A report of checkov with these failed checks, each at the line in which its resource begins.

    The Terraform JSON runner names a resource without its type, so the lines are what can be relied on.
    """
    return {
        "check_type": "terraform_json",
        "summary": {"passed": passed, "failed": len(failed), "parsing_errors": 0, **summary},
        "results": {
            "failed_checks": [
                {
                    "check_id": check,
                    "check_name": "a title",
                    "file_line_range": [line, line + 1],
                    "resource": "resource.logs",
                }
                for check, line in failed
            ]
        },
    }


def test_the_lines_of_a_file_lead_to_its_resources_and_to_nothing_else() -> None:
    text = written(PROGRAM)
    assert sorted(addresses(text).values()) == [
        "aws_s3_bucket.data",
        "aws_s3_bucket.logs",
        "aws_sns_topic.logs",
    ]
    for number, address in addresses(text).items():
        assert f'"{address.partition(".")[2]}": {{' in text.splitlines()[number - 1]


def test_a_skip_covers_its_check_on_its_resource_alone() -> None:
    text = written(PROGRAM)
    bucket, data, topic = (
        line_of(text, a) for a in ("aws_s3_bucket.logs", "aws_s3_bucket.data", "aws_sns_topic.logs")
    )
    given = report(
        ("CKV_AWS_18", bucket), ("CKV_AWS_18", data), ("CKV_AWS_18", topic), ("CKV_AWS_21", bucket)
    )
    found = judged(given, text, [SKIP])
    assert [(f.check, f.resource) for f in found.skipped] == [("CKV_AWS_18", "aws_s3_bucket.logs")]
    assert [(f.check, f.resource) for f in found.failed] == [
        ("CKV_AWS_18", "aws_s3_bucket.data"),
        ("CKV_AWS_18", "aws_sns_topic.logs"),
        ("CKV_AWS_21", "aws_s3_bucket.logs"),
    ]
    assert found.skipped[0].reason == SKIP.reason


def test_a_skip_that_nothing_needs_is_told() -> None:
    assert judged(report(), written(PROGRAM), [SKIP]).unused == [SKIP]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"passed": 0, "failed": 0, "parsing_errors": 0}, "it looked at nothing"),
        (report(passed=0), "it looked at nothing"),
        (report(parsing_errors=1), "could not read the file"),
    ],
)
def test_a_scan_that_did_not_happen_has_not_passed(given: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidReport, match=told):
        judged(given, written(PROGRAM), [])


def test_the_command_fails_exactly_when_something_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = written({"resource": {"aws_s3_bucket": {"edge-logs": {}}}})
    (tmp_path / "prod.tf.json").write_text(text)
    line = line_of(text, "aws_s3_bucket.edge-logs")
    for check, status in (("CKV_AWS_18", 0), ("CKV_AWS_21", 1)):
        (tmp_path / "report.json").write_text(json.dumps(report((check, line))))
        assert main(str(tmp_path / "report.json"), str(tmp_path / "prod.tf.json")) == status
    said = capsys.readouterr().out
    assert "FAILED   CKV_AWS_21   aws_s3_bucket.edge-logs" in said
    assert "7 passed, 1 failed, 0 skipped with a reason" in said


def test_every_skip_is_about_a_resource_of_production() -> None:
    text = written(render(declared(stacks.stack("prod"), images("prod"))))
    known = addresses(text).values()
    assert [s.resource for s in skips() if not any(s.covers(address) for address in known)] == []


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("skips: [{check: CKV_AWS_18, resource: aws_s3_bucket.x}]", "reason"),
        ("skips: [{check: CKV_AWS_18, resource: aws_s3_bucket.x, reason: later}]", "reason"),
        (
            "skips: [{check: CKV_AWS_18, resource: '*', reason: a reason that is long enough}]",
            "resource",
        ),
        ("skips: [{check: all, resource: aws_s3_bucket.x, reason: a reason that is long enough}]", "check"),
        ("skip-check: [CKV_AWS_18]", "skips"),
        ("skips: all", "no list"),
        ("{", "is not what it should be"),
    ],
)
def test_a_skip_without_a_reason_or_for_everything_is_refused(entry: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "checkov.yaml").write_text(entry)
    with pytest.raises(InvalidSkips, match=told):
        skips(tmp_path / "checkov.yaml")
