"""Finders of what keeps data, and of what guards it (see switchyard/finders/__init__.py)."""

from collections.abc import Iterable

from switchyard.finders.look import Look, Thing


def database(look: Look) -> str | None:
    """An RDS instance by identifier and tags."""
    arguments = {"DBInstanceIdentifier": look["identifier"]}
    for found in look.every("rds", "describe_db_instances", "DBInstances", **arguments):
        if look.is_ours(found.get("TagList")) and found["DBInstanceStatus"] != "deleting":
            return str(found["DBInstanceIdentifier"])
    return None


def subnet_group(look: Look) -> str | None:
    """An RDS subnet group by name and tags."""
    arguments = {"DBSubnetGroupName": look["name"]}
    found = look.every("rds", "describe_db_subnet_groups", "DBSubnetGroups", **arguments)
    return _rds(look, found, "DBSubnetGroupArn")


def parameter_group(look: Look) -> str | None:
    """An RDS parameter group by name and tags."""
    arguments = {"DBParameterGroupName": look["name"]}
    found = look.every("rds", "describe_db_parameter_groups", "DBParameterGroups", **arguments)
    return _rds(look, found, "DBParameterGroupArn")


def event_subscription(look: Look) -> str | None:
    """An RDS event subscription by name and tags."""
    arguments = {"SubscriptionName": look["name"]}
    found = look.every("rds", "describe_event_subscriptions", "EventSubscriptionsList", **arguments)
    return _rds(look, found, "EventSubscriptionArn")


def _rds(look: Look, found: Iterable[Thing], arn: str) -> str | None:
    for entry in found:
        if look.is_ours(
            list(look.every("rds", "list_tags_for_resource", "TagList", ResourceName=entry[arn]))
        ):
            return str(look["name"])
    return None


def table(look: Look) -> str | None:
    """A DynamoDB table by name and tags."""
    for found in look.each("dynamodb", "describe_table", "Table", TableName=look["name"]):
        tags = look.every("dynamodb", "list_tags_of_resource", "Tags", ResourceArn=found["TableArn"])
        if look.is_ours(list(tags)) and found["TableStatus"] != "DELETING":
            return str(look["name"])
    return None


def bucket(look: Look) -> str | None:
    """A bucket by its name, or by tags where AWS's provider made the name up; those ones are new."""
    if look["bucket"]:
        owned = look.each("s3", "head_bucket", "ResponseMetadata", Bucket=look["bucket"])
        return look["bucket"] if any(True for _ in owned) else None
    return look.one(
        found["Name"]
        for found in look.every("s3", "list_buckets", "Buckets")
        if found["Name"] not in look.known
        and look.is_ours(list(look.every("s3", "get_bucket_tagging", "TagSet", Bucket=found["Name"])))
    )


def secret(look: Look) -> str | None:
    """A secret by name and tags; one that waits for its deletion is none."""
    for found in look.each("secretsmanager", "describe_secret", None, SecretId=look["name"]):
        if look.is_ours(found.get("Tags")) and "DeletedDate" not in found:
            return str(found["ARN"])
    return None


def key(look: Look) -> str | None:
    """A KMS key by description and tags: it has no name, and one that is lost costs money for ever."""
    return look.one(found for found in _keys(look) if found not in look.known)


def _keys(look: Look) -> Iterable[str]:
    for entry in look.every("kms", "list_keys", "Keys"):
        for found in look.each("kms", "describe_key", "KeyMetadata", KeyId=entry["KeyId"]):
            # The tags of AWS's own keys, and of those of others, may not even be read.
            if (
                found["KeyManager"] == "CUSTOMER"
                and found["KeyState"] != "PendingDeletion"
                and found.get("Description") == look["description"]
                and look.is_ours(list(look.every("kms", "list_resource_tags", "Tags", KeyId=entry["KeyId"])))
            ):
                yield entry["KeyId"]


def alias(look: Look) -> str | None:
    """A KMS alias by its name, if it is of the key that was asked for."""
    target = str(look["targetKeyId"]).rsplit("/", 1)[-1]
    for found in look.every("kms", "list_aliases", "Aliases"):
        if found["AliasName"] == look["name"] and found.get("TargetKeyId") == target:
            return str(look["name"])
    return None


def vault(look: Look) -> str | None:
    """A backup vault by name and tags, out of the list: asked for one that isn't there, AWS says "denied"."""
    for found in look.every("backup", "list_backup_vaults", "BackupVaultList"):
        if found["BackupVaultName"] == look["name"] and _backup_is_ours(look, found["BackupVaultArn"]):
            return str(look["name"])
    return None


def plan(look: Look) -> str | None:
    """A backup plan by name and tags; AWS takes several of one name."""
    return look.one(
        found["BackupPlanId"]
        for found in look.every("backup", "list_backup_plans", "BackupPlansList")
        if found["BackupPlanName"] == look["name"] and _backup_is_ours(look, found["BackupPlanArn"])
    )


def selection(look: Look) -> str | None:
    """A selection by its name in the plan."""
    found = look.every(
        "backup", "list_backup_selections", "BackupSelectionsList", BackupPlanId=look["planId"]
    )
    chosen = look.one(entry["SelectionId"] for entry in found if entry["SelectionName"] == look["name"])
    return f"{look['planId']}|{chosen}" if chosen else None


def _backup_is_ours(look: Look, arn: str) -> bool:
    return any(look.is_ours(tags) for tags in look.each("backup", "list_tags", "Tags", ResourceArn=arn))
