"""The bucket that Pulumi keeps its state in.

Creates: the bucket, its versions and their expiry, its encryption, its ownership, its public access block
and its policy. It is protected, and it stays when the stack is destroyed.
"""

import json
from dataclasses import dataclass

import pulumi
from pulumi_aws import s3

# Pulumi keeps everything below it. (An empty prefix is another rule to AWS than the one that was given.)
STATE_PREFIX = ".pulumi/"
# How long an overwritten state can be had back.
OLD_VERSION_DAYS = 365


@dataclass(frozen=True, kw_only=True)
class StateBucketArgs:
    """What the state bucket is made from.

    bucket_name: unique in the whole of AWS.
    account_id: the only account whose principals may come in.
    kms_key_arn: key that encrypts every object.
    """

    bucket_name: str
    account_id: str
    kms_key_arn: pulumi.Input[str]


def bucket_policy(bucket_arn: str, account_id: str, kms_key_arn: str) -> str:
    """Nobody without TLS (FSBP S3.5), nobody of another account, and nothing under another key.

    An upload that names no encryption gets the bucket's own: only one that names something else is refused.
    """
    whole = [bucket_arn, f"{bucket_arn}/*"]
    given = "s3:x-amz-server-side-encryption"
    key = f"{given}-aws-kms-key-id"
    statements = [
        _deny("DenyPlainHttp", "s3:*", whole, {"Bool": {"aws:SecureTransport": "false"}}),
        _deny("DenyOtherAccounts", "s3:*", whole, {"StringNotEquals": {"aws:PrincipalAccount": account_id}}),
        _deny(
            "DenyOtherEncryption",
            "s3:PutObject",
            f"{bucket_arn}/*",
            {"StringNotEquals": {given: "aws:kms"}, "Null": {given: "false"}},
        ),
        _deny(
            "DenyOtherKeys",
            "s3:PutObject",
            f"{bucket_arn}/*",
            {"StringNotEquals": {key: kms_key_arn}, "Null": {key: "false"}},
        ),
    ]
    return json.dumps({"Version": "2012-10-17", "Statement": statements}, sort_keys=True)


def _deny(
    sid: str, action: str, resource: str | list[str], condition: dict[str, dict[str, str]]
) -> dict[str, object]:
    return {
        "Sid": sid,
        "Effect": "Deny",
        "Principal": "*",
        "Action": action,
        "Resource": resource,
        "Condition": condition,
    }


class StateBucket(pulumi.ComponentResource):
    """A private, versioned, encrypted bucket that nothing deletes by accident."""

    bucket_name: pulumi.Output[str]
    arn: pulumi.Output[str]

    def __init__(self, name: str, args: StateBucketArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:bootstrap:StateBucket", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        bucket = s3.Bucket(
            name,
            bucket=args.bucket_name,
            force_destroy=False,
            opts=pulumi.ResourceOptions(parent=self, protect=True, retain_on_delete=True),
        )
        closed = self._closed(name, bucket)
        self._kept(name, bucket)
        s3.BucketServerSideEncryptionConfiguration(
            f"{name}-encryption",
            bucket=bucket.id,
            rules=[
                {
                    "apply_server_side_encryption_by_default": {
                        "sse_algorithm": "aws:kms",
                        "kms_master_key_id": args.kms_key_arn,
                    },
                    "bucket_key_enabled": True,
                }
            ],
            opts=self._child,
        )
        s3.BucketPolicy(
            f"{name}-policy",
            bucket=bucket.id,
            policy=pulumi.Output.all(bucket.arn, args.kms_key_arn).apply(
                lambda known: bucket_policy(known[0], args.account_id, known[1])
            ),
            # S3 answers "conflict" to two changes of a bucket's access at once.
            opts=pulumi.ResourceOptions(parent=self, depends_on=[closed]),
        )
        self.bucket_name = bucket.bucket
        self.arn = bucket.arn
        self.register_outputs({"bucket_name": self.bucket_name, "arn": self.arn})

    def _closed(self, name: str, bucket: s3.Bucket) -> s3.BucketPublicAccessBlock:
        s3.BucketOwnershipControls(
            f"{name}-ownership",
            bucket=bucket.id,
            rule={"object_ownership": "BucketOwnerEnforced"},
            opts=self._child,
        )
        return s3.BucketPublicAccessBlock(
            f"{name}-private",
            bucket=bucket.id,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=self._child,
        )

    def _kept(self, name: str, bucket: s3.Bucket) -> None:
        versions = s3.BucketVersioning(
            f"{name}-versions",
            bucket=bucket.id,
            versioning_configuration={"status": "Enabled"},
            opts=self._child,
        )
        s3.BucketLifecycleConfiguration(
            f"{name}-expiry",
            bucket=bucket.id,
            rules=[
                {
                    "id": "expire-old-versions",
                    "status": "Enabled",
                    "filter": {"prefix": STATE_PREFIX},
                    # Every lock that is given back leaves a marker behind.
                    "expiration": {"expired_object_delete_marker": True},
                    "noncurrent_version_expiration": {"noncurrent_days": OLD_VERSION_DAYS},
                    "abort_incomplete_multipart_upload": {"days_after_initiation": 1},
                }
            ],
            opts=pulumi.ResourceOptions(parent=self, depends_on=[versions]),
        )
