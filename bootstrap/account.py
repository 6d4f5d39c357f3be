"""What one account gets, composed from components."""

from typing import Any

import pulumi
import pulumi_aws as aws

from bootstrap.github_access import GitHubAccess, GitHubAccessArgs
from bootstrap.inputs import SECRETS_KEY_ALIAS, STATE_KEY_ALIAS, Inputs
from bootstrap.state_bucket import StateBucket, StateBucketArgs
from components.encryption import EncryptionKey, EncryptionKeyArgs

# The longest that AWS offers: without these keys no state of the account can be read.
KEY_DELETION_DAYS = 30


def declare(inputs: Inputs) -> dict[str, Any]:
    """Declares all of it and returns the stack's outputs."""
    provider = aws.Provider(
        "aws-home",
        region=inputs.region,
        allowed_account_ids=[inputs.account],
        default_tags={"tags": {"project": "switchyard-bootstrap", "managed-by": "switchyard"}},
    )
    # Children inherit the protection from their component.
    kept = pulumi.ResourceOptions(provider=provider, protect=True)
    state_key = EncryptionKey("state", _key(inputs, STATE_KEY_ALIAS, "Pulumi's state"), kept)
    secrets_key = EncryptionKey(
        "secrets", _key(inputs, SECRETS_KEY_ALIAS, "Secrets in the settings and the state of stacks"), kept
    )
    bucket = StateBucket(
        "state",
        StateBucketArgs(bucket_name=inputs.bucket, account_id=inputs.account, kms_key_arn=state_key.key_arn),
        pulumi.ResourceOptions(provider=provider),
    )
    access = GitHubAccess(
        "github",
        GitHubAccessArgs(inputs=inputs, state_key_arn=state_key.key_arn, secrets_key_arn=secrets_key.key_arn),
        pulumi.ResourceOptions(provider=provider),
    )
    return {
        "state_bucket": bucket.bucket_name,
        "secrets_key_arn": secrets_key.key_arn,
        "preview_role_arn": access.preview_role_arn,
        "writer_role_arns": dict(access.writer_role_arns),
    }


def _key(inputs: Inputs, alias: str, description: str) -> EncryptionKeyArgs:
    return EncryptionKeyArgs(
        account_id=inputs.account,
        region=inputs.region,
        alias_name=alias,
        description=description,
        service_principals=[],
        deletion_window_days=KEY_DELETION_DAYS,
        retain_on_delete=True,
    )
