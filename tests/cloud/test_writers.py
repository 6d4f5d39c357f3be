"""Every call of a stack's life, judged by the policies that bootstrap has made for GitHub's jobs.

The embedded cloud lets everybody do everything. So the calls of a real first update, a refresh, two releases,
a drift check, a reap and a destroy are taken down, and IAM's rules are applied to each.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from localcloud import cloud
from review.ephemeral import Record
from switchyard import bootstrap
from tests.cloud.asked import Account, Asked
from tests.cloud.recorder import recording
from tests.cloud.writers import STACK, Life, admin, plugin, policies_of, stack_in, through
from tests.unit.iam_policies import Statements, permitted

pytestmark = pytest.mark.cloud

ACCOUNT, REGION = "100000000054", "eu-west-1"
PREVIEWS = ("first preview", "refresh", "status", "drift")
REVIEWS = ("reap",)
# Kinds whose ARN holds the stack's name: here one stack's writer can't touch what is another's.
WALLED = {"dynamodb", "ecr", "logs", "s3", "secretsmanager", "sns", "ssm"}
WALLED_ACTIONS = {
    "cloudwatch:PutDashboard",
    "cloudwatch:PutMetricAlarm",
    "ecs:CreateService",
    "ecs:DeleteService",
    "ecs:RunTask",
    "ecs:UpdateService",
    "iam:AttachRolePolicy",
    "iam:CreateRole",
    "iam:DeleteRole",
    "iam:PassRole",
    "iam:PutRolePolicy",
}


@pytest.fixture(scope="module")
def life(embedded_cloud: cloud.Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Life]:  # noqa: ARG001
    """The life of a stack, from bootstrap to its destroy."""
    direct = cloud.environment(ACCOUNT)
    work = tmp_path_factory.mktemp("writers")
    done = bootstrap.run(
        ACCOUNT,
        REGION,
        "acme/shop",
        ["dev", "prod", "review"],
        yes=True,
        say=lambda _: None,
        environment=direct,
        folder=work / "bootstrap",
    )
    with (
        recording(direct["AWS_ENDPOINT_URL"]) as recorder,
        plugin(through(done, direct, recorder)) as shell,
    ):
        account = Account(
            number=ACCOUNT,
            state_bucket=f"switchyard-pulumi-state-{ACCOUNT}",
            state_key=key_of("switchyard-state", direct),
        )
        stack = stack_in(work / "project", ACCOUNT, shell)
        life = Life(stack=stack, direct=direct, recorder=recorder, account=account)
        sealed = done.secrets_provider.replace(direct["AWS_ENDPOINT_URL"], recorder.endpoint)
        live(life, sealed)
        yield life


def live(life: Life, secrets_provider: str) -> None:
    stack = life.stack
    with life.step("init"):
        stack.pulumi("stack", "init", STACK, "--secrets-provider", secrets_provider, check=True)
    with life.step("first preview"):
        stack.preview()
    with life.step("first up"):
        stack.up()
    with life.step("refresh"):
        stack.preview("--refresh")
    life.give_secrets_values()
    with life.step("release"):
        life.release("v1")
        life.release("v2")
    with life.step("status"):
        life.switchyard("status", "--stack", STACK)
    with life.step("drift"):
        life.switchyard("drift", "--stack", STACK)
    with life.step("update"):
        stack.change(lambda found: found["switchyard:tags"].update({"team": "other"}))
        life.switchyard("up", "--stack", STACK)
    with life.step("reap"):
        reap(life)
    with life.step("destroy"):
        stack.pulumi("destroy", "--yes", "--skip-preview", "--stack", STACK, check=True)


def reap(life: Life) -> None:
    """Clears away a review stack that came no further than its state."""
    now = datetime.now(UTC).replace(microsecond=0)
    record = Record(
        number=42, base=STACK, cidr=IPv4Network("10.128.168.0/22"), expires=now - timedelta(hours=1)
    )
    life.admin("ssm").put_parameter(Name="/switchyard/review/pr-42", Value=record.text(), Type="String")
    life.admin("ssm").put_parameter(
        Name="/switchyard/pr-42/images/api/blue", Value="image@sha256:1", Type="String"
    )
    life.switchyard("review", "reap")
    assert life.admin("ssm").get_parameters_by_path(Path="/switchyard/review")["Parameters"] == []


def key_of(alias: str, direct: Mapping[str, str]) -> str:
    found: str = admin("kms", direct).describe_key(KeyId=f"alias/{alias}")["KeyMetadata"]["Arn"]
    return found


def role(life: Life, name: str) -> list[Statements]:
    return policies_of(life.admin("iam"), name)


def denied(policies: list[Statements], asked: list[Asked]) -> list[str]:
    return [str(one) for one in asked if not permitted(policies, one.action, one.resource, one.context)]


def test_every_call_was_understood_and_the_ones_that_matter_were_made(life: Life) -> None:
    assert life.recorder.unread == []
    asked = {one.action for step in life.asked.values() for one in step}
    assert asked >= WALLED_ACTIONS | {
        "application-autoscaling:PutScalingPolicy",
        "backup:CreateBackupVault",
        "dynamodb:ConditionCheckItem",
        "ec2:CreateVpc",
        "elasticloadbalancing:ModifyRule",
        "iam:CreateServiceLinkedRole",
        "kms:CreateGrant",
        "kms:ScheduleKeyDeletion",
        "rds:CreateDBInstance",
        "ssm:PutParameter",
    }
    assert len(life.asked["first up"]) > 300


def test_a_writer_brings_its_stack_up_releases_to_it_and_takes_it_down(life: Life) -> None:
    writer = role(life, f"switchyard-writer-{STACK}")
    steps = {step: denied(writer, asked) for step, asked in life.asked.items() if step not in REVIEWS}
    assert {step: found for step, found in steps.items() if found} == {}


def test_a_preview_reads_all_that_it_needs(life: Life) -> None:
    preview = role(life, "switchyard-preview")
    steps = {step: denied(preview, life.asked[step]) for step in PREVIEWS}
    assert {step: found for step, found in steps.items() if found} == {}


def test_a_preview_can_do_nothing_of_what_changes_anything(life: Life) -> None:
    preview = role(life, "switchyard-preview")
    changes = [one for step in life.asked.values() for one in step if one.changes]
    assert len({one.action for one in changes}) > 100
    assert [str(one) for one in changes if permitted(preview, one.action, one.resource, one.context)] == []


def test_previews_themselves_change_nothing(life: Life) -> None:
    assert [str(one) for step in PREVIEWS for one in life.asked[step] if one.changes] == []


def test_another_stacks_writer_is_kept_from_all_that_has_the_stacks_name(life: Life) -> None:
    other = role(life, "switchyard-writer-prod")
    walled = [
        one
        for step, asked in life.asked.items()
        for one in asked
        if one.changes
        and step not in REVIEWS
        and (one.action.partition(":")[0] in WALLED or one.action in WALLED_ACTIONS)
        # RDS names these secrets itself.
        and ":secret:rds!" not in one.resource
    ]
    assert len(walled) > 50
    assert [str(one) for one in walled if permitted(other, one.action, one.resource, one.context)] == []


def test_the_review_environment_does_the_same_for_the_stacks_of_pull_requests(life: Life) -> None:
    review = role(life, "switchyard-writer-review")
    theirs = {
        step: [as_of("pr-42", one) for one in asked] if step not in REVIEWS else asked
        for step, asked in life.asked.items()
    }
    steps = {step: denied(review, asked) for step, asked in theirs.items()}
    assert {step: found for step, found in steps.items() if found} == {}
    assert denied(review, [one for one in life.asked["first up"] if one.action == "iam:CreateRole"]), "dev's"


def as_of(stack: str, asked: Asked) -> Asked:
    """What the same step of another stack would ask."""
    text = asked.resource
    for form in ("switchyard-{}", "/switchyard/{}", "switchyard/{}/"):
        text = text.replace(form.format(STACK), form.format(stack))
    return replace(asked, resource=text, context=json.loads(json.dumps(dict(asked.context))))


def test_every_role_of_the_stack_is_below_its_path_and_under_the_boundary(life: Life) -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/switchyard-stack-boundary"
    made = life.account.roles
    assert len(made) == 7
    for name, (arn, bounded) in made.items():
        assert arn == f"arn:aws:iam::{ACCOUNT}:role/switchyard/{STACK}/{name}"
        assert bounded == boundary


def test_nothing_but_the_account_itself_is_left(life: Life, tmp_path: Path) -> None:
    del tmp_path
    names = {one["RoleName"] for one in life.admin("iam").list_roles()["Roles"]}
    assert names == {"switchyard-preview", *(f"switchyard-writer-{one}" for one in ("dev", "prod", "review"))}
