"""The environment of a task: what the image, the definition, its secrets and the cloud say, in this order.

Values of secrets are in what `of_task` returns and nowhere else: no message has one.
"""

import json
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from moto.core.exceptions import JsonRESTError, ServiceException
from moto.secretsmanager.models import secretsmanager_backends
from moto.ssm.models import ssm_backends
from moto.sts.models import sts_backends
from moto.utilities.utils import get_partition

from localcloud.dataplane.images import UnpackedImage
from localcloud.dataplane.processes import in_image

LOOPBACK = "127.0.0.1"
_SECRET = re.compile(
    r"(?P<arn>arn:aws[a-z-]*:secretsmanager:(?P<region>[^:]+):(?P<account>\d{12}):secret:[^:]+)"
    r"(:(?P<key>[^:]*):(?P<stage>[^:]*):(?P<version>[^:]*))?"
)
_PARAMETER = re.compile(r"arn:aws[a-z-]*:ssm:(?P<region>[^:]+):(?P<account>\d{12}):parameter(?P<name>/?.+)")


class SecretUnavailable(Exception):
    """A secret that is not there, or has no such key. Says which one, never what is in it."""


def of_task(
    *,
    image: UnpackedImage,
    container: Mapping[str, Any],
    override: Mapping[str, Any],
    account: str,
    region: str,
    task_role: str | None,
    endpoint: str,
    port: int | None,
) -> dict[str, str]:
    """All variables of a task's process, and none of the cloud's own. Raises SecretUnavailable.

    port: where a service's task has to listen; a one-off task has none.
    """
    found = _base(image)
    found |= {name: in_image(value, image.root) for name, value in image.env.items() if name != "PATH"}
    found |= _named(container.get("environment"))
    found |= {
        secret["name"]: resolve(secret["valueFrom"], account, region)
        for secret in container.get("secrets") or []
    }
    found |= _named(override.get("environment"))
    found |= _aws(account, region, task_role, endpoint)
    found["HOST"] = LOOPBACK
    if port is not None:
        found["PORT"] = str(port)
    return found


def _named(pairs: Sequence[Mapping[str, str]] | None) -> dict[str, str]:
    return {pair["name"]: pair["value"] for pair in pairs or []}


def _base(image: UnpackedImage) -> dict[str, str]:
    """What any program expects. The image's own PATH would lead to programs that are not on this machine."""
    path = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
    return {
        "PATH": os.pathsep.join(path),
        "HOME": str(image.workdir),
        "LANG": "C.UTF-8",
        # A container's output is read line by line as well.
        "PYTHONUNBUFFERED": "1",
    }


def _aws(account: str, region: str, task_role: str | None, endpoint: str) -> dict[str, str]:
    """The way to the embedded AWS API, and the task role's credentials if there is one."""
    found = {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    if task_role:
        backend = sts_backends[account][get_partition(region)]
        role = backend.assume_role(region, "task", task_role, "", 3600, "")
        found |= {
            "AWS_ACCESS_KEY_ID": role.access_key_id,
            "AWS_SECRET_ACCESS_KEY": role.secret_access_key,
            "AWS_SESSION_TOKEN": role.session_token,
        }
    return found


def resolve(reference: str, account: str, region: str) -> str:
    """The value behind a `valueFrom`: a secret's or parameter's ARN, or a parameter's name in the region.

    A secret's ARN may go on with `:<json key>:<version stage>:<version id>`. Raises SecretUnavailable.
    """
    if secret := _SECRET.fullmatch(reference):
        return _secret(secret.groupdict())
    parameter = _PARAMETER.fullmatch(reference)
    if parameter:
        account, region, name = parameter["account"], parameter["region"], parameter["name"]
    else:
        name = reference
    if name.startswith("arn:"):
        raise SecretUnavailable(f"{reference} is neither the ARN of a secret nor of a parameter")
    backend = ssm_backends[account][region]
    # Names with a hierarchy have their slash in the ARN; for others it is only the separator.
    found = backend.get_parameter(name) or backend.get_parameter(name.lstrip("/"))
    if found is None:
        raise SecretUnavailable(f"there is no parameter {reference}")
    value: str = found.response_object(decrypt=True, region=region)["Value"]
    return value


def _secret(part: Mapping[str, str | None]) -> str:
    backend: Any = secretsmanager_backends[part["account"] or ""][part["region"] or ""]
    arn = part["arn"]
    try:
        found = backend.get_secret_value(arn, part["version"] or None, part["stage"] or None)
    except (JsonRESTError, ServiceException, KeyError) as error:
        # moto's messages name the secret's version at most.
        raise SecretUnavailable(f"{arn} can't be read: {getattr(error, 'message', 'not found')}") from None
    text: str | None = found.get("SecretString")
    if text is None:
        raise SecretUnavailable(f"{arn} is binary; ECS hands on text alone")
    key = part["key"]
    if not key:
        return text
    try:
        value = json.loads(text)[key]
    except (ValueError, TypeError, KeyError):
        # The text is a secret: it is in no message, and in no traceback either.
        raise SecretUnavailable(f"{arn} has no key {key}") from None
    return value if isinstance(value, str) else json.dumps(value)
