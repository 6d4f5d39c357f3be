"""An `up` that is killed, more than once, is finished by the next one, and nothing is made twice."""

import subprocess
import time
from collections.abc import Iterator

import pulumi.automation as auto
import pytest

from localcloud.paths import WORKSPACE
from switchyard.recovery import Recovery, recover
from tests.cloud import looks
from tests.cloud.conftest import Begin
from tests.cloud.stack import StackUnderTest

pytestmark = pytest.mark.cloud

# While networks and keys are made, while the load balancer and the database are, and near the end.
KILLED_AFTER_SECONDS = (15, 45, 60)


@pytest.fixture(scope="module")
def stack(begin: Begin) -> Iterator[StackUnderTest]:
    stack = begin("local", "100000000004")
    yield stack
    said = stack.pulumi("destroy", "--yes", "--skip-preview", "--stack", "local")
    assert said.status == 0, said.text
    assert looks.leftovers(stack) == {}, "what a killed run began must go with the rest"


def kill_an_up_after(stack: StackUnderTest, seconds: float) -> None:
    process = subprocess.Popen(
        ["pulumi", "up", "--yes", "--skip-preview", "--stack", stack.name, "--non-interactive"],
        cwd=stack.folder,
        env=dict(stack.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    time.sleep(seconds)
    assert process.poll() is None, "it was to be in the middle of its work"
    process.kill()
    process.wait()


def test_an_up_that_is_killed_is_finished_by_the_next_one(stack: StackUnderTest) -> None:
    engine = auto.LocalWorkspace(
        work_dir=str(stack.folder),
        env_vars=dict(stack.environment),
        pulumi_command=auto.PulumiCommand(root=str(WORKSPACE)),
    )
    for seconds in KILLED_AFTER_SECONDS:
        kill_an_up_after(stack, seconds)
        locked = stack.pulumi("up", "--yes", "--skip-preview", "--stack", stack.name)
        assert "locked" in locked.text, "the engine itself must not pass a lock"
        done = recover(stack.name, print, engine)
        assert len(done.cleared_locks) == 1
    stack.up()
    assert len(looks.own_vpcs(stack)) == 1
    assert len(stack.aws("elbv2").describe_load_balancers()["LoadBalancers"]) == 1
    assert len(stack.aws("elbv2").describe_target_groups()["TargetGroups"]) == 4
    assert len(looks.active_clusters(stack)) == 1
    assert len(stack.aws("rds").describe_db_instances()["DBInstances"]) == 1
    assert len(looks.enabled_keys(stack)) == 3, "the stack's, the database's and the vault's"


def test_what_was_cut_off_in_the_middle_has_been_repaired(stack: StackUnderTest) -> None:
    said = stack.up("--refresh")
    assert set(said.changes) == {"unchanged"}, said.text
    (balancer,) = stack.aws("elbv2").describe_load_balancers()["LoadBalancers"]
    attributes = stack.aws("elbv2").describe_load_balancer_attributes(
        LoadBalancerArn=balancer["LoadBalancerArn"]
    )["Attributes"]
    values = {attribute["Key"]: attribute["Value"] for attribute in attributes}
    assert values["routing.http.drop_invalid_header_fields.enabled"] == "true"


def test_a_stack_with_nothing_to_mend_is_left_alone(stack: StackUnderTest) -> None:
    engine = auto.LocalWorkspace(
        work_dir=str(stack.folder),
        env_vars=dict(stack.environment),
        pulumi_command=auto.PulumiCommand(root=str(WORKSPACE)),
    )
    done = recover(stack.name, print, engine)
    assert done == Recovery()
