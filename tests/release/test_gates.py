"""Every gate: what passes it, what does not, and that silence never does."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from components.colours import Colour
from release.aws.outputs import StackParts, parts
from release.errors import NeedsPerson, Unavailable
from release.gates import Sources, StackGates
from release.ports import FREEZE_GATE, GateResult, Gates
from release.promotion import Proof
from tests.unit.stacks import settings

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
ACCOUNT, REGION = "333333333333", "eu-west-1"
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/shop-prod"
API = f"{REPOSITORY}/api@sha256:{'a' * 64}"
WEB = f"{REPOSITORY}/web@sha256:{'b' * 64}"
IMAGES = {"api": API, "web": WEB}
APPLIED: Mapping[str, Colour] = {"api": "green", "web": "blue"}
OVERRIDABLE = {
    "target": False,
    "images": False,
    "pending-operations": False,
    "test-listener": False,
    "infrastructure": True,
    "proof": True,
    "change-record": True,
    "freeze": True,
    "backups": True,
    "alarms": True,
}


def outputs(**changes: Any) -> StackParts:
    def rule(kind: str) -> str:
        return f"arn:aws:elasticloadbalancing:{REGION}:{ACCOUNT}:listener-rule/app/x/{kind}"

    service = {
        "production_rule": rule("p"),
        "test_rule": rule("t"),
        "target_groups": {"blue": "b", "green": "g"},
        "ecs_services": {"blue": "b", "green": "g"},
        "alarms": {"blue": [], "green": []},
    }
    found = {
        "region": REGION,
        "production_url": "https://production",
        "test_url": "https://test",
        "cluster": "shop-prod",
        "release_table": "shop-prod-releases",
        "images_path": "/shop/prod/images",
        "alerts_topic": "arn",
        "databases": {"main": "shop-prod-main"},
        "services": {"api": service, "web": service},
    }
    return parts({**found, **changes})


def proven(images: Mapping[str, str]) -> list[Proof]:
    return [Proof(service=service, proven=True, reason=f"{service} is proven") for service in images]


GOOD = Sources(
    account=lambda: ACCOUNT,
    region=REGION,
    missing_image=lambda _: None,
    proofs=proven,
    newest_backup=lambda _: NOW - timedelta(hours=26),
    pending_operations=list,
    unreached=lambda _: None,
    unapplied=lambda _: [],
    firing=lambda _: [],
    now=lambda: NOW,
)


def gates(
    changes: Mapping[str, Any] | None = None, *, of: StackParts | None = None, **asked: Any
) -> StackGates:
    return StackGates(
        project="shop",
        stack="prod",
        settings=settings("prod", changes),
        parts=of or outputs(),
        ask=replace(GOOD, **asked),
    )


def evaluated(
    made: Gates,
    images: Mapping[str, str] = IMAGES,
    *,
    change: str | None = None,
    hotfix: bool = False,
    applied: Mapping[str, Colour] = APPLIED,
) -> dict[str, GateResult]:
    found = made.evaluate(images, change=change, hotfix=hotfix, applied=applied)
    return {result.name: result for result in found}


def refused(made: Gates, images: Mapping[str, str] = IMAGES, **asked: Any) -> dict[str, str]:
    """Reasons of the gates that did not pass."""
    found = evaluated(made, images, **asked)
    assert set(found) == set(OVERRIDABLE), "every gate is told, whatever the others say"
    return {name: result.reason for name, result in found.items() if not result.passed}


def silent(*_: Any) -> Any:
    raise Unavailable("planted: no answer")


def broken(*_: Any) -> Any:
    raise ZeroDivisionError("planted: a mistake in the program")


def test_a_stack_in_order_passes_every_gate_and_each_says_why() -> None:
    found = evaluated(gates())
    assert {name: result.reason for name, result in found.items() if not result.passed} == {}
    assert {name: result.overridable for name, result in found.items()} == OVERRIDABLE
    assert found["target"].reason == "stack prod in account 333333333333, eu-west-1, as its settings say"
    assert found["images"].reason == "all 2 images are in the registry, by digest"
    assert found["proof"].reason == "api is proven; web is proven"
    assert found["backups"].reason == "newest backups: main: 26 h 00 min old; at most 26 h are allowed"
    assert found["freeze"].reason == "no freeze is in force"


def test_the_freeze_gate_has_the_name_by_which_the_engine_knows_it() -> None:
    assert FREEZE_GATE in OVERRIDABLE


@pytest.mark.parametrize(
    ("source", "closed"),
    [
        ("account", {"target"}),
        ("missing_image", {"images"}),
        ("proofs", {"proof"}),
        ("newest_backup", {"backups"}),
        ("pending_operations", {"pending-operations"}),
        ("unreached", {"test-listener"}),
        ("unapplied", {"infrastructure"}),
        ("firing", {"alarms"}),
        ("now", {"freeze", "backups"}),
    ],
)
@pytest.mark.parametrize("how", [silent, broken], ids=["unavailable", "mistake"])
def test_a_gate_that_cant_be_evaluated_has_not_passed_and_the_others_still_speak(
    source: str, closed: set[str], how: Callable[..., Any]
) -> None:
    asked: dict[str, Any] = {source: how}
    found = refused(gates(**asked))
    assert set(found) == closed
    assert all(
        reason.startswith("could not be evaluated: ") and "planted" in reason for reason in found.values()
    )


def test_a_source_without_a_test_above_is_a_gate_that_may_be_open() -> None:
    assert set(Sources.__dataclass_fields__) == {
        "account",
        "region",
        "missing_image",
        "proofs",
        "newest_backup",
        "pending_operations",
        "unreached",
        "unapplied",
        "firing",
        "now",
    }


class TestTarget:
    def test_credentials_of_another_account_are_refused(self) -> None:
        reason = refused(gates(account=lambda: "999999999999"))["target"]
        assert "the credentials are of account 999999999999, and not of 333333333333" in reason

    def test_outputs_of_another_account_region_or_stack_are_refused(self) -> None:
        made = gates(
            of=outputs(region="eu-central-1", images_path="/shop/staging/images"), region="us-east-1"
        )
        reason = refused(made)["target"]
        assert reason == (
            "the AWS clients speak to us-east-1, and not eu-west-1; "
            "the outputs are of eu-central-1, and not eu-west-1; "
            "the outputs are of /shop/staging/images, and not of /shop/prod/images"
        )

    def test_an_account_of_the_list_that_is_not_the_stacks_is_refused(self) -> None:
        made = gates({"accounts": [ACCOUNT, "444444444444"]}, account=lambda: "444444444444")
        assert refused(made)["target"] == (
            "the stack's load balancer is in account 333333333333, and not in 444444444444"
        )

    def test_clients_without_a_region_are_refused(self) -> None:
        assert refused(gates(region=""))["target"] == "the AWS clients speak to no region, and not eu-west-1"


class TestImages:
    @pytest.mark.parametrize(
        ("images", "why"),
        [
            ({"api": f"{REPOSITORY}/api:2"}, "is no digest"),
            ({"api": WEB}, f"is not of {REPOSITORY}/api, where api pulls from"),
            ({"api": API.replace(ACCOUNT, "222222222222")}, f"is not of {REPOSITORY}/api"),
            ({"shop": API}, "the stack has no service shop; it has: api, web"),
            ({}, "no image was given for any service"),
        ],
    )
    def test_an_image_that_is_not_the_services_by_digest_is_refused(
        self, images: dict[str, str], why: str
    ) -> None:
        assert why in refused(gates(), images)["images"]

    def test_every_image_that_is_missing_is_named_with_how_to_get_it_there(self) -> None:
        made = gates(missing_image=lambda image: f"{image.partition('@')[0]} has no image")
        reason = refused(made)["images"]
        assert f"{REPOSITORY}/api has no image; copy it from staging by its digest" in reason
        assert f"{REPOSITORY}/web has no image" in reason

    def test_a_registry_that_cant_be_asked_fails_closed(self) -> None:
        def nobody(_: str) -> str | None:
            raise NeedsPerson("ghcr.io/shop/api is not on ECR")

        changes = {"services.api.image_repository": "ghcr.io/shop/api"}
        reason = refused(gates(changes, missing_image=nobody), {"api": f"ghcr.io/shop/api@sha256:{'a' * 64}"})
        assert reason == {"images": "could not be evaluated: ghcr.io/shop/api is not on ECR"}


class TestProof:
    def test_one_digest_that_is_not_proven_keeps_the_whole_release(self) -> None:
        def half(images: Mapping[str, str]) -> Sequence[Proof]:
            return [replace(proof, proven=proof.service == "api") for proof in proven(images)]

        assert "proof" in refused(gates(proofs=half))

    def test_a_service_that_nobody_speaks_of_is_not_proven(self) -> None:
        assert (
            refused(gates(proofs=lambda _: []))["proof"] == "nothing is known of api; nothing is known of web"
        )
        one = gates(proofs=lambda images: proven({"api": images["api"]}))
        assert refused(one)["proof"] == "api is proven; nothing is known of web"

    def test_a_hotfix_waives_it_and_the_record_has_what_it_would_have_said(self) -> None:
        found = evaluated(gates(proofs=lambda _: []), {"api": API}, hotfix=True)["proof"]
        assert found.passed
        assert found.reason == (
            "the proof in staging is waived for a hotfix; it would say: nothing is known of api"
        )
        found = evaluated(gates(proofs=silent), {"api": API}, hotfix=True)["proof"]
        assert (found.passed, "planted: no answer" in found.reason) == (True, True)

    def test_a_stack_that_asks_for_none_does_not_ask(self) -> None:
        made = StackGates(
            project="shop",
            stack="staging",
            settings=settings("staging"),
            parts=outputs(images_path="/shop/staging/images"),
            ask=replace(GOOD, proofs=silent),
        )
        assert evaluated(made)["proof"].passed


class TestTestListener:
    def test_a_machine_that_does_not_reach_it_is_refused_and_told_what_to_do(self) -> None:
        asked: list[str] = []

        def unreached(url: str) -> str:
            asked.append(url)
            return "no answer in 5 s"

        found = refused(gates(unreached=unreached))
        assert found.keys() == {"test-listener"}
        told = found["test-listener"]
        assert told.startswith(
            "this machine asks the smoke checks and does not reach https://test: no answer in 5 s;"
        )
        assert "edge.test_ingress_cidrs, then `switchyard up --stack prod`" in told
        assert asked == ["https://test"]

    def test_without_smoke_checks_of_what_is_released_nobody_asks_it(self) -> None:
        unchecked = gates({"services.api.smoke": []}, unreached=silent)
        assert evaluated(unchecked, {"api": API})["test-listener"].passed
        assert refused(unchecked).keys() == {"test-listener"}, "web has some"

    def test_a_smoke_command_asks_it_too(self) -> None:
        command = {"services.api.smoke": [], "services.api.smoke_command": ["./smoke"]}
        assert refused(gates(command, unreached=silent), {"api": API}).keys() == {"test-listener"}


class TestChangeRecord:
    @pytest.mark.parametrize("change", [None, "", "  "])
    def test_where_one_is_wanted_it_has_to_be_named(self, change: str | None) -> None:
        made = gates({"release.change_record": True})
        assert "--change" in refused(made, change=change)["change-record"]
        assert evaluated(made, change=" CHG-7 ")["change-record"].reason == "the change record is CHG-7"

    def test_elsewhere_it_may_be_named(self) -> None:
        assert evaluated(gates(), change="CHG-7")["change-record"].reason == "the change record is CHG-7"
        assert evaluated(gates())["change-record"].passed


def test_a_freeze_keeps_a_release_from_starting_and_a_stage_from_beginning() -> None:
    freeze = {"reason": "fair", "starts": "2026-11-18T12:00:00Z", "ends": "2026-11-18T18:00:00Z"}
    made = gates({"release.freezes": [freeze]})
    told = "releases are frozen until Wednesday 2026-11-18 18:00 UTC: fair"
    assert refused(made) == {"freeze": told}
    assert made.frozen(NOW) == told
    assert made.frozen(NOW - timedelta(seconds=1)) is None


class TestBackups:
    def test_one_that_is_too_old_or_none_at_all_is_refused(self) -> None:
        old = gates(newest_backup=lambda _: NOW - timedelta(hours=26, seconds=1))
        assert refused(old)["backups"] == "newest backups: main: 26 h 01 min old; at most 26 h are allowed"
        none = gates(newest_backup=lambda _: None)
        assert refused(none)["backups"] == "newest backups: main: no backup at all; at most 26 h are allowed"

    def test_every_database_needs_one(self) -> None:
        second = settings("prod").databases["main"].model_dump()
        made = gates(
            {"databases.second": second},
            of=outputs(databases={"main": "m", "second": "s"}),
            newest_backup=lambda identifier: NOW if identifier == "m" else None,
        )
        assert "second: no backup at all" in refused(made)["backups"]

    def test_a_database_that_the_outputs_do_not_tell_of_is_not_passed_over(self) -> None:
        reason = refused(gates(of=outputs(databases={})))["backups"]
        assert reason == "the outputs do not tell of the database main"

    def test_it_is_asked_for_by_the_services_identifier(self) -> None:
        asked: list[str] = []

        def newest(identifier: str) -> datetime:
            asked.append(identifier)
            return NOW

        assert evaluated(gates(newest_backup=newest))["backups"].passed
        assert asked == ["shop-prod-main"]


def test_operations_that_an_interrupted_update_left_are_named_with_what_decides_them() -> None:
    made = gates(pending_operations=lambda: ["creating aws:ecs/service:Service api-green"])
    reason = refused(made)["pending-operations"]
    assert "creating aws:ecs/service:Service api-green" in reason
    assert "switchyard recover --stack prod" in reason


def test_what_pulumi_has_left_to_do_is_named_with_what_does_it() -> None:
    asked: list[Mapping[str, Colour]] = []

    def unapplied(colours: Mapping[str, Colour]) -> list[str]:
        asked.append(colours)
        return [f"update aws:ec2/subnet:Subnet private-{number}" for number in range(7)]

    assert refused(gates(unapplied=unapplied))["infrastructure"] == (
        "the settings and the program are ahead of the stack: update aws:ec2/subnet:Subnet private-0, "
        "update aws:ec2/subnet:Subnet private-1, update aws:ec2/subnet:Subnet private-2, "
        "update aws:ec2/subnet:Subnet private-3, update aws:ec2/subnet:Subnet private-4, 2 more; "
        "`switchyard up --stack prod` applies that"
    )
    assert asked == [APPLIED], "the idle colours are the release's own to change"


def test_a_release_that_applies_nothing_asks_for_no_preview() -> None:
    found = evaluated(gates(unapplied=silent), applied={})["infrastructure"]
    assert (found.passed, found.reason) == (True, "the images run already: nothing is applied")


def test_alarms_of_the_services_that_are_released_speak_against_it() -> None:
    asked: list[Sequence[str]] = []

    def firing(services: Sequence[str]) -> list[str]:
        asked.append(services)
        return ["api-blue-error-rate: 7 % of requests"]

    assert refused(gates(firing=firing), {"api": API})["alarms"] == (
        "1 firing: api-blue-error-rate: 7 % of requests"
    )
    assert asked == [["api"]]
