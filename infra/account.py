"""Which AWS account the credentials at hand belong to."""

from collections.abc import Callable
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

# It is asked before anything else: whoever waits for it waits for all.
BOUNDED = Config(connect_timeout=5, read_timeout=10, retries={"mode": "standard", "total_max_attempts": 3})


class NoAccount(Exception):
    """AWS can't be asked who we are."""


def _sts() -> Any:
    # STS answers the same in every region.
    return boto3.client("sts", region_name="us-east-1", config=BOUNDED)


def caller_account(sts: Callable[[], Any] = _sts) -> str:
    """The account of the credentials that the AWS provider would use too. Raises NoAccount.

    sts: makes the client to ask with; default: one with the shell's own credentials.
    """
    try:
        account = sts().get_caller_identity().get("Account")
    # An answer that is no XML is none of botocore's own errors.
    except (BotoCoreError, ClientError, ResponseParserError) as error:
        raise _unknown(str(error)) from error
    if not isinstance(account, str):
        raise _unknown("its answer names none")
    return account


def _unknown(why: str) -> NoAccount:
    return NoAccount(
        f"AWS does not say which account this is: {why}\n"
        "  Fix: sign in (aws sso login, or AWS_PROFILE), or for the embedded cloud: "
        'eval "$(switchyard cloud env)"'
    )
