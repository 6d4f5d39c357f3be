"""Review stacks on the embedded cloud: made, killed, reaped, taken down; and nothing else is ever touched."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from typing import Any

import psutil
import pytest
import yaml

from localcloud.paths import PROJECT, state_bucket
from review.ephemeral import Phase, Record, parse
from switchyard import review_places, review_stacks, stacks
from switchyard.errors import SwitchyardError
from switchyard.locks import StackLocked
from tests.cloud import looks
from tests.cloud.conftest import Begin
from tests.cloud.stack import StackUnderTest

pytestmark = pytest.mark.cloud

NOW = datetime.now(UTC).replace(microsecond=0)
LATER = NOW + timedelta(hours=49)
FOLDER = "/switchyard/review/"
OTHERS_IMAGE = "/switchyard/local/images/api/blue"
WAIT_SECONDS = 240

UP = """
import sys
from pathlib import Path
from switchyard import review_places, review_stacks, stacks
stacks.PROJECT = review_places.PROJECT = Path(sys.argv[1])
review_stacks.up(int(sys.argv[2]), base="local", ttl_hours=48, say=print)
"""


@pytest.fixture(scope="module")
def base(begin: Begin) -> Iterator[StackUnderTest]:
    """A checkout whose stack `local` is in an account of its own, and has released something."""
    stack = begin("local", "100000000061")
    for path in PROJECT.glob("Pulumi.*.yaml"):
        # The other stacks' accounts are not this one's.
        if path.name.split(".")[1] not in ("local", "prod") and "pr-" not in path.name:
            (stack.folder / path.name).write_text(path.read_text())
    stack.aws("ssm").put_parameter(Name=OTHERS_IMAGE, Value="image@sha256:1", Type="String")
    patch = pytest.MonkeyPatch()
    for module in (stacks, review_places):
        patch.setattr(module, "PROJECT", stack.folder)
    patch.delenv("AWS_ENDPOINT_URL", raising=False)
    yield stack
    patch.undo()
    stack.aws("ssm").delete_parameters(Names=[OTHERS_IMAGE])


def record_of(base: StackUnderTest, stack: str) -> Record:
    found = base.aws("ssm").get_parameter(Name=FOLDER + stack)["Parameter"]["Value"]
    return parse(stack, found)


def parameters(base: StackUnderTest) -> list[str]:
    pages = base.aws("ssm").get_paginator("describe_parameters").paginate()
    return sorted(entry["Name"] for page in pages for entry in page["Parameters"])


def states(base: StackUnderTest) -> set[str]:
    return {entry["name"] for entry in yaml.safe_load(base.pulumi("stack", "ls", "--json", check=True).text)}


def nothing_is_left(base: StackUnderTest) -> None:
    assert looks.leftovers(base) == {}
    assert parameters(base) == [OTHERS_IMAGE], "what others wrote stays, and nothing else"
    assert states(base) == {"local"}
    assert list(base.folder.glob("*pr-*")) == []


def wait_for(condition: Callable[[], object], process: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + WAIT_SECONDS
    while not condition():
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline, "it never came so far"
        time.sleep(0.25)


def killed_up(base: StackUnderTest, number: int, condition: Callable[[], object]) -> None:
    """An up that is killed with its engine as soon as the condition holds."""
    process = subprocess.Popen(
        [sys.executable, "-c", UP, str(base.folder), str(number)],
        cwd=PROJECT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        wait_for(condition, process)
    finally:
        # The engine has a process group of its own.
        root = psutil.Process(process.pid)
        for each in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        process.communicate()


def ended_unseen(base: StackUnderTest, stack: str) -> None:
    """Makes an alarm that the cut-off run had begun: AWS has it, and the state has its beginning."""
    s3, bucket = base.aws("s3"), state_bucket(base.account)
    key = f".pulumi/stacks/switchyard/{stack}.json"
    state = json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    latest = state["checkpoint"]["latest"]
    (vpc,) = [each for each in latest["resources"] if each["type"] == "aws:ec2/vpc:Vpc"]
    name, kind = f"switchyard-{stack}-unseen", "aws:cloudwatch/metricAlarm:MetricAlarm"
    urn = f"urn:pulumi:{stack}::switchyard::{kind}::unseen"
    begun = {"urn": urn, "custom": True, "type": kind, "inputs": {"name": name}, "provider": vpc["provider"]}
    latest.setdefault("pending_operations", []).append({"resource": begun, "type": "creating"})
    s3.put_object(Bucket=bucket, Key=key, Body=json.dumps(state).encode())
    base.aws("cloudwatch").put_metric_alarm(
        AlarmName=name,
        MetricName="Unseen",
        Namespace="Tests",
        Period=60,
        EvaluationPeriods=1,
        Threshold=0,
        Statistic="Sum",
        ComparisonOperator="GreaterThanThreshold",
        Tags=[{"Key": "project", "Value": "switchyard"}, {"Key": "stack", "Value": stack}],
    )


def lock_from_elsewhere(base: StackUnderTest, stack: str) -> None:
    """Makes the stack's lock one of another host."""
    s3, bucket = base.aws("s3"), state_bucket(base.account)
    folder = f".pulumi/locks/organization/switchyard/{stack}/"
    (entry,) = s3.list_objects_v2(Bucket=bucket, Prefix=folder)["Contents"]
    lock = json.loads(s3.get_object(Bucket=bucket, Key=entry["Key"])["Body"].read())
    s3.put_object(
        Bucket=bucket, Key=entry["Key"], Body=json.dumps({**lock, "hostname": "elsewhere"}).encode()
    )


def test_an_up_that_was_killed_is_reaped_from_another_checkout(base: StackUnderTest) -> None:
    killed_up(
        base, 41, lambda: looks.own_vpcs(base) and base.aws("ecr").describe_repositories()["repositories"]
    )
    assert record_of(base, "pr-41").phase is Phase.BEGUN
    (base.folder / "Pulumi.pr-41.yaml").unlink()
    assert review_stacks.reap(NOW, print).kept == ["pr-41"], "its time is not over"
    assert looks.own_vpcs(base)
    ended_unseen(base, "pr-41")
    lock_from_elsewhere(base, "pr-41")
    with pytest.raises(StackLocked, match="elsewhere"):
        review_stacks.down(41, print)
    assert looks.own_vpcs(base), "a person has to say that the other host is gone"
    assert review_stacks.reap(LATER, print).destroyed == ["pr-41"], "no job holds a lock for two days"
    nothing_is_left(base)


def test_a_reservation_that_came_to_nothing_is_reaped(base: StackUnderTest) -> None:
    record = Record(number=44, base="local", cidr=IPv4Network("10.128.176.0/22"), expires=NOW)
    base.aws("ssm").put_parameter(Name=FOLDER + "pr-44", Value=record.text(), Type="String")
    assert review_stacks.reap(NOW, print).destroyed == ["pr-44"]
    nothing_is_left(base)


def test_what_is_no_review_stack_is_told_and_left_alone_while_the_others_go(base: StackUnderTest) -> None:
    ssm = base.aws("ssm")
    expired = Record(number=44, base="local", cidr=IPv4Network("10.128.176.0/22"), expires=NOW)
    for name, text in (("local", expired.text()), ("pr-43", "?"), ("pr-44", expired.text())):
        ssm.put_parameter(Name=FOLDER + name, Value=text, Type="String")
    with pytest.raises(review_stacks.ReapFailed) as failed:
        review_stacks.reap(LATER, print)
    assert failed.value.reaped.destroyed == ["pr-44"]
    assert failed.value.reaped.failed.keys() == {"local", "pr-43"}
    assert parameters(base) == [OTHERS_IMAGE, FOLDER + "local", FOLDER + "pr-43"]
    assert "local" in states(base)
    ssm.delete_parameters(Names=[FOLDER + "local", FOLDER + "pr-43"])


def test_resources_whose_state_is_lost_are_told_and_their_record_stays(base: StackUnderTest) -> None:
    tags = [{"Key": "project", "Value": "switchyard"}, {"Key": "stack", "Value": "pr-45"}]
    ec2 = base.aws("ec2")
    vpc = ec2.create_vpc(
        CidrBlock="10.128.180.0/22", TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}]
    )["Vpc"]["VpcId"]
    record = Record(
        number=45, base="local", cidr=IPv4Network("10.128.180.0/22"), expires=NOW, phase=Phase.BEGUN
    )
    base.aws("ssm").put_parameter(Name=FOLDER + "pr-45", Value=record.text(), Type="String")
    with pytest.raises(review_stacks.ReapFailed, match=vpc):
        review_stacks.reap(LATER, print)
    assert record_of(base, "pr-45") == record, "nobody else knows of the VPC"
    ec2.delete_vpc(VpcId=vpc)
    assert review_stacks.reap(LATER, print).destroyed == ["pr-45"]
    nothing_is_left(base)


def test_a_state_without_a_record_is_told_and_taken_down_only_by_name(base: StackUnderTest) -> None:
    base.pulumi("stack", "init", "pr-46", check=True)
    with pytest.raises(review_stacks.ReapFailed, match="review down --pr 46"):
        review_stacks.reap(LATER, print)
    assert "pr-46" in states(base)
    assert review_stacks.down(46, print)
    nothing_is_left(base)


@pytest.mark.parametrize("name", ["prod", "pr-42", "nowhere"])
def test_what_can_be_no_base_is_refused_before_anything_is_written(base: StackUnderTest, name: str) -> None:
    (base.folder / "Pulumi.prod.yaml").write_text((PROJECT / "Pulumi.prod.yaml").read_text())
    with pytest.raises(SwitchyardError):
        review_stacks.up(42, base=name, ttl_hours=48, say=print)
    nothing_is_left(base)


def test_a_review_stack_is_up_until_it_is_taken_down(base: StackUnderTest) -> None:
    made = review_stacks.up(42, base="local", ttl_hours=48, say=print, now=NOW)
    assert made.outputs["production_url"].startswith("http")
    assert record_of(base, "pr-42") == made.record
    assert made.record == Record(
        number=42,
        base="local",
        cidr=IPv4Network("10.128.168.0/22"),
        expires=NOW + timedelta(hours=48),
        phase=Phase.BEGUN,
    )
    (vpc,) = looks.own_vpcs(base)
    assert vpc["CidrBlock"] == "10.128.168.0/22"
    tags: dict[str, Any] = {tag["Key"]: tag["Value"] for tag in vpc["Tags"]}
    assert (tags["stack"], tags["pull-request"], tags["review-of"]) == ("pr-42", "42", "local")
    (database,) = base.aws("rds").describe_db_instances()["DBInstances"]
    assert (database["DBInstanceClass"], database["MultiAZ"]) == ("db.t4g.micro", False)

    again = review_stacks.up(42, base="local", ttl_hours=72, say=print, now=NOW)
    assert again.record.cidr == made.record.cidr
    assert [found["VpcId"] for found in looks.own_vpcs(base)] == [vpc["VpcId"]]
    assert review_stacks.reap(LATER, print).kept == ["pr-42"], "a new push has given it more time"

    base.aws("ssm").put_parameter(
        Name="/switchyard/pr-42/images/api/blue", Value="image@sha256:2", Type="String"
    )
    assert review_stacks.down(42, print)
    nothing_is_left(base)
    assert not review_stacks.down(42, print), "the same again finds nothing"
