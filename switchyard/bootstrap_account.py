"""What AWS says of an account before bootstrap touches anything in it."""

import pulumi.automation as auto
from botocore.exceptions import BotoCoreError, ClientError

from bootstrap.inputs import AUDIENCE, Inputs
from infra.account import NoAccount, caller_account
from switchyard.bootstrap_engine import Bench, lay_out, opened, resources_of
from switchyard.errors import SwitchyardError


class WrongAccount(SwitchyardError):
    """The credentials at hand belong to another account than the one that was named."""


def check_account(bench: Bench) -> None:
    """Raises WrongAccount, and SwitchyardError if AWS does not say who we are."""
    asked = bench.inputs.account
    try:
        found = caller_account(lambda: bench.client("sts"))
    except NoAccount as error:
        raise SwitchyardError(
            f"{error}\nIt takes an administrator of the account. Nothing was done."
        ) from None
    if found != asked:
        raise WrongAccount(
            f"the credentials at hand belong to account {found}, and --account says {asked}; nothing was "
            f"done.\n  Fix: sign in to {asked}, or say --account {found} if that is the one you mean"
        )


def place_of_state(bench: Bench) -> tuple[bool, bool]:
    """Whether the state is in the bucket, and whether a first run of this machine was cut off before that.

    Raises SwitchyardError for a bucket that is somebody else's, elsewhere, or without a state.
    """
    inputs, begun = bench.inputs, bench.local.is_dir()
    region = _region_of_bucket(bench)
    if region is None:
        return False, begun
    if region != inputs.region:
        raise SwitchyardError(
            f"account {inputs.account} was bootstrapped in {region}, and --region says {inputs.region}; "
            f"nothing was done. One bucket serves the stacks of every region.\n  Fix: say --region {region}"
        )
    lay_out(bench)
    stack = opened(bench, moved=True)
    if stack is not None and resources_of(stack):
        return True, begun
    if not begun:
        raise SwitchyardError(
            f"the bucket {inputs.bucket} is there, but holds no state of bootstrap; nothing was done.\n"
            "  Fix: a first run was cut off elsewhere: run this there again, in the same checkout. If that "
            "is lost, look at what it made (keys by the alias switchyard-*, roles switchyard-*), delete it "
            "and the empty bucket, and run this again"
        )
    return False, True


def _region_of_bucket(bench: Bench) -> str | None:
    """The region of the account's state bucket, None if there is none."""
    bucket, account = bench.inputs.bucket, bench.inputs.account
    try:
        answer = bench.client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:
            return None
        elsewhere = error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
        if status in (301, 400) and elsewhere:
            return str(elsewhere)
        raise SwitchyardError(
            f"the bucket {bucket} can't be looked at ({error}); nothing was done.\n"
            "  Fix: sign in as an administrator; if the bucket belongs to another account, nobody but its "
            "owner can free the name"
        ) from None
    except BotoCoreError as error:
        raise SwitchyardError(f"S3 does not answer; nothing was done: {error}") from None
    return str(answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region") or bench.inputs.region)


def with_provider(bench: Bench, stack: auto.Stack | None) -> Inputs:
    """The inputs, with `creates_provider` as it has to be: an account has one OIDC provider for GitHub.

    Raises SwitchyardError if there is one that others made and that does not serve AWS's audience.
    """
    inputs = bench.inputs
    ours = stack is not None and any(
        resource["type"] == "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
        for resource in resources_of(stack)
    )
    if ours:
        return inputs
    try:
        found = bench.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=inputs.provider_arn)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchEntity", "NoSuchEntityException"):
            return inputs
        raise SwitchyardError(f"IAM can't be asked for GitHub's OIDC provider: {error}") from None
    if AUDIENCE not in found["ClientIDList"]:
        raise SwitchyardError(
            f"the account has {inputs.provider_arn}, made by others, with the audiences "
            f"{', '.join(found['ClientIDList']) or 'none'}; {AUDIENCE} is needed. Nothing was done.\n"
            "  Fix: aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "
            f"{inputs.provider_arn} --client-id {AUDIENCE}"
        )
    return inputs.model_copy(update={"creates_provider": False})
