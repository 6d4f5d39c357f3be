"""Buckets: S3.*. The Amazon S3 page of AWS Security Hub is the source of every rule."""

from collections.abc import Callable, Iterator

from policies.documents import allows, is_public, listed, principals, statements
from policies.model import UNKNOWN, Control, Resource, Severity, Stack, given, is_true, one_of, value

BUCKET = "aws:s3/bucket:Bucket"
BUCKET_POLICY = "aws:s3/bucketPolicy:BucketPolicy"
PUBLIC_ACCESS = "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock"
OWNERSHIP = "aws:s3/bucketOwnershipControls:BucketOwnershipControls"
ACL = "aws:s3/bucketAcl:BucketAcl"
LIFECYCLE = "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration"
LOGGING = "aws:s3/bucketLogging:BucketLogging"
BALANCER = "aws:lb/loadBalancer:LoadBalancer"

BLOCKS = ("blockPublicAcls", "blockPublicPolicy", "ignorePublicAcls", "restrictPublicBuckets")
READING = ("s3:*", "*", "s3:Get*", "s3:GetObject", "s3:ListBucket", "s3:List*")
WRITING = ("s3:*", "*", "s3:Put*", "s3:PutObject", "s3:DeleteObject", "s3:Delete*")
# S3.6 names these.
NOT_FOR_OTHERS = (
    *("s3:DeleteBucketPolicy", "s3:PutBucketAcl", "s3:PutBucketPolicy"),
    *("s3:PutEncryptionConfiguration", "s3:PutObjectAcl", "s3:*", "*"),
)


def public(actions: tuple[str, ...], what: str) -> Callable[[Resource], str | None]:
    """The check that a bucket policy lets nobody in to do these."""

    def check(policy: Resource) -> str | None:
        for statement in statements(policy.properties):
            if is_public(statement) and set(listed(statement, "Action")) & set(actions):
                return f"everybody may {what}"
        return None

    return check


def demands_tls(stack: Stack) -> Iterator[tuple[Resource, str]]:
    for bucket in stack.of(BUCKET):
        policies = stack.users(bucket, BUCKET_POLICY, "bucket")
        unknown = any(value(policy.properties, "policy") is UNKNOWN for policy in policies)
        if not unknown and not any(_denies_plain_requests(policy) for policy in policies):
            yield bucket, "plain requests are not refused"


def _denies_plain_requests(policy: Resource) -> bool:
    return any(
        statement.get("Effect") == "Deny"
        and "*" in principals(statement)
        and set(listed(statement, "Action")) & {"s3:*", "*"}
        and str(value(statement, "Condition.Bool.aws:SecureTransport")).lower() == "false"
        for statement in statements(policy.properties)
    )


def keeps_others_out(policy: Resource) -> str | None:
    for statement in statements(policy.properties):
        others = [name for name in principals(statement) if name == "*" or ":iam::" in name or name.isdigit()]
        risky = set(listed(statement, "Action")) & set(NOT_FOR_OTHERS)
        if allows(statement) and others and risky:
            return f"lets other principals do {', '.join(sorted(risky))}"
    return None


def is_closed(stack: Stack) -> Iterator[tuple[Resource, str]]:
    for bucket in stack.of(BUCKET):
        blocks = stack.users(bucket, PUBLIC_ACCESS, "bucket")
        if not any(all(is_true(block.properties, key) for key in BLOCKS) for block in blocks):
            yield bucket, "public access is not blocked in all four ways"


def logs_requests(stack: Stack) -> Iterator[tuple[Resource, str]]:
    for bucket in stack.of(BUCKET):
        takes_logs = stack.users(bucket, BALANCER, "accessLogs") or stack.users(
            bucket, LOGGING, "targetBucket"
        )
        if not takes_logs and not stack.users(bucket, LOGGING, "bucket"):
            yield bucket, "it does not log requests"


def has_no_acl(stack: Stack) -> Iterator[tuple[Resource, str]]:
    for bucket in stack.of(BUCKET):
        if stack.users(bucket, ACL, "bucket"):
            yield bucket, "access is given by an ACL"
        controls = stack.users(bucket, OWNERSHIP, "bucket")
        # AWS's own default since April 2023 is to have none.
        if not all(one_of(c.properties, "rule.objectOwnership", ["BucketOwnerEnforced"]) for c in controls):
            yield bucket, "ACLs are allowed again"


def expires(stack: Stack) -> Iterator[tuple[Resource, str]]:
    for bucket in stack.of(BUCKET):
        if not any(given(rule.properties, "rules") for rule in stack.users(bucket, LIFECYCLE, "bucket")):
            yield bucket, "nothing in it is ever moved or removed"


CONTROLS = (
    Control(
        id="S3.2",
        title="Nobody but those who are named may read a bucket",
        severity=Severity.CRITICAL,
        remedy="name the principals of the bucket policy, or give it a condition",
        types=(BUCKET_POLICY,),
        check=public(READING, "read"),
    ),
    Control(
        id="S3.3",
        title="Nobody but those who are named may write to a bucket",
        severity=Severity.CRITICAL,
        remedy="name the principals of the bucket policy, or give it a condition",
        types=(BUCKET_POLICY,),
        check=public(WRITING, "write"),
    ),
    Control(
        id="S3.5",
        title="Buckets refuse requests without TLS",
        severity=Severity.MEDIUM,
        remedy="deny s3:* to all where aws:SecureTransport is false",
        check_stack=demands_tls,
    ),
    Control(
        id="S3.6",
        title="Bucket policies let no other account change who may do what",
        severity=Severity.HIGH,
        remedy=f"take {', '.join(NOT_FOR_OTHERS[:5])} out of what others are allowed",
        types=(BUCKET_POLICY,),
        check=keeps_others_out,
    ),
    Control(
        id="S3.8",
        title="Buckets block public access",
        severity=Severity.HIGH,
        remedy="declare aws.s3.BucketPublicAccessBlock with all four settings",
        check_stack=is_closed,
    ),
    Control(
        id="S3.9",
        title="Buckets log requests, unless they are for logs",
        severity=Severity.MEDIUM,
        remedy="declare aws.s3.BucketLogging for the bucket",
        check_stack=logs_requests,
    ),
    Control(
        id="S3.12",
        title="No ACL says who may use a bucket",
        severity=Severity.MEDIUM,
        remedy="set object ownership to BucketOwnerEnforced",
        check_stack=has_no_acl,
    ),
    Control(
        id="S3.13",
        title="Buckets have a lifecycle",
        severity=Severity.LOW,
        remedy="declare aws.s3.BucketLifecycleConfiguration for the bucket",
        check_stack=expires,
    ),
)
