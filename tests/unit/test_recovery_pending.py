"""What an interrupted run left undecided, out of the state's document, and how the state looks after it."""

from typing import Any

import pytest

from switchyard.pending import (
    Deployment,
    decided,
    default_tags,
    known_ids,
    pending_creates,
    undecided,
    unread,
)

PROVIDER = "urn:pulumi:prod::switchyard::pulumi:providers:aws::aws-home"
TAGS = {"project": "switchyard", "stack": "prod"}


def urn(token: str, name: str) -> str:
    return f"urn:pulumi:prod::switchyard::switchyard:network:Network${token}::{name}"


def resource(token: str, name: str, **more: Any) -> dict[str, Any]:
    return {"urn": urn(token, name), "type": token, "custom": True, "provider": f"{PROVIDER}::1234", **more}


VPC = resource("aws:ec2/vpc:Vpc", "main", id="vpc-1", outputs={"id": "vpc-1"})
SUBNET = resource("aws:ec2/subnet:Subnet", "public", inputs={"vpcId": "vpc-1"}, dependencies=[VPC["urn"]])


@pytest.fixture
def deployment() -> Deployment:
    """A state as an engine that was killed while it made a subnet leaves it."""
    provider = {
        "urn": PROVIDER,
        "type": "pulumi:providers:aws",
        "id": "1234",
        "inputs": {
            "region": "eu-west-1",
            "defaultTags": '{"tags": {"project": "switchyard", "stack": "prod"}}',
        },
    }
    return {
        "manifest": {"version": "v3.230.0"},
        "resources": [provider, dict(VPC)],
        "pending_operations": [
            {"type": "creating", "resource": dict(SUBNET)},
            {"type": "updating", "resource": dict(VPC)},
        ],
    }


def test_a_create_that_was_cut_off_is_known_by_what_was_asked_for(deployment: Deployment) -> None:
    (found,) = pending_creates(deployment)
    assert (found.name, found.type, found.inputs) == ("public", "aws:ec2/subnet:Subnet", {"vpcId": "vpc-1"})
    assert (found.region, found.tags) == ("eu-west-1", TAGS), (
        "its own provider says where to look, and for what"
    )
    assert not found.replaces


def test_updates_and_deletions_are_left_to_the_next_run(deployment: Deployment) -> None:
    deployment["pending_operations"] = [
        {"type": kind, "resource": dict(VPC)} for kind in ("updating", "deleting", "reading")
    ]
    assert pending_creates(deployment) == []
    assert not undecided(deployment), "their resource is in the state, and the engine does them again"


def test_a_create_that_two_runs_were_cut_off_at_counts_once(deployment: Deployment) -> None:
    deployment["pending_operations"] *= 2
    assert [found.name for found in pending_creates(deployment)] == ["public"]


def test_a_create_whose_urn_lives_is_told_apart(deployment: Deployment) -> None:
    deployment["resources"].append({**SUBNET, "id": "subnet-old"})
    (found,) = pending_creates(deployment)
    assert found.replaces, "adopting it would put two living resources under one URN"


def test_what_waits_for_its_deletion_does_not_hold_its_urn(deployment: Deployment) -> None:
    deployment["resources"].append({**SUBNET, "id": "subnet-old", "delete": True})
    (found,) = pending_creates(deployment)
    assert not found.replaces


@pytest.mark.parametrize(
    "recorded",
    [
        {"tags": TAGS},
        '{"tags": {"project": "switchyard", "stack": "prod"}}',
        '[{"tags": {"project": "switchyard", "stack": "prod"}}]',
    ],
)
def test_default_tags_are_read_in_every_way_that_they_are_recorded(recorded: Any) -> None:
    assert default_tags({"defaultTags": recorded}) == TAGS


@pytest.mark.parametrize("recorded", [None, "[]", "{}"])
def test_a_provider_without_default_tags_has_none(recorded: Any) -> None:
    assert default_tags({"defaultTags": recorded}) == {}


def test_an_adopted_resource_comes_last_and_without_outputs(deployment: Deployment) -> None:
    after = decided(deployment, {SUBNET["urn"]: "subnet-1"})
    assert [entry["urn"] for entry in after["resources"]] == [PROVIDER, VPC["urn"], SUBNET["urn"]]
    assert after["resources"][-1] == {**SUBNET, "id": "subnet-1"}, (
        "nothing of it is lost but its being pending"
    )
    assert unread(after) == [SUBNET["urn"]], "a refresh reads as an import what has an ID and no outputs"


def test_no_create_is_pending_afterwards_and_the_rest_is_as_it_was(deployment: Deployment) -> None:
    after = decided(deployment, {})
    assert not undecided(after)
    assert after["resources"] == deployment["resources"]
    assert [operation["type"] for operation in after["pending_operations"]] == ["updating"]
    assert after["manifest"] == deployment["manifest"]
    assert undecided(deployment), "the document that was read is not changed"


def test_ids_are_known_by_type(deployment: Deployment) -> None:
    assert known_ids(deployment, "aws:ec2/vpc:Vpc") == {"vpc-1"}
    assert known_ids(deployment, "aws:ec2/subnet:Subnet") == frozenset()


def test_an_empty_stack_has_nothing_to_decide() -> None:
    assert pending_creates({}) == []
    assert unread({}) == []
    assert not undecided({})
