"""What a review stack is made from: always within the platform's rules and controls, always disposable."""

from datetime import UTC, date, datetime
from decimal import Decimal
from ipaddress import IPv4Network
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from infra.arguments import Stack
from infra.load import PREFIX, parse
from infra.rules import broken_rules
from infra.settings import Settings
from review import cost, cost_items
from review.cost_prices import load
from review.cost_usage import of_settings
from review.ephemeral import HIGHEST_NUMBER, NotReviewable, choose_cidr
from review.ephemeral_settings import derive, document
from review.terraform_policy import judged
from review.terraform_program import declared
from tests.unit import stacks
from tests.unit.test_load_anything import valid

EXPIRES = datetime(2026, 11, 23, 12, tzinfo=UTC)
CIDR = IPv4Network("10.128.168.0/22")
BASES = ("local", "dev", "staging")


def derived(base: str, changes: dict[str, Any] | None = None) -> Settings:
    return derive(stacks.settings(base, changes), 42, CIDR, base, EXPIRES)


@hypothesis_settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(valid(), st.integers(1, HIGHEST_NUMBER), st.sampled_from(["dev", "staging"]))
def test_whatever_the_base_is_the_derived_settings_break_no_rule(
    whole: dict[str, Any], number: int, environment: str
) -> None:
    base = parse({**whole, f"{PREFIX}environment": environment}, "Pulumi.base.yaml")
    cidr = choose_cidr(number, [base.network.cidr, *base.network.reserved_cidrs])
    found = derive(base, number, cidr, "base", EXPIRES)
    assert broken_rules(found, base.accounts[0], whole=True) == []
    assert found.environment == "dev"
    assert not found.network.cidr.overlaps(base.network.cidr)
    assert found.services.keys() == base.services.keys()


@pytest.mark.parametrize("base", BASES)
def test_nothing_stands_in_the_way_of_a_destroy(base: str) -> None:
    protected = {
        "edge.deletion_protection": True,
        "databases.main.deletion_protection": True,
        "databases.main.skip_final_snapshot": False,
        "backups.lock.changeable_for_days": 3,
        "backups.copy_region": "eu-central-1",
    }
    found = derived(base, protected)
    assert Stack(project="p", name="pr-42", account_id="1", settings=found).disposable
    assert found.edge.deletion_protection is False
    assert {(d.deletion_protection, d.skip_final_snapshot) for d in found.databases.values()} == {
        (False, True)
    }
    assert found.backups.lock.changeable_for_days is None, "nobody could ever lift such a lock"
    assert found.backups.copy_region is None, "copies elsewhere would outlive the stack"


def test_it_is_smaller_than_its_base() -> None:
    found = derived("staging")
    assert found.network.zones == ["eu-west-1a", "eu-west-1b"]
    assert found.network.nat == "single"
    assert found.network.interface_endpoints == []
    assert {(s.count.minimum, s.count.maximum) for s in found.services.values()} == {(1, 1)}
    database = found.databases["main"]
    assert (database.instance_class, database.multi_az, database.read_replicas) == ("db.t4g.micro", False, 0)
    assert (database.allocated_storage_gib, database.backup_retention_days) == (20, 1)
    assert {tier.retention_days for tier in found.backups.tiers.values()} == {1}
    assert found.monitoring.log_retention_days == 7


def test_its_applications_are_those_of_its_base() -> None:
    base, found = stacks.settings("staging"), derived("staging")
    smaller = {"count", "checks", "stickiness_seconds"}
    for name, service in base.services.items():
        assert found.services[name].model_dump(exclude=smaller) == service.model_dump(exclude=smaller)
    assert found.databases["main"].engine_version == base.databases["main"].engine_version
    assert found.accounts == base.accounts


def test_no_gate_and_no_call_at_night_is_left_from_the_base() -> None:
    found = derived(
        "staging",
        {
            "monitoring.emails": ["oncall@example.com"],
            "release.approval": True,
            "release.change_record": True,
            "release.promoted_from": "dev",
            "release.weekly_freezes": [{"reason": "weekend", "days": ["sat"]}],
            "monitoring.alarms.free_storage_gib": 50,
        },
    )
    assert found.monitoring.emails == []
    release = found.release
    assert (release.approval, release.change_record, release.promoted_from) == (False, False, None)
    assert release.weekly_freezes == []
    assert found.monitoring.alarms.free_storage_gib < found.databases["main"].allocated_storage_gib, (
        "an alarm that always fires would refuse every release"
    )


def test_its_resources_say_whose_they_are() -> None:
    assert derived("dev").tags == {
        **stacks.settings("dev").tags,
        "pull-request": "42",
        "review-of": "dev",
    }


def test_production_is_no_base() -> None:
    with pytest.raises(NotReviewable, match="production's account"):
        derive(stacks.settings("prod"), 42, CIDR, "prod", EXPIRES)


@pytest.mark.parametrize("cidr", ["10.0.0.0/8", "10.0.0.0/24", "8.8.8.0/22"])
def test_a_network_that_the_platform_can_not_use_is_refused(cidr: str) -> None:
    with pytest.raises(NotReviewable, match=r"the VPC range"):
        derive(stacks.settings("dev"), 42, IPv4Network(cidr), "dev", EXPIRES)


@pytest.mark.parametrize("base", BASES)
def test_it_keeps_the_controls_or_says_why_not_until_it_ends(base: str) -> None:
    found = derived(base)
    stack = Stack(project="switchyard", name="pr-42", account_id=found.accounts[0], settings=found)
    policy = found.policy.model_dump(mode="json")
    result = judged(declared(stack, {}), policy, date(2026, 11, 23))
    assert [(f.control.id, f.resource.name) for f in (*result.failed, *result.advised)] == []
    assert result.unused == []
    own = {waiver.expires for waiver in found.policy.waivers if "review stack" in waiver.reason}
    assert own == {date(2026, 11, 24)}, "they end with the stack"


# --- the file


def test_the_file_is_read_back_as_the_settings() -> None:
    found = derived("staging")
    base = {"config": stacks.config("staging")}
    assert parse(document(found, base, {})["config"], "Pulumi.pr-42.yaml") == found
    assert document(found, base, {})["config"]["pulumi:disable-default-providers"] == ["aws"]


def test_the_bases_secrets_provider_is_taken_over_and_its_keys_are_not() -> None:
    base = {
        "secretsprovider": "awskms://alias/state",
        "encryptedkey": "QUJD",
        "encryptionsalt": "v1:abc",
        "config": {
            **stacks.config("dev"),
            "datadog:apiKey": {"secure": "v1:abc:def"},
            "datadog:nested": {"keys": [{"secure": "v1:abc:def"}]},
            "datadog:site": "eu",
        },
    }
    made = document(derived("dev"), base, {})
    assert made["secretsprovider"] == "awskms://alias/state"
    assert {"encryptedkey", "encryptionsalt"} & made.keys() == set()
    assert "v1:abc" not in str(made)
    assert made["config"]["datadog:site"] == "eu"


def test_what_the_engine_wrote_into_the_file_stays() -> None:
    base = {"secretsprovider": "awskms://alias/state", "config": stacks.config("dev")}
    kept = {"secretsprovider": "awskms://alias/older", "encryptedkey": "QUJD", "config": {"gone": 1}}
    made = document(derived("dev"), base, kept)
    assert (made["secretsprovider"], made["encryptedkey"]) == ("awskms://alias/older", "QUJD")
    assert "gone" not in made["config"]


def test_a_review_stacks_roles_are_ones_that_the_review_environment_may_make() -> None:
    boundary = "arn:aws:iam::111111111111:policy/switchyard-stack-boundary"
    settings = derived("dev")
    stack = Stack(project="switchyard", name="pr-42", account_id=settings.accounts[0], settings=settings)
    roles = [one.inputs for one in declared(stack) if one.type == "aws:iam/role:Role"]
    assert len(roles) == 7
    for role in roles:
        assert (role["path"], role["permissionsBoundary"]) == ("/switchyard/pr-42/", boundary)


def test_what_a_review_stack_costs_is_told_but_for_what_nobody_knows_the_price_of() -> None:
    settings = derived("dev")
    stack = Stack(project="switchyard", name="pr-42", account_id=settings.accounts[0], settings=settings)
    found = cost.estimate(
        cost_items.of_declared(declared(stack)), load(settings.region), of_settings(settings)
    )
    reasons = [f"{one.component}: {one.why.partition(':')[0]}" for one in found.unpriced]
    assert sorted(reasons) == [
        "backups: recovery points",
        "cluster: container insights",
        "main: db.t4g.micro, single-AZ",
        "main: enhanced monitoring",
        "monitoring: messages",
    ]
    assert Decimal(100) < found.monthly < Decimal(150), "some four dollars a day"
