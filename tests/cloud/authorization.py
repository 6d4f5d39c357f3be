"""What AWS's Service Authorization Reference says of the actions that a stack's life takes. Pure data."""

from collections.abc import Mapping

# Where IAM calls a service or an operation otherwise than its API does.
PREFIXES = {"elbv2": "elasticloadbalancing", "resourcegroupstaggingapi": "tag"}
S3 = {
    "CopyObject": "PutObject",
    "DeleteBucketEncryption": "PutEncryptionConfiguration",
    "DeleteBucketLifecycle": "PutLifecycleConfiguration",
    "DeleteBucketOwnershipControls": "PutBucketOwnershipControls",
    "DeleteObjects": "DeleteObject",
    "DeletePublicAccessBlock": "PutBucketPublicAccessBlock",
    "GetBucketAccelerateConfiguration": "GetAccelerateConfiguration",
    "GetBucketCors": "GetBucketCORS",
    "GetBucketEncryption": "GetEncryptionConfiguration",
    "GetBucketLifecycle": "GetLifecycleConfiguration",
    "GetBucketLifecycleConfiguration": "GetLifecycleConfiguration",
    "GetBucketReplication": "GetReplicationConfiguration",
    "GetObjectLockConfiguration": "GetBucketObjectLockConfiguration",
    "GetPublicAccessBlock": "GetBucketPublicAccessBlock",
    "HeadBucket": "ListBucket",
    "HeadObject": "GetObject",
    "ListBuckets": "ListAllMyBuckets",
    "ListObjectVersions": "ListBucketVersions",
    "ListObjectsV2": "ListBucket",
    "ListObjects": "ListBucket",
    "PutBucketEncryption": "PutEncryptionConfiguration",
    "PutBucketLifecycle": "PutLifecycleConfiguration",
    "PutBucketLifecycleConfiguration": "PutLifecycleConfiguration",
    "PutPublicAccessBlock": "PutBucketPublicAccessBlock",
}
# The parameters that name a resource, and its ARN behind service, region and account.
NAMED: Mapping[str, Mapping[str, str]] = {
    "cloudwatch": {"AlarmName": "alarm:{}", "AlarmNames": "alarm:{}", "ResourceARN": "{}"},
    "dynamodb": {"TableName": "table/{}", "ResourceArn": "{}"},
    "ecr": {"repositoryName": "repository/{}", "resourceArn": "{}"},
    "logs": {"logGroupName": "log-group:{}", "resourceArn": "{}"},
    "secretsmanager": {"SecretId": "secret:{}-a1b2c3", "Name": "secret:{}-a1b2c3"},
    "sns": {"TopicArn": "{}", "Name": "{}", "ResourceArn": "{}"},
    "ssm": {"Name": "parameter/{}", "Names": "parameter/{}", "Path": "parameter/{}"},
}
# What the service does with a key in the caller's name when it makes something that the key encrypts.
KEY_USES = {
    ("backup", "CreateBackupVault"): "CreateGrant Decrypt DescribeKey GenerateDataKey RetireGrant",
    ("dynamodb", "CreateTable"): "CreateGrant Decrypt DescribeKey Encrypt GenerateDataKey",
    ("ecr", "CreateRepository"): "CreateGrant DescribeKey RetireGrant",
    ("rds", "CreateDBInstance"): "CreateGrant Decrypt DescribeKey GenerateDataKey",
    ("secretsmanager", "CreateSecret"): "Decrypt GenerateDataKey",
}
TAGGING = {
    "cloudwatch": "TagResource",
    "dynamodb": "TagResource",
    "ecr": "TagResource",
    "elasticloadbalancing": "AddTags",
    "ec2": "CreateTags",
    "iam": "TagRole",
    "logs": "TagResource",
    "rds": "AddTagsToResource",
    "secretsmanager": "TagResource",
    "sns": "TagResource",
}
LINKED = {
    ("application-autoscaling", "RegisterScalableTarget"): "ecs.application-autoscaling",
    ("backup", "CreateBackupSelection"): "backup",
    ("ecs", "CreateCluster"): "ecs",
    ("elbv2", "CreateLoadBalancer"): "elasticloadbalancing",
    ("rds", "CreateDBInstance"): "rds",
}
HANDED_TO = {
    ("backup", "CreateBackupSelection"): "backup",
    ("ec2", "CreateFlowLogs"): "vpc-flow-logs",
    ("ecs", "RegisterTaskDefinition"): "ecs-tasks",
    ("rds", "CreateDBInstance"): "monitoring.rds",
}
# How the names of actions begin that only look.
READING = ("BatchGet", "Decrypt", "Describe", "Get", "Head", "List", "Query")
