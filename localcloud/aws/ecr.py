"""ECR: an image is what its manifest hashes to, and a missing repository is the caller's mistake."""

import hashlib
from collections.abc import Callable
from functools import cache
from typing import Any

from moto.core.exceptions import ServiceException
from moto.ecr.exceptions import RepositoryNotFoundException
from moto.ecr.models import ECRBackend


class ImageDigestDoesNotMatchException(ServiceException):
    """PutImage was given a digest that is not its manifest's."""

    code = "ImageDigestDoesNotMatchException"


@cache
def install() -> None:
    """Adds it to moto, once however often it is called."""
    for name, wrapper in {"put_image": with_the_true_digest}.items():
        setattr(ECRBackend, name, wrapper(getattr(ECRBackend, name)))


def with_the_true_digest(put: Callable[..., Any]) -> Callable[..., Any]:
    """ECRBackend.put_image; moto hashes the list of layers, so two configurations were one image."""

    def put_image(
        self: ECRBackend,
        repository_name: str,
        image_manifest: str,
        image_tag: str,
        image_manifest_mediatype: str | None = None,
        digest: str | None = None,
    ) -> Any:
        if repository_name not in self.repositories:
            raise RepositoryNotFoundException(repository_name, self.account_id)
        true = "sha256:" + hashlib.sha256(image_manifest.encode()).hexdigest()
        if digest is not None and digest != true:
            raise ImageDigestDoesNotMatchException(
                f"The provided image digest '{digest}' does not match '{true}', the digest of the manifest"
            )
        return put(self, repository_name, image_manifest, image_tag, image_manifest_mediatype, true)

    return put_image
