"""What the engine's events mean."""

import pytest

from review.changes import Change, Operation
from review.events import read
from review.masking import Masker
from review.stateful import STATEFUL
from tests.review.events import BUCKET, INSTANCE, SERVICE, STACK, ended, recorded, said, step


def only(*events: object) -> Change:
    (change,) = read([*events, ended()], Masker()).changes  # type: ignore[list-item]
    return change


def test_a_first_up_creates_every_resource_and_no_component() -> None:
    reading = read(recorded("first-up"), Masker())
    assert {change.operation for change in reading.changes} == {Operation.CREATE}
    assert len(reading.changes) == 144
    assert not any(change.type.startswith(("switchyard:", "pulumi:")) for change in reading.changes)
    assert reading.finished
    assert reading.errors == ()


def test_a_harmless_change_is_told_property_by_property() -> None:
    reading = read(recorded("harmless-change"), Masker())
    told = {
        (change.operation, change.name, each.path): (each.before, each.after)
        for change in reading.changes
        for each in change.properties
    }
    level = "containerDefinitions.api.environment.LOG_LEVEL.value"
    assert told[Operation.REPLACE, "api-blue", level] == ("debug", "info")
    assert told[Operation.REPLACE, "api-green", level] == ("debug", "info")
    assert told[Operation.UPDATE, "edge-lb", "idleTimeout"] == ("60", "120")
    assert len(reading.changes) == 5


def test_a_replaced_database_is_one_change_that_names_its_cause_and_its_loss() -> None:
    reading = read(recorded("database-replacement"), Masker())
    first = reading.changes[0]
    assert (first.operation, first.name, first.because, first.loses) == (
        Operation.REPLACE,
        "main",
        ("dbName",),
        "data",
    ), "the gravest comes first, and a computed ID is no cause"
    assert [each.path for each in first.properties] == ["dbName"]
    assert [change.name for change in reading.changes].count("main") == 1


def test_the_path_of_components_is_told_outermost_first() -> None:
    by_name = {change.name: change for change in read(recorded("first-up"), Masker()).changes}
    assert by_name["api-roles-execution"].component == ("api", "api-roles")


def test_the_order_is_replace_delete_update_create() -> None:
    events = [
        step("create", SERVICE, "a", None, {}),
        step("update", SERVICE, "b", {"x": 1}, {"x": 2}),
        step("delete", BUCKET, "c", {}),
        step("replace", INSTANCE, "d", {"x": 1}, {"x": 2}),
    ]
    assert [change.name for change in read(events, Masker()).changes] == ["d", "c", "b", "a"]


@pytest.mark.parametrize("op", ["delete", "delete-replaced"])
def test_an_old_copy_that_is_still_to_go_is_a_deletion(op: str) -> None:
    change = only(step(op, INSTANCE, "main", {"dbName": "old"}, state={"delete": True}))
    assert (change.operation, change.loses) == (Operation.DELETE, "data")


def test_what_aws_keeps_is_marked() -> None:
    assert only(step("delete", BUCKET, "b", {}, state={"retainOnDelete": True})).retained
    assert not only(step("delete", BUCKET, "b", {})).retained


def test_an_update_of_something_stateful_loses_nothing() -> None:
    assert only(step("update", INSTANCE, "main", {"a": 1}, {"a": 2})).loses is None


def test_the_detailed_diff_says_where_and_which_property_forces_the_replacement() -> None:
    detailed = {
        "tags.team": {"diffKind": "add", "inputDiff": False},
        "engine": {"diffKind": "update-replace", "inputDiff": False},
        "gone[0]": {"diffKind": "delete", "inputDiff": True},
        "arn": {"diffKind": "update", "inputDiff": False},
    }
    old = {"engine": "mysql", "gone": ["x"], "arn": "arn:old"}
    new = {"engine": "postgres", "tags": {"team": "shop"}, "gone": []}
    change = only(step("replace", INSTANCE, "main", old, new, detailedDiff=detailed))
    told = {each.path: (each.before, each.after, each.replaces) for each in change.properties}
    assert told == {
        "tags.team": (None, "shop", False),
        "engine": ("mysql", "postgres", True),
        "gone[0]": ("x", None, False),
        "arn": ("arn:old", "[known after apply]", False),
    }
    assert change.because == ("engine",)


def test_a_random_name_is_not_told_as_if_it_were_the_one_to_come() -> None:
    events = [
        step(
            "create",
            "aws:rds/subnetGroup:SubnetGroup",
            "main-subnets",
            None,
            {"name": "main-subnets-c2c06a2"},
        ),
        step("create", INSTANCE, "main", None, {"dbSubnetGroupName": "main-subnets-c2c06a2"}),
    ]
    told = {change.name: change.inputs for change in read(events, Masker()).changes}
    assert told["main"] == {"dbSubnetGroupName": "main-subnets-[random]"}
    assert told["main-subnets"] == {"name": "main-subnets-[random]"}


def test_a_secret_that_changes_is_told_without_its_values() -> None:
    old = {"variables": [{"name": "API_TOKEN", "value": "old-value"}, {"name": "LEVEL", "value": "info"}]}
    new = {"variables": [{"name": "API_TOKEN", "value": "new-value"}, {"name": "LEVEL", "value": "info"}]}
    (told,) = only(step("update", SERVICE, "a", old, new, diffs=["variables"])).properties
    assert (told.path, told.before, told.after) == ("variables.API_TOKEN.value", "[secret]", "[secret]")


def test_errors_and_warnings_are_the_engines_words_without_secrets_and_colours() -> None:
    events = [
        said("error", "\x1b[31mno: hunter2-hunter2\x1b[0m\n"),
        said("warning", "old"),
        said("debug", "x"),
    ]
    reading = read(events, Masker(["hunter2-hunter2"]))
    assert reading.errors == ("no: [secret]",)
    assert reading.warnings == ("old",)
    assert not reading.finished


def test_a_policy_that_says_no_is_a_finding() -> None:
    from pulumi.automation import EngineEvent

    event = {
        "message": "not encrypted",
        "color": "never",
        "policyName": "RDS.3",
        "policyPackName": "switchyard",
        "policyPackVersion": "1",
        "policyPackVersionTag": "1",
        "enforcementLevel": "mandatory",
        "resourceUrn": STACK,
    }
    found = read([EngineEvent.from_json({"policyEvent": event})], Masker()).findings
    assert [(each.id, each.mandatory, each.resource) for each in found] == [("RDS.3", True, STACK)]


def test_what_this_program_keeps_data_in_counts_as_stateful() -> None:
    created = {change.type for change in read(recorded("first-up"), Masker()).changes}
    assert created & set(STATEFUL) == {
        "aws:backup/vault:Vault",
        "aws:cloudwatch/logGroup:LogGroup",
        "aws:dynamodb/table:Table",
        "aws:ecr/repository:Repository",
        "aws:kms/key:Key",
        "aws:rds/instance:Instance",
        "aws:s3/bucket:Bucket",
        "aws:secretsmanager/secret:Secret",
    }
