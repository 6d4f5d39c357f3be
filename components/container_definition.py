"""The one container of a task, as ECS wants it written down.

Creates nothing: pure functions from a service's settings to JSON. What AWS fills in by itself is left out
and lists are sorted, so that a second `pulumi up` finds nothing to change.
"""

import re
from collections.abc import Mapping, Sequence

import pulumi

# Where the agent of an execute-command session writes; it needs volumes there, because AWS supports no
# read-only root file system with it (aws/containers-roadmap#1359).
SESSION_PATHS = ("/managed-agents", "/var/lib/amazon/ssm", "/var/log/amazon/ssm")

_DIGEST_IMAGE = re.compile(r"\S+@sha256:[0-9a-f]{64}")
_ROOT_USER = re.compile(r"(root|0+|)(:.*)?")


def digest_image(image: str) -> str:
    """The image as given. Raises ValueError unless it is pinned by digest."""
    if not _DIGEST_IMAGE.fullmatch(image):
        raise ValueError(
            f"image {image!r} is not pinned: a tag can be moved after it was tested; "
            "give repository@sha256:<64 hexadecimal digits>"
        )
    return image


def _pinned(image: pulumi.Input[str]) -> pulumi.Input[str]:
    """A plain image is checked at once, an output as soon as it is known."""
    if isinstance(image, str):
        return digest_image(image)
    return pulumi.Output.concat(image).apply(digest_image)


def volumes(writable_paths: Sequence[str], *, execute_command: bool) -> dict[str, str]:
    """The directory that each of a task's empty volumes is mounted at, by the volume's name.

    Raises ValueError for a path that is relative or the root itself.
    """
    for path in writable_paths:
        if not path.startswith("/") or not path.strip("/"):
            raise ValueError(
                f"writable path {path!r} can't be a volume: give absolute directories below /; "
                "the root file system stays read-only (ECS.5)"
            )
    paths = {*writable_paths, *(SESSION_PATHS if execute_command else ())}
    return {f"writable-{index}": path for index, path in enumerate(sorted(paths))}


def container_definitions(
    *,
    name: str,
    image: pulumi.Input[str],
    port: int,
    user: str,
    stop_timeout_seconds: int,
    environment: Mapping[str, pulumi.Input[str]],
    secrets: Mapping[str, pulumi.Input[str]],
    mounts: Mapping[str, str],
    log_group_name: pulumi.Input[str],
    region: pulumi.Input[str],
) -> Sequence[Mapping[str, object]]:
    """The container definitions of a task, to be written as JSON with sorted keys.

    `mounts` maps a volume's name to its directory. Raises ValueError for an image without a digest, a root
    user, a stop timeout that Fargate refuses, and a name that is both a setting and a secret.
    """
    _check(name, user, stop_timeout_seconds, sorted(set(environment) & set(secrets)))
    container: dict[str, object] = {
        "name": name,
        "image": _pinned(image),
        "essential": True,
        "user": user,
        "readonlyRootFilesystem": True,  # ECS.5
        "stopTimeout": stop_timeout_seconds,
        # Hands SIGTERM on to an application that was started by a shell.
        "linuxParameters": {"initProcessEnabled": True},
        "portMappings": [{"containerPort": port}],
        "logConfiguration": {
            "logDriver": "awslogs",
            "options": {
                "awslogs-group": log_group_name,
                "awslogs-region": region,
                "awslogs-stream-prefix": name,
                # A slow CloudWatch may cost log lines, never requests.
                "mode": "non-blocking",
                "max-buffer-size": "25m",
            },
        },
    }
    if environment:
        container["environment"] = [{"name": key, "value": environment[key]} for key in sorted(environment)]
    if secrets:  # ECS.8
        container["secrets"] = [{"name": key, "valueFrom": secrets[key]} for key in sorted(secrets)]
    if mounts:
        container["mountPoints"] = [
            {"sourceVolume": volume, "containerPath": path} for volume, path in mounts.items()
        ]
    return [container]


def _check(name: str, user: str, stop_timeout_seconds: int, in_both: Sequence[str]) -> None:
    if _ROOT_USER.fullmatch(user):
        raise ValueError(f"user of {name} is {user!r}: give one that is not root (ECS.20)")
    if not 2 <= stop_timeout_seconds <= 120:
        raise ValueError(
            f"stop timeout of {name} is {stop_timeout_seconds} s: Fargate allows 2 to 120; "
            "a request that takes longer can't survive a release"
        )
    if in_both:
        raise ValueError(f"{list(in_both)} of {name} are in environment and in secrets: keep one of each")
