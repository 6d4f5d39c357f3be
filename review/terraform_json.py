"""A stack's program as Terraform JSON: for checkov, for Infracost, and for a race with Terraform.

https://developer.hashicorp.com/terraform/language/syntax/json. Names that Pulumi would make by itself are
left for Terraform to make; an ignored path that Terraform can't write (one below a list) becomes the whole
property that it is in.
"""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from review.terraform_program import (
    PROVIDER,
    STACK_REFERENCE,
    TOKEN,
    Address,
    Declared,
    NotRendered,
    Reference,
)
from review.terraform_schema import PROVIDER_TYPE, Resource, Shape, UnknownProperty, resource

# The version that the table of names was made from.
PROVIDER_VERSION = "~> 5.100"
_STEP = re.compile(r"([^.\[\]]+)|\[(\d+)\]")


def render(resources: Sequence[Declared]) -> dict[str, Any]:
    """The Terraform JSON of what a program declares, ready for json.dumps. Same input, same bytes.

    A secret input becomes a sensitive variable without a value. Raises NotRendered for a type or property
    that Terraform has no name for.
    """
    providers = [r for r in resources if r.type == PROVIDER_TYPE]
    ours = [r for r in resources if not r.type.startswith((PROVIDER, STACK_REFERENCE))]
    default = _default_provider(ours)
    names = _names(ours)
    found: dict[str, dict[str, Any]] = {}
    variables: dict[str, Any] = {}
    try:
        for declared in ours:
            kind = resource(declared.type)
            body = _body(declared, kind, names, variables)
            if declared.provider and declared.provider != default:
                body["provider"] = f"aws.{_identifier(declared.provider)}"
            found.setdefault(kind.type, {})[names[declared.address]] = body
        configured = [_provider(p, p.name == default) for p in providers]
    except UnknownProperty as error:
        raise NotRendered(str(error)) from None
    rendered: dict[str, Any] = {
        # Nothing else belongs here: checkov stumbles over any plain value in this block.
        "terraform": {
            "required_providers": {"aws": {"source": "hashicorp/aws", "version": PROVIDER_VERSION}}
        },
        "resource": {kind: dict(sorted(found[kind].items())) for kind in sorted(found)},
    }
    if configured:
        rendered["provider"] = {"aws": configured}
    if variables:
        rendered["variable"] = dict(sorted(variables.items()))
    return rendered


def _default_provider(resources: Sequence[Declared]) -> str:
    """The provider of the most resources: it gets no alias."""
    used = Counter(r.provider for r in resources if r.provider)
    return max(sorted(used), key=lambda name: used[name], default="")


def _names(resources: Sequence[Declared]) -> dict[Address, str]:
    """Terraform's name of each resource. Raises NotRendered for two that would share one."""
    names = {r.address: _identifier(r.name) for r in resources}
    taken = Counter((address.type, name) for address, name in names.items())
    for address, name in names.items():
        if taken[address.type, name] > 1:
            raise NotRendered(f"{address.type} {address.name}: several have the name {name} in Terraform")
    return names


def _identifier(name: str) -> str:
    found = re.sub(r"[^A-Za-z0-9_-]", "-", name)
    return found if re.match(r"[A-Za-z_]", found) else f"_{found}"


# --- one resource


def _body(
    declared: Declared, kind: Resource, names: Mapping[Address, str], variables: dict[str, Any]
) -> dict[str, Any]:
    body: dict[str, Any] = {}
    for name, value in sorted(declared.inputs.items()):
        written, shape = kind.field(name)
        if name in declared.secret:
            variable = f"{kind.type}_{_identifier(declared.name)}_{written}".replace("-", "_")
            variables[variable] = {"sensitive": True, "description": f"{name} of {declared.name}"}
            body[written] = f"${{var.{variable}}}"
        elif value is not None:
            body[written] = _value(value, shape, _Writer(declared, names))
    if "name" not in body and kind.shape.fields and kind.shape.fields.get("name", Shape()).required:
        # Pulumi makes one of the logical name and a random end; Terraform wants to be told.
        body["name"] = declared.name
    needed = _depends_on(declared, names)
    if needed:
        body["depends_on"] = needed
    lifecycle: dict[str, Any] = {}
    if declared.protect:
        lifecycle["prevent_destroy"] = True
    if declared.ignore_changes:
        first = {re.split(r"[.\[]", path, maxsplit=1)[0] for path in declared.ignore_changes}
        lifecycle["ignore_changes"] = sorted(kind.field(name)[0] for name in first)
    if lifecycle:
        body["lifecycle"] = lifecycle
    return body


def _depends_on(declared: Declared, names: Mapping[Address, str]) -> list[str]:
    """What it waits for without using it: Terraform sees the rest by itself."""
    used = {reference.of for reference in declared.references.values()}
    rest = [a for a in declared.after if a not in used and a in names]
    return sorted(f"{resource(a.type).type}.{names[a]}" for a in rest)


class _Writer:
    """Writes text with Terraform's expressions in the place of tokens."""

    def __init__(self, declared: Declared, names: Mapping[Address, str]) -> None:
        self._declared = declared
        self._names = names

    def text(self, value: str) -> str:
        """What is no token is no expression either, whatever it looks like."""
        literal = value.replace("${", "$${").replace("%{", "%%{")
        return TOKEN.sub(lambda match: self._expression(match.group()), literal)

    def _expression(self, token: str) -> str:
        reference = self._declared.references.get(token)
        # Text of the same form that no resource gave out.
        return token if reference is None else f"${{{self._path(reference)}}}"

    def _path(self, reference: Reference) -> str:
        kind = resource(reference.of.type)
        steps = [(name, index) for name, index in _STEP.findall(reference.path)]
        path = f"{kind.type}.{self._names[reference.of]}"
        shape: Shape = kind.shape
        for position, (name, index) in enumerate(steps):
            if index:
                path += f"[{index}]"
            elif position == 0 and name == "id":
                path += ".id"
            else:
                found = kind.field(name) if position == 0 else shape.field(name)
                if found is None:
                    raise UnknownProperty(f"{kind.type} has nothing called {reference.path}")
                path += f".{found[0]}"
                shape = found[1]
        return path


def _value(value: Any, shape: Shape, writer: _Writer) -> Any:
    if shape.fields is not None:
        blocks = value if isinstance(value, list) else [value]
        written = [_block(block, shape, writer) for block in blocks if block is not None]
        return written if shape.listed else written[0]
    if shape.listed and not isinstance(value, list):
        value = [value]
    return _plain(value, writer)


def _block(block: Mapping[str, Any], shape: Shape, writer: _Writer) -> dict[str, Any]:
    found = {}
    for name, value in sorted(block.items()):
        field = shape.field(name)
        if field is None:
            raise UnknownProperty(
                f"{name} is not among {', '.join(sorted(shape.fields or ()))} of the block that it is in"
            )
        if value is not None:
            found[field[0]] = _value(value, field[1], writer)
    return found


def _plain(value: Any, writer: _Writer) -> Any:
    """Whole numbers travel as floats on Pulumi's wire."""
    if isinstance(value, str):
        return writer.text(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {writer.text(key): _plain(inner, writer) for key, inner in sorted(value.items())}
    if isinstance(value, list):
        return [_plain(inner, writer) for inner in value]
    return value


# --- providers


def _provider(declared: Declared, is_default: bool) -> dict[str, Any]:
    kind = resource(PROVIDER_TYPE)
    writer = _Writer(declared, {})
    body = {}
    for name, value in sorted(declared.inputs.items()):
        if name in ("version", "pluginDownloadURL"):
            continue
        written, shape = kind.field(name)
        body[written] = _value(_decoded(value), shape, writer)
    return body if is_default else {"alias": _identifier(declared.name), **body}


def _decoded(value: Any) -> Any:
    """Lists and objects of a provider travel as JSON."""
    if (isinstance(value, str) and value[:1] in ("[", "{", '"')) or value in ("true", "false"):
        return json.loads(value)
    return value
