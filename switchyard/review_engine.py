"""The settings file of a review stack, and the engine on it."""

from contextlib import suppress
from typing import Any

import pulumi.automation as auto
import yaml

from review.ephemeral import Record, number_of
from review.ephemeral_settings import derive, document
from switchyard import stacks
from switchyard.review_places import Place, file_of


def write_settings(place: Place, record: Record) -> None:
    """Writes the stack's settings file, whole or not at all."""
    file = file_of(record.stack)
    base = yaml.safe_load(file_of(place.base).read_text())
    kept: Any = {}
    with suppress(OSError, ValueError, yaml.YAMLError):
        kept = yaml.safe_load(file.read_text())
    settings = derive(place.settings, record.number, record.cidr, place.base, record.expires)
    text = yaml.safe_dump(document(settings, base, kept if isinstance(kept, dict) else {}), sort_keys=False)
    part = file.with_name(f".{file.name}.part")
    part.write_text(
        f"# Made by `switchyard review up --pr {record.number}`; `switchyard review down` removes it.\n{text}"
    )
    part.replace(file)


def engine_of(place: Place, stack: str) -> auto.LocalWorkspace:
    """The engine for the stack, which keeps secrets with the key of the base stack."""
    engine = stacks.workspace(stack)
    engine.secrets_provider = yaml.safe_load(file_of(place.base).read_text()).get("secretsprovider")
    return engine


def states_of(place: Place) -> set[str]:
    """The review stacks that the engine has a state of."""
    found = stacks.workspace(place.base).list_stacks()
    return {stack.name for stack in found if number_of(stack.name) is not None}
