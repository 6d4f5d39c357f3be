"""The stacks' own files, whole or changed in single places, for the tests of what reads them."""

from collections.abc import Mapping
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from infra.arguments import Stack
from infra.load import PREFIX, InvalidSettings, parse
from infra.platform import deploy as deploy_platform
from infra.rules import Problem
from infra.settings import Settings
from tests.unit.harness import Deployment, deploy

ROOT = Path(__file__).parents[2]
STACKS = ("local", "dev", "staging", "prod")
REMOVED = object()


@cache
def _read(stack: str) -> dict[str, Any]:
    config: dict[str, Any] = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    return config


def config(stack: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The `config:` section of a stack's file, with the values at some keys changed or REMOVED.

    A key is written as problems write it: `services.api.cpu`.
    """
    changed = deepcopy(_read(stack))
    for key, value in (changes or {}).items():
        *blocks, last = key.split(".")
        place: Any = changed
        if blocks:
            place = place[PREFIX + blocks[0]]
            for block in blocks[1:]:
                place = place[block]
        else:
            last = PREFIX + last
        if value is REMOVED:
            del place[last]
        else:
            place[last] = value
    return changed


def settings(stack: str, changes: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a stack. Raises InvalidSettings."""
    return parse(config(stack, changes), f"Pulumi.{stack}.yaml")


def refusal(stack: str, changes: Mapping[str, Any], account: str | None = None) -> InvalidSettings:
    """What a changed file is refused with."""
    try:
        parse(config(stack, changes), f"Pulumi.{stack}.yaml", account)
    except InvalidSettings as error:
        return error
    raise AssertionError(f"{changes} in Pulumi.{stack}.yaml was accepted")


def problems(stack: str, changes: Mapping[str, Any], account: str | None = None) -> list[Problem]:
    """All that is wrong with a changed file."""
    return list(refusal(stack, changes, account).problems)


IMAGES = "aws:ssm/getParametersByPath:getParametersByPath"


def stack(name: str, changes: Mapping[str, Any] | None = None) -> Stack:
    """A stack as the program hands it to `deploy`, by the first of its accounts."""
    loaded = settings(name, changes)
    return Stack(project="switchyard", name=name, account_id=loaded.accounts[0], settings=loaded)


def platform(
    name: str,
    changes: Mapping[str, Any] | None = None,
    *,
    released: Mapping[str, str] | None = None,
    last_outputs: Mapping[str, Any] | None = None,
) -> Deployment:
    """All of a stack under mocks.

    `released` is the image of each colour by SSM parameter name, `last_outputs` what an earlier run exported.
    """
    images = released or {}
    return deploy(
        lambda: deploy_platform(stack(name, changes)),
        answers={
            IMAGES: {"names": list(images), "values": list(images.values())},
            "pulumi:pulumi:StackReference": {"outputs": dict(last_outputs or {})},
        },
        stack=name,
    )
