"""The settings file of a review stack, and the engine on it."""

import re
from contextlib import suppress
from typing import Any

import pulumi.automation as auto
import yaml

from infra.whole_file import write_whole
from review.ephemeral import Record, number_of
from review.ephemeral_settings import derive, document
from switchyard import stacks
from switchyard.backend import BackendElsewhere, backend_of
from switchyard.locks import project_of
from switchyard.review_places import Place, file_of

STATE = re.compile(r"\.json(\.gz)?$")


def write_settings(place: Place, record: Record) -> None:
    """Writes the stack's settings file, whole or not at all."""
    file = file_of(record.stack)
    base = yaml.safe_load(file_of(place.base).read_text())
    kept: Any = {}
    with suppress(OSError, ValueError, yaml.YAMLError):
        kept = yaml.safe_load(file.read_text())
    settings = derive(place.settings, record.number, record.cidr, place.base, record.expires)
    text = yaml.safe_dump(document(settings, base, kept if isinstance(kept, dict) else {}), sort_keys=False)
    made_by = f"# Made by `switchyard review up --pr {record.number}`; `switchyard review down` removes it.\n"
    write_whole(file, made_by + text)


def engine_of(place: Place, stack: str) -> auto.LocalWorkspace:
    """The engine for the stack, which keeps secrets with the key of the base stack."""
    engine = stacks.workspace(stack)
    engine.secrets_provider = yaml.safe_load(file_of(place.base).read_text()).get("secretsprovider")
    return engine


def states_of(place: Place) -> set[str]:
    """The review stacks that the engine has a state of.

    The engine's own listing reads the state of every stack, which GitHub's review environment may not.
    """
    engine = stacks.workspace(place.base)
    backend = None
    with suppress(BackendElsewhere):
        backend = backend_of(engine)
    if backend is None:
        names = [stack.name for stack in engine.list_stacks()]
    else:
        folder = f".pulumi/stacks/{project_of(engine)}/"
        keys = [stored.key.removeprefix(folder) for stored in backend.list(f"{folder}pr-")]
        names = [key.removesuffix(".gz").removesuffix(".json") for key in keys if STATE.search(key)]
    return {name for name in names if number_of(name) is not None}
