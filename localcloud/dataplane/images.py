"""Images of the embedded cloud: an application folder as an OCI image that a process can be made of.

The registry keeps the manifest, as ECR does. Manifest, configuration and layer are also in the store, a
folder of files that are named by their SHA-256.
"""

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from localcloud.dataplane.dockerfile import Recipe, parse
from localcloud.dataplane.packing import layer, unpack_layer
from localcloud.errors import CloudError

if TYPE_CHECKING:
    from mypy_boto3_ecr import ECRClient

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
_REFERENCE = re.compile(r"(?P<repository>\S+)@sha256:(?P<digest>[0-9a-f]{64})")
# What ECR allows for a tag (PutImage, imageTag).
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


class ImageError(CloudError):
    """An image that can't be published or found; says what to do."""


@dataclass(frozen=True, kw_only=True)
class PublishedImage:
    """An image in the embedded registry.

    reference: `<repository URI>@<digest>`, as a task definition takes it.
    digest: `sha256:` and 64 hexadecimal digits, of the manifest.
    existed: whether the very same image was there under this tag.
    not_executed: RUN lines of the Dockerfile, which are skipped.
    """

    reference: str
    digest: str
    tag: str
    existed: bool
    not_executed: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class UnpackedImage:
    """An image as files.

    root: the folder that is `/` to the image.
    entrypoint, command: the program is both together; an override replaces `command` alone.
    env: by name.
    workdir: a folder below root.
    stop_signal: such as `SIGTERM`.
    """

    root: Path
    entrypoint: Sequence[str]
    command: Sequence[str]
    env: Mapping[str, str]
    workdir: Path
    stop_signal: str


def publish(
    directory: Path, repository: str, version: str, ecr_client: "ECRClient", store: Path
) -> PublishedImage:
    """Packs an application folder with a Dockerfile and puts it into the registry under a tag.

    repository: full name, or its last part if only one repository ends so. version: the tag. The same
    content has the same digest always. Raises CloudError: a Dockerfile that is not understood, an unknown
    repository, a tag that is taken by other content.
    """
    if not _TAG.fullmatch(version):
        raise ImageError(f"version {version!r} is no tag; give letters, digits, '.', '_' and '-', up to 128")
    if not (directory / "Dockerfile").is_file():
        raise ImageError(f"{directory} has no Dockerfile; it says how the application is started")
    name, uri = _repository(repository, ecr_client)
    recipe = parse((directory / "Dockerfile").read_text(), file=str(directory / "Dockerfile"))
    manifest = _keep_image(recipe, layer(directory, recipe.copies), store)
    digest = "sha256:" + _keep(manifest.encode(), store)
    existed = _put(name, version, manifest, digest, ecr_client)
    return PublishedImage(
        reference=f"{uri}@{digest}",
        digest=digest,
        tag=version,
        existed=existed,
        not_executed=tuple(recipe.not_executed),
    )


def _repository(asked: str, ecr_client: "ECRClient") -> tuple[str, str]:
    """Name and URI."""
    pages = ecr_client.get_paginator("describe_repositories").paginate()
    known = {
        found["repositoryName"]: found["repositoryUri"] for page in pages for found in page["repositories"]
    }
    fitting = [name for name in sorted(known) if name == asked or name.endswith(f"/{asked}")]
    if asked in known:
        fitting = [asked]
    if len(fitting) == 1:
        return fitting[0], known[fitting[0]]
    if fitting:
        raise ImageError(f"repository {asked!r} may be any of {', '.join(fitting)}; give the whole name")
    there = ", ".join(sorted(known)) or "none, bring a stack up first"
    raise ImageError(f"there is no repository {asked!r}; there is: {there}")


def _keep_image(recipe: Recipe, files: bytes, store: Path) -> str:
    """Keeps layer and configuration, returns the manifest. Everything is sorted, nothing has a time."""
    layer_digest = _keep(files, store)
    config = _json(_config(recipe, layer_digest)).encode()
    return _json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": _descriptor(CONFIG, _keep(config, store), len(config)),
            "layers": [_descriptor(LAYER, layer_digest, len(files))],
            "annotations": {"org.opencontainers.image.base.name": recipe.base},
        }
    )


def _config(recipe: Recipe, layer_digest: str) -> Mapping[str, Any]:
    """OCI's image configuration. No architecture is built for: it runs where the cloud runs."""
    return {
        "architecture": "unknown",
        "os": "unknown",
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{layer_digest}"]},
        "config": {
            "Cmd": list(recipe.command),
            "Entrypoint": list(recipe.entrypoint),
            "Env": [f"{name}={value}" for name, value in sorted(recipe.environment.items())],
            "ExposedPorts": {port: {} for port in recipe.ports},
            "Labels": dict(recipe.labels),
            "StopSignal": recipe.stop_signal,
            "User": recipe.user,
            "Volumes": {path: {} for path in recipe.volumes},
            "WorkingDir": recipe.workdir,
        },
    }


def _descriptor(media_type: str, digest: str, size: int) -> Mapping[str, Any]:
    return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": size}


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def _keep(content: bytes, store: Path) -> str:
    """Writes it under its hash, at once or not at all, and returns the hash."""
    digest = hashlib.sha256(content).hexdigest()
    if not (store / digest).exists():
        store.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=store)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(name).replace(store / digest)
    return digest


def _put(repository: str, tag: str, manifest: str, digest: str, ecr_client: "ECRClient") -> bool:
    """Whether the image was there already under the tag."""
    try:
        ecr_client.put_image(
            repositoryName=repository,
            imageManifest=manifest,
            imageManifestMediaType=MANIFEST,
            imageTag=tag,
            imageDigest=digest,
        )
    except ClientError as error:
        if error.response["Error"]["Code"] not in (
            "ImageAlreadyExistsException",
            "ImageTagAlreadyExistsException",
        ):
            raise ImageError(f"{repository}:{tag} was not taken: {error}") from error
        there = _digest_of(repository, tag, ecr_client)
        if there != digest:
            raise ImageError(
                f"{repository}:{tag} is taken by {there}, and this is {digest}: "
                "a tag never moves; publish under another version"
            ) from error
        return True
    return False


def _digest_of(repository: str, tag: str, ecr_client: "ECRClient") -> str | None:
    images = ecr_client.batch_get_image(repositoryName=repository, imageIds=[{"imageTag": tag}])["images"]
    return images[0]["imageId"].get("imageDigest") if images else None


def split(reference: str) -> tuple[str, str]:
    """Repository and digest (64 hexadecimal digits) of a reference. Raises ImageError."""
    found = _REFERENCE.fullmatch(reference)
    if not found:
        raise ImageError(f"image {reference!r} is not pinned; give repository@sha256:<64 hexadecimal digits>")
    return found["repository"], found["digest"]


def unpack(reference: str, store: Path, into: Path) -> UnpackedImage:
    """Unpacks an image of the store into a folder of its own. Raises ImageError."""
    _, digest = split(reference)
    manifest = _stored_json(store, f"sha256:{digest}", reference)
    config = _stored_json(store, manifest["config"]["digest"], reference)["config"]
    for part in manifest["layers"]:
        unpack_layer(_stored(store, part["digest"], reference), into)
    workdir = into / config["WorkingDir"].lstrip("/")
    workdir.mkdir(parents=True, exist_ok=True)
    return UnpackedImage(
        root=into,
        entrypoint=tuple(config["Entrypoint"]),
        command=tuple(config["Cmd"]),
        env=dict(entry.split("=", 1) for entry in config["Env"]),
        workdir=workdir,
        stop_signal=config["StopSignal"],
    )


def _stored(store: Path, digest: str, reference: str) -> Path:
    path = store / digest.removeprefix("sha256:")
    if not path.is_file():
        raise ImageError(
            f"{reference} is not in the embedded cloud; publish it with `switchyard cloud publish`"
        )
    return path


def _stored_json(store: Path, digest: str, reference: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_stored(store, digest, reference).read_bytes())
    return found
