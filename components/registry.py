"""Where the images of a platform are kept.

Creates, per repository: an ECR repository with immutable tags, a lifecycle policy and, if other accounts
pull from it, a repository policy.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import ecr


@dataclass(frozen=True, kw_only=True)
class RegistryArgs:
    """What a registry is made from.

    repositories: one name per image, such as the services' names.
    name_prefix: first part of each repository's name: `<name_prefix>/<repository>`.
    kms_key_arn: key that encrypts the images.
    keep_images: images to keep per repository. ECR does not know which ones run: choose more than the
        pushes between the oldest release that has to stay deployable and now.
    untagged_days: days after its push that an untagged image is dropped.
    force_delete: delete repositories that still hold images. False stops the deletion of the stack there.
    pull_account_ids: other accounts that pull images. Empty: no policy, this account only.
    """

    repositories: Sequence[str]
    name_prefix: str
    kms_key_arn: pulumi.Input[str]
    keep_images: int
    untagged_days: int
    force_delete: bool
    pull_account_ids: Sequence[str]


def lifecycle_policy(*, keep_images: int, untagged_days: int) -> str:
    """The lifecycle policy (ECR.3): drop untagged images after some days, then all but the newest ones.

    A rule for any image has to have the last priority; ECR rejects the policy otherwise.
    """
    rules = [
        {
            "rulePriority": 1,
            "description": f"drop untagged images after {untagged_days} days",
            "selection": {
                "tagStatus": "untagged",
                "countType": "sinceImagePushed",
                "countUnit": "days",
                "countNumber": untagged_days,
            },
            "action": {"type": "expire"},
        },
        {
            "rulePriority": 2,
            "description": f"keep the newest {keep_images} images",
            "selection": {
                "tagStatus": "any",
                "countType": "imageCountMoreThan",
                "countNumber": keep_images,
            },
            "action": {"type": "expire"},
        },
    ]
    return json.dumps({"rules": rules}, sort_keys=True)


def pull_policy(account_ids: Sequence[str]) -> str:
    """The repository policy: these accounts read layers and manifests, nothing else.

    A repository policy has no Resource: it speaks of the repository that it is attached to.
    """
    statement = {
        "Sid": "AccountsPullImages",
        "Effect": "Allow",
        "Principal": {"AWS": [f"arn:aws:iam::{account_id}:root" for account_id in sorted(account_ids)]},
        "Action": ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)


class Registry(pulumi.ComponentResource):
    """ECR repositories: a tag never moves (ECR.2), every push is scanned (ECR.1), old images go (ECR.3)."""

    repository_urls: dict[str, pulumi.Output[str]]
    repository_arns: dict[str, pulumi.Output[str]]

    def __init__(self, name: str, args: RegistryArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:release:Registry", name, None, opts)
        self.repository_urls = {}
        self.repository_arns = {}
        for repository_name in args.repositories:
            repository = self._repository(f"{name}-{repository_name}", repository_name, args)
            self.repository_urls[repository_name] = repository.repository_url
            self.repository_arns[repository_name] = repository.arn
        self.register_outputs(
            {"repository_urls": self.repository_urls, "repository_arns": self.repository_arns}
        )

    def _repository(self, name: str, repository_name: str, args: RegistryArgs) -> ecr.Repository:
        child = pulumi.ResourceOptions(parent=self)
        repository = ecr.Repository(
            name,
            name=f"{args.name_prefix}/{repository_name}",
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "KMS", "kms_key": args.kms_key_arn}],
            force_delete=args.force_delete,
            opts=child,
        )
        ecr.LifecyclePolicy(
            f"{name}-lifecycle",
            repository=repository.name,
            policy=lifecycle_policy(keep_images=args.keep_images, untagged_days=args.untagged_days),
            opts=child,
        )
        if args.pull_account_ids:
            ecr.RepositoryPolicy(
                f"{name}-pull",
                repository=repository.name,
                policy=pull_policy(args.pull_account_ids),
                opts=child,
            )
        return repository
