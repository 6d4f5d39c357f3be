from typing import Any

import pytest

from bootstrap.inputs import InvalidInputs, checked

GOOD: dict[str, Any] = {
    "account": "123456789012",
    "region": "eu-west-1",
    "repository": "acme/shop",
    "environments": ("staging", "prod"),
}


def test_names_follow_from_the_account_alone() -> None:
    found = checked(**GOOD)
    assert found.bucket == "switchyard-pulumi-state-123456789012"
    assert found.bucket_arn == "arn:aws:s3:::switchyard-pulumi-state-123456789012"
    assert found.provider_arn == (
        "arn:aws:iam::123456789012:oidc-provider/token.actions.githubusercontent.com"
    )
    moved = checked(**GOOD | {"region": "us-east-1", "repository": "acme/other", "environments": ("dev",)})
    assert moved.bucket == found.bucket, "a later run has to find it"


@pytest.mark.parametrize(
    ("region", "partition"),
    [("eu-west-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov")],
)
def test_arns_are_of_the_regions_partition(region: str, partition: str) -> None:
    assert checked(**GOOD | {"region": region}).role_arn("x").startswith(f"arn:{partition}:iam::")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("account", "12345678901"),
        ("account", "1234567890123"),
        ("account", "12345678901x"),
        ("region", "eu-west"),
        ("region", "eu-west-1a"),
        ("repository", "acme"),
        ("repository", "acme/*"),
        ("repository", "*/shop"),
        ("repository", "acme/shop:pull_request"),
        ("repository", "acme/shop/more"),
        ("environments", ()),
        ("environments", ("*",)),
        ("environments", ("Prod",)),
        ("environments", ("prod:x",)),
        ("environments", ("a" * 21,)),
        ("branch", "*"),
        ("branch", "ma in"),
    ],
)
def test_what_would_widen_the_trust_or_name_nothing_is_refused(key: str, value: object) -> None:
    with pytest.raises(InvalidInputs, match=f"^{key}: .* is not allowed; give "):
        checked(**GOOD | {key: value})


def test_every_mistake_is_told_at_once() -> None:
    with pytest.raises(InvalidInputs) as refused:
        checked(**GOOD | {"account": "1", "region": "mars"})
    assert [line.split(":")[0] for line in str(refused.value).splitlines()] == ["account", "region"]
    assert "twelve digits" in str(refused.value)


def test_an_environment_given_twice_is_refused() -> None:
    with pytest.raises(InvalidInputs, match=r"^environments: prod is given more than once"):
        checked(**GOOD | {"environments": ("prod", "prod")})


@pytest.mark.parametrize("names", [("dev", "dev-eu"), ("dev-eu", "dev")])
def test_an_environment_whose_permissions_would_cover_anothers_is_refused(names: tuple[str, str]) -> None:
    with pytest.raises(InvalidInputs, match="the writer of dev could change what is dev-eu's"):
        checked(**GOOD | {"environments": names})
    assert checked(**GOOD | {"environments": ("dev", "development")}), "no hyphen, no overlap"


def test_a_wrong_environment_is_told_once_and_each_of_several() -> None:
    with pytest.raises(InvalidInputs) as refused:
        checked(**GOOD | {"environments": ("A*",)})
    assert str(refused.value).count("\n") == 0
    assert str(refused.value).startswith(
        "environments: 'A*' is not allowed; give one to ten GitHub environments"
    )
    with pytest.raises(InvalidInputs) as refused:
        checked(**GOOD | {"environments": ("A*", "prod", "B:")})
    assert [line.split(" is ")[0] for line in str(refused.value).splitlines()] == [
        "environments: 'A*'",
        "environments: 'B:'",
    ]
