"""Finders of what containers run with and write to (see switchyard/finders/__init__.py)."""

from switchyard.finders.look import Look


def cluster(look: Look) -> str | None:
    """An ECS cluster by name and tags."""
    described = look.every("ecs", "describe_clusters", "clusters", clusters=[look["name"]], include=["TAGS"])
    for found in described:
        if found["status"] != "INACTIVE" and look.is_ours(found.get("tags")):
            return str(look["name"])
    return None


def service(look: Look) -> str | None:
    """An ECS service by its name in the cluster, and tags."""
    described = look.every(
        "ecs",
        "describe_services",
        "services",
        cluster=look["cluster"],
        services=[look["name"]],
        include=["TAGS"],
    )
    for found in described:
        if found["status"] == "ACTIVE" and look.is_ours(found.get("tags")):
            return f"{str(look['cluster']).rsplit('/', 1)[-1]}/{look['name']}"
    return None


def repository(look: Look) -> str | None:
    """An ECR repository by name and tags."""
    for found in look.every("ecr", "describe_repositories", "repositories", repositoryNames=[look["name"]]):
        tags = look.every("ecr", "list_tags_for_resource", "tags", resourceArn=found["repositoryArn"])
        if look.is_ours(list(tags)):
            return str(look["name"])
    return None


def role(look: Look) -> str | None:
    """An IAM role by name and tags."""
    for found in look.each("iam", "get_role", "Role", RoleName=look["name"]):
        if look.is_ours(found.get("Tags")):
            return str(look["name"])
    return None


def log_group(look: Look) -> str | None:
    """A log group by name and tags."""
    listed = look.every("logs", "describe_log_groups", "logGroups", logGroupNamePrefix=look["name"])
    for found in listed:
        if found["logGroupName"] == look["name"]:
            arn = found["arn"].removesuffix(":*")
            for tags in look.each("logs", "list_tags_for_resource", "tags", resourceArn=arn):
                if look.is_ours(tags):
                    return str(look["name"])
    return None


def topic(look: Look) -> str | None:
    """An SNS topic by name and tags."""
    for found in look.every("sns", "list_topics", "Topics"):
        arn = str(found["TopicArn"])
        if arn.rsplit(":", 1)[-1] == look["name"]:
            tags = look.every("sns", "list_tags_for_resource", "Tags", ResourceArn=arn)
            return arn if look.is_ours(list(tags)) else None
    return None
