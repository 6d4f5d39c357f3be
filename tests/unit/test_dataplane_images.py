"""Images: packed the same whoever packs them, kept by digest, unpacked as they were."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from localcloud.aws import ecr as moto_ecr
from localcloud.dataplane.dockerfile import DockerfileError
from localcloud.dataplane.images import ImageError, publish, split, unpack
from localcloud.dataplane.packing import Ignored, PackingError

DOCKERFILE = """\
FROM python:3.12-slim
WORKDIR /app
ENV VERSION=1
RUN pip install nothing
COPY . .
STOPSIGNAL SIGINT
CMD ["python", "app.py"]
"""
URI = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/switchyard-local/api"


@pytest.fixture
def ecr() -> Iterator[Any]:
    moto_ecr.install()
    with mock_aws():
        client = boto3.client("ecr", region_name="eu-west-1")
        client.create_repository(repositoryName="switchyard-local/api", imageTagMutability="IMMUTABLE")
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "api", {"Dockerfile": DOCKERFILE, "app.py": "print(1)", "lib/a.py": "A = 1"})


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


def unpacked(reference: str, store: Path, into: Path) -> set[str]:
    unpack(reference, store, into)
    return {path.relative_to(into).as_posix() for path in into.rglob("*") if not path.is_dir()}


def test_a_published_image_is_in_the_registry_by_digest_and_by_tag(
    ecr: Any, folder: Path, tmp_path: Path
) -> None:
    made = publish(folder, "api", "1", ecr, tmp_path / "store")
    assert made.reference == f"{URI}@{made.digest}"
    assert made.not_executed == ("4: RUN pip install nothing",)
    (image,) = ecr.describe_images(
        repositoryName="switchyard-local/api", imageIds=[{"imageDigest": made.digest}]
    )["imageDetails"]
    assert (image["imageDigest"], image["imageTags"]) == (made.digest, ["1"])


def test_an_unpacked_image_says_how_it_is_run(ecr: Any, folder: Path, tmp_path: Path) -> None:
    made = publish(folder, "api", "1", ecr, tmp_path / "store")
    image = unpack(made.reference, tmp_path / "store", tmp_path / "root")
    assert (image.entrypoint, image.command) == ((), ("python", "app.py"))
    assert (image.env, image.stop_signal) == ({"VERSION": "1"}, "SIGINT")
    assert image.workdir == tmp_path / "root" / "app"
    assert (image.workdir / "lib" / "a.py").read_text() == "A = 1"


def test_the_same_content_is_the_same_image_wherever_and_whenever_it_is_packed(
    ecr: Any, folder: Path, tmp_path: Path
) -> None:
    first = publish(folder, "api", "1", ecr, tmp_path / "store")
    other = write(
        tmp_path / "elsewhere", {"lib/a.py": "A = 1", "app.py": "print(1)", "Dockerfile": DOCKERFILE}
    )
    os.utime(other / "app.py", (0, 0))
    (other / "lib").chmod(0o700)
    write(other, {"lib/__pycache__/a.cpython-311.pyc": "of this run"})
    second = publish(other, "switchyard-local/api", "1", ecr, tmp_path / "another-store")
    assert second.digest == first.digest
    assert (first.existed, second.existed) == (False, True)


@pytest.mark.parametrize(
    "change", [{"app.py": "print(2)"}, {"Dockerfile": DOCKERFILE.replace("VERSION=1", "VERSION=2")}]
)
def test_a_tag_never_moves_to_other_content(
    ecr: Any, folder: Path, tmp_path: Path, change: dict[str, str]
) -> None:
    first = publish(folder, "api", "1", ecr, tmp_path / "store")
    write(folder, change)
    with pytest.raises(ImageError, match=r"is taken by sha256:.*publish under another version"):
        publish(folder, "api", "1", ecr, tmp_path / "store")
    second = publish(folder, "api", "2", ecr, tmp_path / "store")
    assert second.digest != first.digest, "the configuration is part of the image"


def test_one_image_may_have_two_tags(ecr: Any, folder: Path, tmp_path: Path) -> None:
    first = publish(folder, "api", "1", ecr, tmp_path / "store")
    second = publish(folder, "api", "stable", ecr, tmp_path / "store")
    assert (second.digest, second.existed) == (first.digest, False)


def test_a_program_stays_executable_and_a_link_stays_a_link(ecr: Any, folder: Path, tmp_path: Path) -> None:
    write(folder, {"run.sh": "#!/bin/sh"})
    (folder / "run.sh").chmod(0o700)
    (folder / "lib" / "link.py").symlink_to("a.py")
    image = unpack(
        publish(folder, "api", "1", ecr, tmp_path / "store").reference, tmp_path / "store", tmp_path / "root"
    )
    assert os.access(image.workdir / "run.sh", os.X_OK)
    assert not os.access(image.workdir / "app.py", os.X_OK)
    assert (image.workdir / "lib" / "link.py").readlink() == Path("a.py")


def test_a_link_out_of_the_folder_is_refused(ecr: Any, folder: Path, tmp_path: Path) -> None:
    (folder / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(PackingError, match="outside of"):
        publish(folder, "api", "1", ecr, tmp_path / "store")


def test_what_dockerignore_names_stays_out(ecr: Any, folder: Path, tmp_path: Path) -> None:
    write(
        folder,
        {
            ".dockerignore": "# tests\n*.md\n!README.md\n**/secret\n.venv/\n",
            "README.md": "",
            "CHANGES.md": "",
            "docs/deep.md": "",
            "a/b/secret/key": "",
            ".venv/lib/x.py": "",
            ".git/config": "",
        },
    )
    made = publish(folder, "api", "1", ecr, tmp_path / "store")
    assert unpacked(made.reference, tmp_path / "store", tmp_path / "root") == {
        "app/.dockerignore",
        "app/Dockerfile",
        "app/README.md",
        "app/app.py",
        "app/docs/deep.md",
        "app/lib/a.py",
    }


@pytest.mark.parametrize(
    ("pattern", "path", "out"),
    [
        ("*.py", "a.py", True),
        ("*.py", "lib/a.py", False),
        ("**/*.py", "lib/deep/a.py", True),
        ("**/*.py", "a.py", True),
        ("lib", "lib/deep/a.py", True),
        ("lib", "library", False),
        ("/lib/", "lib/a", True),
        ("a?c", "abc", True),
        ("a?c", "a/c", False),
        ("[ab].txt", "b.txt", True),
        ("[^ab].txt", "b.txt", False),
        ("a.c", "abc", False),
        ("lib/**", "lib/x/y", True),
    ],
)
def test_patterns_mean_what_docker_says(pattern: str, path: str, out: bool) -> None:
    assert Ignored(pattern)(path) is out


def test_single_files_are_copied_where_they_are_asked_to_be(ecr: Any, tmp_path: Path) -> None:
    folder = write(
        tmp_path / "api",
        {
            "Dockerfile": 'FROM a\nWORKDIR /srv\nCOPY one .\nCOPY one two\nCOPY lib /opt/lib\nCMD ["x"]',
            "one": "",
            "lib/a": "",
        },
    )
    made = publish(folder, "api", "1", ecr, tmp_path / "store")
    assert unpacked(made.reference, tmp_path / "store", tmp_path / "root") == {
        "srv/one",
        "srv/two",
        "opt/lib/a",
    }


def test_a_file_that_is_not_there_is_refused(ecr: Any, tmp_path: Path) -> None:
    folder = write(tmp_path / "api", {"Dockerfile": 'FROM a\nCOPY gone .\nCMD ["x"]'})
    with pytest.raises(PackingError, match="COPY gone: there is no"):
        publish(folder, "api", "1", ecr, tmp_path / "store")


def test_mistakes_are_named(ecr: Any, folder: Path, tmp_path: Path) -> None:
    store = tmp_path / "store"
    with pytest.raises(ImageError, match="no repository 'web'; there is: switchyard-local/api"):
        publish(folder, "web", "1", ecr, store)
    with pytest.raises(ImageError, match="version 'a b' is no tag"):
        publish(folder, "api", "a b", ecr, store)
    ecr.create_repository(repositoryName="another/api")
    with pytest.raises(ImageError, match="any of another/api, switchyard-local/api; give the whole name"):
        publish(folder, "api", "1", ecr, store)
    write(folder, {"Dockerfile": "FROM a\nADD b c"})
    with pytest.raises(DockerfileError, match=r"api/Dockerfile:2: 'ADD b c'"):
        publish(folder, "another/api", "1", ecr, store)
    (folder / "Dockerfile").unlink()
    with pytest.raises(ImageError, match="has no Dockerfile"):
        publish(folder, "another/api", "1", ecr, store)
    assert not store.exists(), "nothing is kept of what is refused"


def test_an_image_that_is_not_in_the_store_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="publish it with"):
        unpack(f"{URI}@sha256:{'0' * 64}", tmp_path, tmp_path / "root")
    with pytest.raises(ImageError, match="is not pinned"):
        split(f"{URI}:latest")


def test_the_registry_refuses_a_digest_that_is_not_the_manifests(ecr: Any) -> None:
    manifest = json.dumps({"schemaVersion": 2, "layers": []})
    given = {"repositoryName": "switchyard-local/api", "imageManifest": manifest, "imageTag": "1"}
    given["imageManifestMediaType"] = "application/vnd.oci.image.manifest.v1+json"
    with pytest.raises(ClientError, match="ImageDigestDoesNotMatch"):
        ecr.put_image(**given, imageDigest=f"sha256:{'0' * 64}")
    with pytest.raises(ClientError, match="RepositoryNotFound"):
        ecr.put_image(**{**given, "repositoryName": "gone"})
