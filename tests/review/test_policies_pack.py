"""The pack as the engine meets it: a process that is configured, asked and ended."""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2, struct_pb2
from pulumi.runtime.proto import analyzer_pb2, analyzer_pb2_grpc
from pulumi_policy.proxy import UNKNOWN_BOOLEAN_VALUE, UNKNOWN_STRING_VALUE

from localcloud.paths import PROJECT
from localcloud.plugin_process import PluginProcess, interpreter
from localcloud.policy_proxy import PolicyProxy, Variables
from policies.catalogue import CONTROLS

INSTANCE = "aws:rds/instance:Instance"
BUCKET = "aws:s3/bucket:Bucket"
BLOCK = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
NEXT_MONTH = (datetime.now(UTC).date() + timedelta(days=30)).isoformat()
YESTERDAY = (datetime.now(UTC).date() - timedelta(days=1)).isoformat()


def start(variables: Variables) -> PluginProcess:
    pack = PROJECT / "policies"
    return PluginProcess(
        pack,
        ["127.0.0.1:1"],
        python=interpreter(pack, None),
        directory=None,
        environment={**os.environ, **variables},
    )


@contextmanager
def configured(*waivers: Mapping[str, str]) -> Iterator[Any]:
    """A stub of the pack on a stack with these waivers."""
    proxy = PolicyProxy(start)
    try:
        with grpc.insecure_channel(f"127.0.0.1:{proxy.port}") as channel:
            pack = analyzer_pb2_grpc.AnalyzerStub(channel)
            policy = {"switchyard:policy": json.dumps({"waivers": list(waivers)})}
            pack.ConfigureStack(
                analyzer_pb2.AnalyzerStackConfigureRequest(
                    stack="s", project="switchyard", organization="o", dry_run=True, config=policy
                )
            )
            yield pack
    finally:
        proxy.end()


@pytest.fixture(scope="module")
def pack() -> Iterator[Any]:
    with configured() as found:
        yield found


def waiver(**changes: str) -> dict[str, str]:
    told = {"control": "RDS.5", "resource": "main", "reason": "nobody would miss it", "expires": NEXT_MONTH}
    return {**told, **changes}


def struct(properties: Mapping[str, Any]) -> struct_pb2.Struct:
    found = struct_pb2.Struct()
    found.update(properties)
    return found


def analyzed(pack: Any, **properties: Any) -> dict[str, Any]:
    """What the pack says of a database, by policy."""
    request = analyzer_pb2.AnalyzeRequest(
        urn="urn:pulumi:s::switchyard::aws:rds/instance:Instance::main",
        type=INSTANCE,
        name="main",
        properties=struct(properties),
    )
    return {diagnostic.policyName: diagnostic for diagnostic in pack.Analyze(request).diagnostics}


def analyzed_stack(pack: Any, resources: Sequence[Any] = ()) -> list[tuple[str, str, str]]:
    """What the pack says of a whole stack: policy, URN and message."""
    found = pack.AnalyzeStack(analyzer_pb2.AnalyzeStackRequest(resources=resources)).diagnostics
    return [(diagnostic.policyName, diagnostic.urn, diagnostic.message) for diagnostic in found]


def test_every_control_is_a_policy_with_its_severity_and_its_remedy(pack: Any) -> None:
    told = {policy.name: policy for policy in pack.GetAnalyzerInfo(empty_pb2.Empty()).policies}
    assert set(told) == {control.id for control in CONTROLS} | {"waivers"}
    for control in CONTROLS:
        policy = told[control.id]
        assert policy.remediation_steps == control.remedy
        assert policy.url == control.url
        assert policy.severity == getattr(analyzer_pb2, f"POLICY_SEVERITY_{control.severity.name}"), (
            control.id
        )
        level = analyzer_pb2.MANDATORY if control.severity.mandatory else analyzer_pb2.ADVISORY
        assert policy.enforcementLevel == level, control.id


def test_a_broken_control_is_told_with_the_resource_what_is_wrong_and_the_remedy(pack: Any) -> None:
    found = analyzed(pack, multiAz=False)["RDS.5"]
    assert found.message == (
        "Databases survive the loss of a zone.\n"
        "main: it has no standby in a second zone. Remedy: set databases.<name>.multi_az to true. "
        "https://docs.aws.amazon.com/securityhub/latest/userguide/rds-controls.html#rds-5"
    )
    assert found.enforcementLevel == analyzer_pb2.MANDATORY
    assert analyzed(pack, deletionProtection=False)["RDS.8"].enforcementLevel == analyzer_pb2.ADVISORY


def test_what_an_update_will_know_is_left_to_the_update(pack: Any) -> None:
    found = analyzed(pack, multiAz=UNKNOWN_BOOLEAN_VALUE, kmsKeyId=UNKNOWN_STRING_VALUE)
    assert "RDS.5" not in found
    assert "RDS.3" in found, "one unknown value must not stop the other rules"


def test_a_waiver_of_the_stacks_settings_lets_its_resource_pass() -> None:
    with configured(waiver()) as pack:
        assert "RDS.5" not in analyzed(pack, multiAz=False)
        assert "RDS.3" in analyzed(pack, multiAz=False)
        assert analyzed_stack(pack) == []


def test_an_expired_waiver_fails_and_lets_nothing_pass() -> None:
    with configured(waiver(expires=YESTERDAY)) as pack:
        assert "RDS.5" in analyzed(pack, multiAz=False)
        ((policy, _, message),) = analyzed_stack(pack)
        assert policy == "waivers"
        assert f"the waiver of RDS.5 for main ended on {YESTERDAY} (nobody would miss it)" in message


def test_a_waiver_without_a_reason_fails_and_lets_nothing_pass() -> None:
    with configured(waiver(), waiver(control="RDS.3", reason="")) as pack:
        assert {"RDS.5", "RDS.3"} <= set(analyzed(pack, multiAz=False))
        ((policy, _, message),) = analyzed_stack(pack)
        assert policy == "waivers"
        assert "switchyard:policy.waivers.1: reason '' tells a reviewer nothing" in message


def test_a_rule_between_two_resources_follows_who_uses_whom(pack: Any) -> None:
    bucket = analyzer_pb2.AnalyzerResource(
        urn="urn:bucket", type=BUCKET, name="bucket", properties=struct({})
    )
    closed = dict.fromkeys(
        ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets"), True
    )
    block = analyzer_pb2.AnalyzerResource(
        urn="urn:block",
        type=BLOCK,
        name="block",
        properties=struct({**closed, "bucket": UNKNOWN_STRING_VALUE}),
        propertyDependencies={"bucket": analyzer_pb2.AnalyzerPropertyDependencies(urns=["urn:bucket"])},
    )
    alone = {policy for policy, urn, _ in analyzed_stack(pack, [bucket]) if urn == "urn:bucket"}
    both = {policy for policy, urn, _ in analyzed_stack(pack, [bucket, block]) if urn == "urn:bucket"}
    assert alone - both == {"S3.8"}
