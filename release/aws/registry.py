"""Whether an image is in its registry, and which repository a service's images come from."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from release.aws.outputs import StackParts
from release.aws.session import asking
from release.errors import Refused

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

ECR_REPOSITORY = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com(\.cn)?/(?P<name>.+)"
)


@dataclass(frozen=True, kw_only=True)
class EcrRepository:
    """Where an ECR repository is."""

    account: str
    region: str
    name: str


class EcrRegistry:
    """Asks ECR, in whatever account and region an image's address names.

    client: makes the ECR client of a region.
    """

    def __init__(self, client: "Callable[[str], ECRClient]") -> None:
        self._client = client

    def missing(self, image: str) -> str | None:
        """Why the image can't be pulled by its digest; None if it is there.

        Raises Refused for a registry that can't be asked, Unavailable where ECR does not answer.
        """
        address, _, digest = image.partition("@")
        repository = ecr_repository(address)
        with asking(f"ask ECR for {image}"):
            try:
                answer = self._client(repository.region).describe_images(
                    registryId=repository.account,
                    repositoryName=repository.name,
                    imageIds=[{"imageDigest": digest}],
                )
            except ClientError as error:
                if error.response["Error"]["Code"] in (
                    "ImageNotFoundException",
                    "RepositoryNotFoundException",
                ):
                    return f"{address} has no image {digest}"
                raise
            if all(found["imageDigest"] != digest for found in answer["imageDetails"]):
                return f"{address} has no image {digest}"
        return None


def repository_of(image_repository: str, parts: StackParts) -> str:
    """The address of the repository that a service's images come from.

    image_repository: as the settings have it: the name of one that the stack makes, or an address.
    """
    if "/" in image_repository:
        return image_repository
    suffix = "amazonaws.com.cn" if parts.partition == "aws-cn" else "amazonaws.com"
    return f"{parts.account}.dkr.ecr.{parts.region}.{suffix}/{parts.name_prefix}/{image_repository}"


def ecr_repository(address: str) -> EcrRepository:
    """Where the repository of this address is. Raises Refused for one that is not on ECR."""
    found = ECR_REPOSITORY.fullmatch(address)
    if found is None:
        raise Refused(
            f"{address} is not on ECR, so nobody can be asked whether it has the image; push it to the "
            "stack's own repository"
        )
    return EcrRepository(account=found["account"], region=found["region"], name=found["name"])
