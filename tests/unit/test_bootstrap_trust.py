"""Who may take which role: jobs of one repository, each from where it is meant for."""

import json
from typing import Any

import pytest

from bootstrap import trust
from tests.unit.bootstrap_roles import (
    ACCOUNT,
    INPUTS,
)
from tests.unit.iam_policies import listed


def trusted(text: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(text)
    return document


def trust_policy(subjects: list[str]) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {
                    "Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
                },
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {
                    "StringEquals": {
                        "token.actions.githubusercontent.com:aud": "sts.amazonaws.com",
                        "token.actions.githubusercontent.com:sub": subjects,
                    }
                },
            }
        ],
    }


def test_previews_come_from_pull_requests_and_the_branch_of_one_repository_only() -> None:
    assert trusted(trust.preview_policy(INPUTS)) == trust_policy(
        ["repo:acme/shop:pull_request", "repo:acme/shop:ref:refs/heads/main"]
    )


@pytest.mark.parametrize("environment", ["staging", "prod"])
def test_writers_come_from_their_github_environment_only(environment: str) -> None:
    assert trusted(trust.writer_policy(INPUTS, environment)) == trust_policy(
        [f"repo:acme/shop:environment:{environment}"]
    )


def test_another_branch_may_be_the_one_that_previews() -> None:
    (statement,) = trusted(trust.preview_policy(INPUTS.model_copy(update={"branch": "trunk"})))["Statement"]
    assert statement["Condition"]["StringEquals"]["token.actions.githubusercontent.com:sub"] == [
        "repo:acme/shop:pull_request",
        "repo:acme/shop:ref:refs/heads/trunk",
    ]


# --- as AWS would judge a token of GitHub's


def admitted(text: str, **claims: str) -> bool:
    """Whether a job with these claims gets the role. Every condition has to be one that is known here."""
    (statement,) = json.loads(text)["Statement"]
    assert statement["Effect"] == "Allow"
    assert set(statement["Condition"]) == {"StringEquals"}, "a pattern lets others in"
    given = {f"token.actions.githubusercontent.com:{name}": value for name, value in claims.items()}
    return all(
        given.get(claim) in listed(allowed)
        for claim, allowed in statement["Condition"]["StringEquals"].items()
    )


AUDIENCE = "sts.amazonaws.com"
SUBJECTS = [
    "repo:acme/shop:environment:prod",
    "repo:acme/shop:environment:staging",
    "repo:acme/shop:pull_request",
    "repo:acme/shop:ref:refs/heads/main",
]


@pytest.mark.parametrize("environment", ["prod", "staging"])
def test_of_all_jobs_of_the_repository_only_those_of_the_environment_may_write(environment: str) -> None:
    text = trust.writer_policy(INPUTS, environment)
    assert [sub for sub in SUBJECTS if admitted(text, aud=AUDIENCE, sub=sub)] == [
        f"repo:acme/shop:environment:{environment}"
    ]


def test_of_all_jobs_of_the_repository_those_with_an_environment_may_not_take_the_preview_role() -> None:
    text = trust.preview_policy(INPUTS)
    assert [sub for sub in SUBJECTS if admitted(text, aud=AUDIENCE, sub=sub)] == SUBJECTS[2:]


@pytest.mark.parametrize(
    ("aud", "sub"),
    [
        (AUDIENCE, "repo:evil/shop:environment:prod"),
        (AUDIENCE, "repo:acme/shop-fork:environment:prod"),
        (AUDIENCE, "repo:acme/shop:environment:prod-eu"),
        (AUDIENCE, "repo:acme/shop:environment:PROD"),
        (AUDIENCE, "repo:acme/shop:environment:*"),
        (AUDIENCE, "repo:acme/*:environment:prod"),
        (AUDIENCE, "repo:acme/shop:ref:refs/heads/environment:prod"),
        (AUDIENCE, "xrepo:acme/shop:environment:prod"),
        (AUDIENCE, ""),
        ("https://github.com/acme", "repo:acme/shop:environment:prod"),
        ("", "repo:acme/shop:environment:prod"),
    ],
)
def test_a_token_of_anybody_else_is_refused_production(aud: str, sub: str) -> None:
    text = trust.writer_policy(INPUTS, "prod")
    assert not admitted(text, aud=aud, sub=sub)
    assert not admitted(text, sub="repo:acme/shop:environment:prod"), "the audience is asked for, too"
    assert not admitted(text, aud=AUDIENCE)


def test_no_role_is_open_to_another_issuer_or_by_another_action() -> None:
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/token.actions.githubusercontent.com"
    for text in (trust.preview_policy(INPUTS), trust.writer_policy(INPUTS, "prod")):
        (statement,) = json.loads(text)["Statement"]
        assert statement["Principal"] == {"Federated": provider}
        assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
        assert "*" not in text
