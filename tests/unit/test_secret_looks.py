"""Names and values that are taken for secrets, and those that only speak of one."""

import pytest

from infra import secret_looks


@pytest.mark.parametrize(
    "name",
    [
        "DATABASE_PASSWORD",
        "passphrase",
        "clientSecret",
        "GITHUB_TOKEN",
        "STRIPE_API_KEY",
        "privateKey",
        "aws-credential",
        "SLACK_WEBHOOK",
        "SLACK_WEBHOOK_URL",
        "SENTRY_DSN",
        "connectionString",
        "secretIdentity",
    ],
)
def test_what_stands_under_such_a_name_is_a_secret(name: str) -> None:
    assert secret_looks.names_one(name)


@pytest.mark.parametrize(
    "name",
    [
        "passwordLength",
        "TOKEN_TTL_SECONDS",
        "secretArn",
        "SESSION_SECRET_NAME",
        "accessKeyId",
        "PASSWORD_FILE",
        "secret_id",
        "secretsEnabled",
        "LOG_LEVEL",
        "dsn_host",
    ],
)
def test_a_name_that_speaks_of_one_is_none(name: str) -> None:
    assert not secret_looks.names_one(name)


@pytest.mark.parametrize(
    "text",
    ["-----BEGIN CERTIFICATE-----", "https://example.com/a:b@c", "arn:aws:s3:::x", "AKIA and more", "eyJ"],
)
def test_what_is_public_does_not_look_like_one(text: str) -> None:
    assert secret_looks.VALUE.search(text) is None
