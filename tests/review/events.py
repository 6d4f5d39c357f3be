"""Events of the engine: recorded on the embedded cloud, and made up."""

import gzip
import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pulumi.automation import EngineEvent

from review.digest import plan_of
from review.events import read
from review.masking import Masker
from review.report import CostDelta, Report, compose
from review.stateful import Allowance

GOLDEN = Path(__file__).parent / "golden"
TODAY = date(2026, 11, 21)
STACK = "urn:pulumi:local::switchyard::pulumi:pulumi:Stack::switchyard-local"
INSTANCE, SERVICE, BUCKET = "aws:rds/instance:Instance", "aws:ecs/service:Service", "aws:s3/bucket:Bucket"

Inputs = Mapping[str, Any]


def recorded(name: str) -> list[EngineEvent]:
    """What the real engine said; without what no report reads, and without the debugging."""
    with gzip.open(GOLDEN / f"{name}.events.jsonl.gz", "rt") as lines:
        return [EngineEvent.from_json(json.loads(line)) for line in lines]


def urn(type_: str, name: str) -> str:
    """Of a resource on the top level."""
    return f"urn:pulumi:local::switchyard::{type_}::{name}"


def step(
    op: str,
    type_: str,
    name: str,
    old: Inputs | None = None,
    new: Inputs | None = None,
    *,
    event: str = "resourcePreEvent",
    parent: str = STACK,
    state: Inputs | None = None,
    **metadata: Any,
) -> EngineEvent:
    """One step; `state` goes into both states, `metadata` into the step."""

    def side(inputs: Inputs | None) -> dict[str, Any] | None:
        if inputs is None:
            return None
        about = {"urn": urn(type_, name), "type": type_, "parent": parent, "custom": True, "id": f"{name}-id"}
        return {**about, "inputs": inputs, "outputs": inputs, **(state or {})}

    found = {"op": op, "urn": urn(type_, name), "type": type_, "old": side(old), "new": side(new), **metadata}
    return EngineEvent.from_json({"sequence": 1, "timestamp": 0, event: {"metadata": found}})


def said(severity: str, message: str) -> EngineEvent:
    """A word of the engine."""
    diagnostic = {"severity": severity, "message": message, "color": "never"}
    return EngineEvent.from_json({"sequence": 1, "timestamp": 0, "diagnosticEvent": diagnostic})


def ended() -> EngineEvent:
    """The end of a preview."""
    summary = {"maybeCorrupt": False, "durationSeconds": 1, "resourceChanges": {}, "PolicyPacks": {}}
    return EngineEvent.from_json({"sequence": 9, "timestamp": 0, "summaryEvent": summary})


def thousand() -> list[EngineEvent]:
    """A thousand changes: 40 databases replaced, 60 buckets deleted, 400 services updated, 500 created."""
    document = json.dumps([{"name": "app", "environment": [{"name": "LEVEL", "value": "info"}] * 20}])
    events = []
    for number in range(40):
        database = {"dbName": "shop"}, {"dbName": "store"}
        events.append(
            step("create-replacement", INSTANCE, f"db-{number}", *database, keys=["dbName"], diffs=["dbName"])
        )
    events += [step("delete", BUCKET, f"bucket-{number}", {"bucket": f"b-{number}"}) for number in range(60)]
    for number in range(400):
        old = {"desiredCount": 1, "containerDefinitions": document, "tags": {"a": "1"}}
        new = {
            "desiredCount": 2,
            "containerDefinitions": document.replace("info", "debug"),
            "tags": {"a": "2"},
        }
        diffs = ["desiredCount", "containerDefinitions", "tags"]
        events.append(step("update", SERVICE, f"service-{number}", old, new, diffs=diffs))
    for number in range(500):
        alarm = {"threshold": number, "metricName": "CPUUtilization", "namespace": "AWS/ECS"}
        events.append(
            step("create", "aws:cloudwatch/metricAlarm:MetricAlarm", f"alarm-{number}", None, alarm)
        )
    return [*events, ended()]


def report_of(
    events: Sequence[EngineEvent],
    *,
    stack: str = "local",
    secrets: Sequence[str] = (),
    allowances: Sequence[Allowance] = (),
    costs: Sequence[CostDelta] = (),
    refreshed: bool = False,
    **more: Any,
) -> Report:
    """The report of a preview that said this."""
    reading = read(events, Masker(secrets))
    plan = plan_of(
        reading.changes,
        project="switchyard",
        stack=stack,
        state="5" * 64,
        configuration="c" * 64,
        refreshed=refreshed,
    )
    return compose(
        reading,
        project="switchyard",
        stack=stack,
        plan=None if reading.errors else plan,
        today=TODAY,
        allowances=allowances,
        costs=costs,
        refreshed=refreshed,
        **more,
    )
