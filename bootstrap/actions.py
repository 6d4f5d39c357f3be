"""Actions of AWS that a stack's life takes, by service. Pure data."""

from collections.abc import Mapping

# What the AWS provider asks for on a refresh, by service. No data: no object, no item, no image, no log line.
READS = {
    "acm": ("Describe*", "List*"),
    "application-autoscaling": ("Describe*", "List*"),
    "backup": ("Describe*", "GetBackup*", "List*"),
    "cloudwatch": ("Describe*", "GetDashboard", "GetMetricData", "GetMetricStatistics", "List*"),
    "dynamodb": ("DescribeContinuousBackups", "DescribeTable", "DescribeTimeToLive", "List*"),
    "ec2": ("Describe*",),
    "ecr": ("Describe*", "GetLifecyclePolicy", "GetRepositoryPolicy", "List*"),
    "ecs": ("Describe*", "List*"),
    "elasticloadbalancing": ("Describe*",),
    "iam": ("GetOpenIDConnectProvider", "GetPolicy*", "GetRole*", "List*"),
    "kms": ("DescribeKey", "GetKey*", "List*"),
    "logs": ("Describe*", "List*"),
    "rds": ("Describe*", "List*"),
    "s3": (
        "GetAccelerateConfiguration",
        "GetBucket*",
        "GetEncryptionConfiguration",
        "GetLifecycleConfiguration",
        "GetReplicationConfiguration",
        "ListAllMyBuckets",
    ),
    "secretsmanager": ("DescribeSecret", "GetResourcePolicy", "List*"),
    "sns": ("Get*", "List*"),
    "ssm": ("Describe*", "List*"),
    "sts": ("GetCallerIdentity",),
}

# Kinds whose names AWS or the engine makes up, or that have none to hold an action by.
UNNAMED = {
    "application-autoscaling": (
        "DeleteScalingPolicy",
        "DeregisterScalableTarget",
        "Put*",
        "Register*",
        "*Tag*",
    ),
    "backup": ("Create*", "Delete*", "Put*", "Update*", "*Tag*"),
    "backup-storage": ("MountCapsule",),
    "ec2": (
        "AllocateAddress",
        "AssociateRouteTable",
        "AttachInternetGateway",
        "AuthorizeSecurityGroup*",
        "CreateFlowLogs",
        "CreateInternetGateway",
        "CreateNatGateway",
        "CreateNetworkAclEntry",
        "CreateRoute",
        "CreateRouteTable",
        "CreateSecurityGroup",
        "CreateSubnet",
        "CreateTags",
        "CreateVpc",
        "CreateVpcEndpoint",
        "DeleteFlowLogs",
        "DeleteInternetGateway",
        "DeleteNatGateway",
        "DeleteNetworkAclEntry",
        "DeleteRoute",
        "DeleteRouteTable",
        "DeleteSecurityGroup",
        "DeleteSubnet",
        "DeleteTags",
        "DeleteVpc",
        "DeleteVpcEndpoints",
        "DetachInternetGateway",
        "DisassociateAddress",
        "DisassociateRouteTable",
        "ModifySecurityGroupRules",
        "ModifySubnetAttribute",
        "ModifyVpc*",
        "ReleaseAddress",
        "ReplaceNetworkAclAssociation",
        "ReplaceRoute*",
        "RevokeSecurityGroup*",
        "UpdateSecurityGroupRuleDescriptions*",
    ),
    "ecr": ("GetAuthorizationToken",),
    "ecs": ("CreateCluster", "DeregisterTaskDefinition", "RegisterTaskDefinition", "TagResource"),
    "elasticloadbalancing": ("Add*", "Create*", "Delete*", "Modify*", "Remove*", "Set*"),
    "kms": ("CreateKey",),
    "rds": (
        "AddTagsToResource",
        "Create*",
        "Delete*",
        "Modify*",
        "RebootDBInstance",
        "RemoveTagsFromResource",
        "AddSourceIdentifierToSubscription",
        "RemoveSourceIdentifierFromSubscription",
        "ResetDBParameterGroup",
    ),
    "route53": ("AssociateVPCWithHostedZone",),
}

# A stack's one bucket, for access logs. The provider asks for its existence by what lists it.
LOG_BUCKET = (
    "CreateBucket",
    "DeleteBucket",
    "DeleteBucketPolicy",
    "DeleteObject*",
    "ListBucket*",
    "PutBucket*",
    "PutEncryptionConfiguration",
    "PutLifecycleConfiguration",
)

# AWS's own policies that roles of a stack carry; no other may be attached.
ATTACHABLE = (
    "AWSBackupServiceRolePolicyForBackup",
    "AWSBackupServiceRolePolicyForRestores",
    "AmazonRDSEnhancedMonitoringRole",
)
# Services that roles of a stack are handed to.
RECEIVERS = ("backup", "ecs-tasks", "monitoring.rds", "vpc-flow-logs")
# Services that make a role of their own when they are first used.
LINKED = ("backup", "ecs", "ecs.application-autoscaling", "elasticloadbalancing", "rds")


def in_full(table: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The actions as a policy names them."""
    return [f"{service}:{action}" for service, actions in table.items() for action in actions]
