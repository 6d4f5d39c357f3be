from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError, NoCredentialsError, ProfileNotFound
from botocore.parsers import ResponseParserError
from botocore.stub import Stubber

from infra.account import BOUNDED, NoAccount, caller_account

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
        assert (service, options.pop("region_name")) == ("sts", "us-east-1"), "no region has to be configured"
        assert options == {"config": BOUNDED}, "an endpoint that hangs must not hold everything up"
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


def test_other_credentials_than_the_shells_are_asked_by_their_own_client(sts: Stubber) -> None:
    identity = {"Account": "210987654321", "UserId": "AIDA", "Arn": "arn:aws:iam::210987654321:user/a"}
    sts.add_response("get_caller_identity", identity, {})
    assert caller_account(lambda: sts.client) == "210987654321"


def test_credentials_that_cannot_even_make_a_client_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "nowhere")
    with pytest.raises(NoAccount, match=r"The config profile \(nowhere\) could not be found"):
        caller_account(lambda: boto3.Session().client("sts", region_name="eu-west-1"))


@pytest.mark.parametrize("answer", [{}, {"Account": None}])
def test_an_answer_without_an_account_is_no_account(answer: dict[str, object]) -> None:
    class Torn:
        def get_caller_identity(self) -> dict[str, object]:
            return answer

    with pytest.raises(NoAccount, match="its answer names none"):
        caller_account(Torn)


def test_an_answer_that_is_no_xml_is_no_account() -> None:
    class Garbled:
        def get_caller_identity(self) -> None:
            raise ResponseParserError("invalid XML received")

    with pytest.raises(NoAccount, match="invalid XML received"):
        caller_account(Garbled)
