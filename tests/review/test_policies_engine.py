"""`pulumi preview --policy-pack policies`, with the real engine on the embedded cloud."""

import pytest

from localcloud.paths import PROJECT
from tests.cloud import conftest as cloud_fixtures
from tests.cloud.conftest import Begin
from tests.cloud.stack import StackUnderTest

pytestmark = pytest.mark.cloud

embedded_cloud = cloud_fixtures.embedded_cloud
begin = cloud_fixtures.begin
PACK = str(PROJECT / "policies")


@pytest.fixture(scope="module")
def stack(begin: Begin) -> StackUnderTest:
    return begin("local", "100000000051")


def test_a_preview_with_the_pack_tells_what_is_broken_and_fails(stack: StackUnderTest) -> None:
    stack.settings.pop("switchyard:policy", None)
    stack.write()
    said = stack.pulumi("preview", "--stack", stack.name, "--policy-pack", PACK)
    assert said.status != 0
    told = said.text.partition("Policies:")[2]
    for control, resource in (
        ("ELB.1", "aws:lb/listener:Listener: edge-production"),
        ("EC2.10", "aws:ec2/vpc:Vpc: network-vpc"),
        ("RDS.5", "aws:rds/instance:Instance: main"),
        ("SecretsManager.1", "aws:secretsmanager/secret:Secret: secrets-session-key"),
    ):
        assert f"[mandatory] [severity: medium]  {control}  ({resource})" in told
    assert "[advisory] [severity: low]  RDS.8  (aws:rds/instance:Instance: main)" in told
    assert "Remedy: set edge.protocol to https" in told
    assert "can't run policy" not in told, "an unknown value stopped a rule"


def test_the_same_preview_without_the_pack_passes(stack: StackUnderTest) -> None:
    assert stack.pulumi("preview", "--stack", stack.name).status == 0
