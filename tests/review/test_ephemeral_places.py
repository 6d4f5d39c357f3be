"""Where review stacks live, on an AWS account: who may go there, and which networks are taken."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import boto3
import pytest
import yaml
from moto import mock_aws

from review.ephemeral import NotReviewable, Phase, Record
from switchyard import review_places, stacks
from switchyard.errors import SwitchyardError
from switchyard.review_places import OutOfReach, Place, bases, place_of
from switchyard.review_stacks import ReapFailed, _reserve, reap, up
from tests.unit.stacks import ROOT, config

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EXPIRES = NOW + timedelta(hours=48)
FIRST, SECOND, THIRD = (IPv4Network(f"10.128.{third}.0/22") for third in (168, 172, 176))
# What moto says that everybody is.
ACCOUNT = "123456789012"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A checkout with the stacks dev and prod, and credentials of the account of dev."""
    (tmp_path / "Pulumi.yaml").write_text((ROOT / "Pulumi.yaml").read_text())
    for stack in ("dev", "prod"):
        write(tmp_path, stack, {"accounts": [ACCOUNT]})
    for module in (stacks, review_places):
        monkeypatch.setattr(module, "PROJECT", tmp_path)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield tmp_path


def write(folder: Path, stack: str, changes: dict[str, Any]) -> None:
    text = yaml.safe_dump({"config": config("prod" if stack == "prod" else "dev", changes)})
    (folder / f"Pulumi.{stack}.yaml").write_text(text)


def record(number: int, cidr: IPv4Network) -> Record:
    return Record(number=number, base="dev", cidr=cidr, expires=EXPIRES)


def reserved(place: Place) -> IPv4Network:
    return _reserve(place, 42, EXPIRES, print).cidr


@pytest.mark.usefixtures("folder")
def test_a_network_that_is_free_follows_from_the_number() -> None:
    place = place_of("dev")
    assert reserved(place) == FIRST
    assert place.record("pr-42") == record(42, FIRST)


def test_networks_of_vpcs_files_reservations_and_other_records_are_left_free(folder: Path) -> None:
    write(folder, "dev", {"accounts": [ACCOUNT], "network.reserved_cidrs": ["10.128.180.0/22"]})
    write(folder, "other", {"network.cidr": str(THIRD)})
    (folder / "Pulumi.broken.yaml").write_text("config: [")
    place = place_of("dev")
    boto3.client("ec2", region_name="eu-west-1").create_vpc(CidrBlock="10.128.160.0/20")
    place.write(record(8234, IPv4Network("10.128.184.0/22")))
    assert reserved(place) == IPv4Network("10.128.188.0/22")


@pytest.mark.usefixtures("folder")
def test_a_stack_keeps_its_network_and_gets_more_time() -> None:
    place = place_of("dev")
    place.write(Record(number=42, base="dev", cidr=THIRD, expires=NOW, phase=Phase.BEGUN))
    tags = [{"Key": "project", "Value": "switchyard"}, {"Key": "stack", "Value": "pr-42"}]
    ec2: Any = boto3.client("ec2", region_name="eu-west-1")
    ec2.create_vpc(CidrBlock=str(THIRD), TagSpecifications=[{"ResourceType": "vpc", "Tags": tags}])
    assert THIRD not in place.networks_in_use("pr-42"), "its own VPC is not in its way"
    assert reserved(place) == THIRD
    found = place.record("pr-42")
    assert found is not None
    assert (found.expires, found.phase) == (EXPIRES, Phase.BEGUN)


@pytest.mark.usefixtures("folder")
def test_of_two_that_choose_at_the_same_time_one_moves() -> None:
    place, other = place_of("dev"), place_of("dev")
    arrived: list[str] = []

    def somebody_else(**_: object) -> None:
        if not arrived:
            arrived.append("pr-8234")
            other.write(record(8234, FIRST))

    place._ssm.meta.events.register("before-call.ssm.PutParameter", somebody_else)
    assert reserved(place) == SECOND
    assert arrived


@pytest.mark.usefixtures("folder")
def test_a_stack_of_another_base_is_not_taken_over() -> None:
    place = place_of("dev")
    place.write(Record(number=42, base="dev2", cidr=FIRST, expires=NOW))
    with pytest.raises(SwitchyardError, match="was made from dev2, not from dev"):
        reserved(place)


def test_credentials_of_another_account_reach_nothing(folder: Path) -> None:
    write(folder, "dev", {"accounts": ["111111111111"]})
    with pytest.raises(OutOfReach, match=f"111111111111, and these credentials are of {ACCOUNT}"):
        place_of("dev")
    with pytest.raises(OutOfReach):
        up(42, base="dev", ttl_hours=48, say=print)
    with pytest.raises(ReapFailed, match="111111111111"):
        reap(NOW, print)
    assert not (folder / "Pulumi.pr-42.yaml").exists()


def test_a_reap_does_not_pass_over_a_base_with_mistakes(folder: Path) -> None:
    write(folder, "dev", {"accounts": [ACCOUNT], "region": "nowhere"})
    with pytest.raises(ReapFailed) as failed:
        reap(NOW, print)
    assert failed.value.reaped.failed.keys() == {"dev"}


def test_production_and_review_stacks_are_no_bases(folder: Path) -> None:
    write(folder, "pr-7", {"accounts": [ACCOUNT]})
    assert bases() == ["dev"]
    for base in ("prod", "pr-7"):
        with pytest.raises(SwitchyardError):
            place_of(base)


@pytest.mark.usefixtures("folder")
def test_images_of_review_stacks_go_and_those_of_others_can_not() -> None:
    place = place_of("dev")
    ssm = boto3.client("ssm", region_name="eu-west-1")
    mine = [f"/switchyard/pr-4/images/s{number}/blue" for number in range(12)]
    others = ["/switchyard/pr-42/images/api/blue", "/switchyard/dev/images/api/blue"]
    for name in (*mine, *others):
        ssm.put_parameter(Name=name, Value="x", Type="String")
    place.forget_images("pr-4")
    assert sorted(entry["Name"] for entry in ssm.describe_parameters()["Parameters"]) == sorted(others)
    with pytest.raises(NotReviewable):
        place.forget_images("dev")
