from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ProfileNotFound
from botocore.stub import Stubber

from infra.account import NoAccount, caller_account

FIX = (
    "\n  Fix: sign in (aws sso login, or AWS_PROFILE), or for the embedded cloud: "
    'eval "$(switchyard cloud env)"'
)


@pytest.fixture
def sts(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stubber]:
    """AWS's STS, answering what a test says and nothing else."""
    client = boto3.client(
        "sts",
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",  # noqa: S106 - none
    )

    def made(service: str, **options: Any) -> Any:
        assert (service, options) == ("sts", {"region_name": "us-east-1"}), "no region has to be configured"
        return client

    monkeypatch.setattr("boto3.client", made)
    with Stubber(client) as stubber:
        yield stubber
    stubber.assert_no_pending_responses()


def test_the_account_is_that_of_the_credentials_with_its_leading_zero(sts: Stubber) -> None:
    identity = {"Account": "012345678901", "UserId": "AIDA", "Arn": "arn:aws:iam::012345678901:user/a"}
    sts.add_response("get_caller_identity", identity, {})
    assert caller_account() == "012345678901"


def test_credentials_that_aws_refuses_are_told_with_what_to_do(sts: Stubber) -> None:
    sts.add_client_error("get_caller_identity", "ExpiredToken", "The security token has expired", 403)
    with pytest.raises(NoAccount) as error:
        caller_account()
    assert str(error.value) == (
        "AWS does not say which account this is: An error occurred (ExpiredToken) when calling the "
        f"GetCallerIdentity operation: The security token has expired{FIX}"
    )


@pytest.mark.parametrize(
    ("failure", "words"),
    [
        (NoCredentialsError(), "Unable to locate credentials"),
        (ProfileNotFound(profile="prod"), "The config profile (prod) could not be found"),
        (
            EndpointConnectionError(endpoint_url="http://127.0.0.1:1"),
            'Could not connect to the endpoint URL: "http://127.0.0.1:1"',
        ),
    ],
    ids=["no credentials", "no profile", "no network"],
)
def test_no_way_to_ask_is_told_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, failure: Exception, words: str
) -> None:
    def refuse(*_: object, **__: object) -> Any:
        raise failure

    monkeypatch.setattr("boto3.client", refuse)
    with pytest.raises(NoAccount) as error:
        caller_account()
    assert str(error.value) == f"AWS does not say which account this is: {words}{FIX}"
    assert error.value.__cause__ is failure


def test_a_mistake_of_ours_is_not_taken_for_missing_credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> Any:
        raise TypeError("ours")

    monkeypatch.setattr("boto3.client", broken)
    with pytest.raises(TypeError, match="ours"):
        caller_account()
