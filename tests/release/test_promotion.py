"""What may go from one stack to the next, and what stands against it."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from release.errors import Refused
from release.promotion import PastRelease, Proof, live_image, promotable, prove, retargeted

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
SOAK = timedelta(hours=1)
STAGING = "222222222222.dkr.ecr.eu-west-1.amazonaws.com/shop-staging/api"
PROD = "333333333333.dkr.ecr.eu-west-1.amazonaws.com/shop-prod/api"


def image(digit: str, repository: str = STAGING) -> str:
    return f"{repository}@sha256:{digit * 64}"


def short(digit: str) -> str:
    return f"api sha256:{digit * 12}"


def past(
    number: int, digit: str, hours_ago: float | None, outcome: Any = "completed", **more: Any
) -> PastRelease:
    ended = None if hours_ago is None else NOW - timedelta(hours=hours_ago)
    return PastRelease(number=number, outcome=outcome, ended=ended, images={"api": image(digit)}, **more)


def proof(digit: str, *history: PastRelease, soak: timedelta = SOAK) -> Proof:
    return prove("api", image(digit), history, source="staging", soak=soak, now=NOW)


@pytest.mark.parametrize(
    ("history", "proven", "reason"),
    [
        (
            [past(1, "a", 1)],
            True,
            "lived in staging for 1 h 00 min since release 1; 1 h 00 min are asked for",
        ),
        (
            [past(1, "a", 0.99)],
            False,
            "lived in staging for 0 h 59 min since release 1, of the 1 h 00 min that it has to",
        ),
        ([], False, "was never released in staging"),
        ([past(1, "b", 5)], False, "was never released in staging"),
        ([past(1, "a", 5, "rolled-back")], False, "was rolled back in staging by release 1"),
        ([past(1, "a", 5, "failed")], False, "was left unfinished in staging by release 1"),
        ([past(1, "a", None, "open")], False, "is not there yet: release 1 in staging is still open"),
        ([past(1, "a", 9), past(2, "a", 5, "rolled-back")], False, "was rolled back in staging by release 2"),
        ([past(1, "a", 9, "rolled-back"), past(2, "a", 5)], True, "5 h 00 min since release 2"),
        ([past(1, "a", 9), past(2, "b", 5, "rolled-back")], True, "9 h 00 min since release 1"),
        ([past(1, "a", 9), past(2, "b", 5, undoes=1)], False, "was taken back in staging by release 2"),
        ([past(1, "a", 9), past(2, "b", 5)], True, "lived in staging for 4 h 00 min since release 1"),
        ([past(1, "a", 5.5), past(2, "b", 5)], False, "for 0 h 30 min since release 1"),
        ([past(1, "a", 9), past(2, "b", 5), past(3, "a", 0.5)], False, "for 0 h 30 min since release 3"),
        ([past(1, "a", 9), past(2, "a", 0.5)], True, "9 h 00 min since release 1"),
        ([past(2, "a", 0.5), past(1, "b", 9)], False, "0 h 30 min since release 2"),
        ([past(1, "a", 9), past(2, "a", None, "open")], True, "9 h 00 min since release 1"),
    ],
)
def test_a_digest_is_proven_by_having_lived_there_without_being_taken_back(
    history: list[PastRelease], proven: bool, reason: str
) -> None:
    found = proof("a", *history)
    assert found.proven is proven
    assert found.reason.startswith(short("a"))
    assert reason in found.reason


def test_releases_of_other_services_prove_nothing() -> None:
    other = PastRelease(
        number=1, outcome="completed", ended=NOW - timedelta(days=9), images={"web": image("a")}
    )
    assert not proof("a", other).proven


def test_without_a_soak_a_completed_release_is_enough() -> None:
    assert proof("a", past(1, "a", 0), soak=timedelta(0)).proven


def promote(
    live: dict[str, str], *history: PastRelease, services: dict[str, str] | None = None
) -> dict[str, str]:
    return promotable(
        history,
        live,
        services if services is not None else {"api": PROD},
        source="staging",
        soak=SOAK,
        now=NOW,
    )


def test_the_very_digest_goes_to_the_repository_of_the_target() -> None:
    assert promote({"api": image("a")}, past(1, "a", 2)) == {"api": image("a", PROD)}


def test_another_registry_and_account_change_nothing_of_the_digest() -> None:
    assert retargeted(image("c"), PROD) == f"{PROD}@sha256:{'c' * 64}"
    with pytest.raises(Refused, match="is no image by digest"):
        retargeted(f"{STAGING}:latest", PROD)


def test_a_refusal_names_every_reason() -> None:
    web = PastRelease(number=2, outcome="completed", ended=NOW, images={"web": image("b")})
    with pytest.raises(Refused) as refused:
        promote(
            {"api": image("a"), "web": image("b")},
            past(1, "a", 5, "rolled-back"),
            web,
            services={"api": PROD, "web": PROD, "shop": PROD},
        )
    assert str(refused.value) == (
        "nothing was promoted from staging:\n"
        f"  {short('a')} was rolled back in staging by release 1\n"
        f"  web sha256:{'b' * 12} lived in staging for 0 h 00 min since release 2, "
        "of the 1 h 00 min that it has to\n"
        "  staging runs no shop: nothing was released to it yet"
    )


def test_a_release_that_is_open_there_keeps_its_service_from_being_promoted() -> None:
    with pytest.raises(Refused, match="release 2 of api is still open in staging"):
        promote({"api": image("a")}, past(1, "a", 9), past(2, "b", None, "open"))


def test_what_is_live_against_the_history_is_not_promoted() -> None:
    with pytest.raises(Refused, match="the newest completed release 2 was of sha256:bbbbbbbbbbbb"):
        promote({"api": image("a")}, past(1, "a", 9), past(2, "b", 5))


def test_promoting_nothing_is_refused() -> None:
    with pytest.raises(Refused, match="no service to promote"):
        promote({"api": image("a")}, past(1, "a", 9), services={})


def test_the_live_image_is_that_of_the_colour_with_all_of_the_traffic() -> None:
    images: Any = {"blue": image("a"), "green": image("b")}
    assert live_image("api", {"blue": 0, "green": 100}, images) == image("b")
    assert live_image("api", {"blue": 100, "green": 0}, {}) is None
    for split in ({"blue": 90, "green": 10}, {"blue": 0, "green": 0}):
        with pytest.raises(Refused, match="no one version is live"):
            live_image("api", split, images)  # type: ignore[arg-type]
