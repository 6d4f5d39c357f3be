"""Reads a stack's settings, and tells every mistake in them at once."""

import difflib
import json
import re
import types
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from infra import secret_looks
from infra.problems import Problem
from infra.rules import broken_rules
from infra.settings import Settings

PREFIX = "switchyard:"
KINDS = {dict: "block", list: "list", bool: "boolean", int: "number", float: "number"}


class InvalidSettings(Exception):
    """All that is wrong with a stack's settings, one line each."""

    def __init__(self, source: str, problems: Sequence[Problem]) -> None:
        self.source = source
        self.problems = tuple(problems)
        count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
        lines = [f"  {_told(problem)}" for problem in problems]
        super().__init__(f"{source} has {count}; nothing was touched.\n" + "\n".join(lines))


def _told(problem: Problem) -> str:
    if not problem.key:
        return f"{problem.given}\n    allowed: {problem.allowed}"
    key = problem.key if problem.key.startswith("aws:") else PREFIX + problem.key
    return f"{key}\n    given:   {problem.given}\n    allowed: {problem.allowed}"


def from_engine(config: Mapping[str, str], stack: str, account: str | None) -> Settings:
    """The settings out of what the engine hands the program. Raises InvalidSettings."""
    return parse({key: _decoded(value) for key, value in config.items()}, f"Pulumi.{stack}.yaml", account)


def from_file(path: Path) -> Settings:
    """The settings in a stack's file. Raises InvalidSettings, and OSError where there is no file."""
    try:
        content = yaml.safe_load(path.read_text())
    # A date that no calendar has, or bytes that are no text, are a ValueError.
    except (yaml.YAMLError, ValueError) as error:
        where = getattr(error, "problem_mark", None)
        line = f"line {where.line + 1}, column {where.column + 1}" if where else "the file"
        # The value that these end with may be a secret.
        what = re.sub(
            r"(alias|anchor|tag|handle|float:|base \d+:) .*", r"\1 …", str(getattr(error, "problem", error))
        )
        problem = Problem(key="", given=f"{line}: {what}", allowed="well-formed YAML")
        raise InvalidSettings(path.name, [problem]) from None
    config = content.get("config") if isinstance(content, dict) else None
    if not isinstance(config, dict):
        problem = Problem(
            key="", given="no `config:` section", allowed="the stack's settings below `config:`"
        )
        raise InvalidSettings(path.name, [problem])
    return parse(config, path.name)


def parse(config: Mapping[str, Any], source: str, account: str | None = None) -> Settings:
    """The settings out of the whole `config:` section. Raises InvalidSettings with every problem.

    `account` is the one that the credentials belong to, where that matters.
    """
    config = {str(key): value for key, value in config.items()}
    raw = {key.removeprefix(PREFIX): value for key, value in config.items() if key.startswith(PREFIX)}
    problems = [
        Problem(
            key=key,
            given="a setting of the default AWS provider",
            allowed="nothing reads it; use region and accounts",
        )
        for key in config
        if key.startswith("aws:")
    ]
    try:
        settings = Settings.model_validate(raw)
    except ValidationError as error:
        problems += [_problem(detail) for detail in error.errors()]
        draft = _salvaged(Settings, raw, {detail["loc"] for detail in error.errors()})
        raise InvalidSettings(source, [*problems, *broken_rules(draft, account, whole=False)]) from None
    problems += broken_rules(settings, account, whole=True)
    if problems:
        raise InvalidSettings(source, problems)
    return settings


def _decoded(value: str) -> Any:
    """The engine hands objects and lists over as JSON, everything else as it was written."""
    try:
        found = json.loads(value)
    except ValueError:
        return value
    return found if isinstance(found, dict | list) else value


# --- what is valid by itself

Location = tuple[int | str, ...]
M = TypeVar("M", bound=BaseModel)


def _salvaged(model: type[M], raw: Mapping[str, Any], wrong: set[Location]) -> M:
    """The model with what is valid in it; the attributes of the rest are missing, defaults too."""
    parts: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        below = {location[1:] for location in wrong if location[:1] == (name,)}
        if name in raw and () not in below:
            with suppress(ValidationError):
                parts[name] = _salvaged_value(field, raw[name], below)
    draft = model.model_construct(**parts)
    for name in model.model_fields:
        if name in raw and name not in parts:
            draft.__dict__.pop(name, None)
    return draft


def _salvaged_value(field: FieldInfo, value: Any, wrong: set[Location]) -> Any:
    kind = _without_none(field.annotation)
    if wrong and isinstance(kind, type) and issubclass(kind, BaseModel):
        return _salvaged(kind, value, wrong)
    if wrong and get_origin(kind) is dict:
        inner = get_args(kind)[1]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            below = {key: {location[1:] for location in wrong if location[:1] == (key,)} for key in value}
            # An entry that is no block still has a name, and other settings may ask for it.
            blocks = {key: entry if isinstance(entry, dict) else {} for key, entry in value.items()}
            return {key: _salvaged(inner, blocks[key], below[key]) for key in value}
        value = {key: entry for key, entry in value.items() if not _is_wrong(key, wrong)}
    whole: Any = Annotated[field.annotation, field]
    return TypeAdapter(whole).validate_python(value)


def _is_wrong(key: str, wrong: set[Location]) -> bool:
    """Whether an entry is wrong itself, not only something in it."""
    return (key,) in wrong or (key, "[key]") in wrong


# --- pydantic's errors in our words


def _problem(detail: ErrorDetails) -> Problem:
    location = [str(step) for step in detail["loc"]]
    description, model = _described(location)
    key = ".".join(step for step in location if step != "[key]")
    if detail["type"] == "extra_forbidden" and model is not None:
        known = sorted(model.model_fields)
        near = difflib.get_close_matches(location[-1], known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        return Problem(key=key, given="an unknown key", allowed=f"{hint}known here: {', '.join(known)}")
    given = "nothing" if detail["type"] == "missing" else _shown(location, detail["input"])
    if detail["type"] == "value_error":
        return Problem(key=key, given=given, allowed=detail["msg"].removeprefix("Value error, "))
    return Problem(key=key, given=given, allowed=description or "a block of keys and values")


def _shown(location: Sequence[str], value: Any) -> str:
    """The value as it was given. What may hold a secret is never repeated."""
    hidden = f"a {KINDS.get(type(value), 'text')} (not shown)"
    if _may_hold_a_secret(location, value):
        return hidden
    legible = isinstance(value, str) and value.strip() and value.isprintable()
    text = value if legible else json.dumps(value, default=str)
    if secret_looks.VALUE.search(text):
        return hidden
    return text if len(text) <= 80 else text[:77] + "…"


def _may_hold_a_secret(location: Sequence[str], value: Any) -> bool:
    """A value of a variable, and a block or list that stands where it may be one with such values."""
    if value is None:
        return False
    if "environment" in location[1:] or "secrets" in location:
        return True
    a_whole_service = location[0] == "services" and len(location) <= 2
    entries = value if isinstance(value, list) else [value]
    return a_whole_service or any(isinstance(entry, dict | list) for entry in entries)


def _described(location: Sequence[str]) -> tuple[str, type[BaseModel] | None]:
    """What the field at this place says of itself, and the model that holds the place."""
    model: type[BaseModel] | None = None
    description = ""
    annotation: Any = Settings
    keys: Any = None
    for step in location:
        annotation = _without_none(annotation)
        if step == "[key]":
            description = _said(keys) or description
        elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
            model = annotation
            field = annotation.model_fields.get(step)
            if field is None:
                return "", model
            annotation, description = field.annotation, field.description or ""
        elif get_args(annotation):
            keys, annotation = get_args(annotation)[0], get_args(annotation)[-1]
            said = _said(annotation)
            description = said or ("" if isinstance(annotation, type) else description)
            annotation = getattr(annotation, "__origin__", annotation) if said else annotation
    return description, model


def _said(annotation: Any) -> str:
    """The description that an annotated type carries."""
    found = [
        info.description for info in getattr(annotation, "__metadata__", ()) if isinstance(info, FieldInfo)
    ]
    return next((text for text in found if text), "")


def _without_none(annotation: Any) -> Any:
    """The one type beside None in `X | None`; any other annotation as it is."""
    if get_origin(annotation) in (Union, types.UnionType):
        kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
        if len(kinds) == 1:
            return kinds[0]
    return annotation
