"""Which AWS account the credentials at hand belong to."""

import boto3
from botocore.exceptions import BotoCoreError, ClientError


class NoAccount(Exception):
    """AWS can't be asked who we are."""


def caller_account() -> str:
    """The account of the credentials that the AWS provider would use too. Raises NoAccount."""
    try:
        # STS answers the same in every region.
        sts = boto3.client("sts", region_name="us-east-1")
        account: str = sts.get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        raise NoAccount(
            f"AWS does not say which account this is: {error}\n"
            "  Fix: sign in (aws sso login, or AWS_PROFILE), or for the embedded cloud: "
            'eval "$(switchyard cloud env)"'
        ) from error
    return account
