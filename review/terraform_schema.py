"""What Terraform's AWS provider calls the properties of the types that the program uses.

The table (terraform_schema.json) is made from the provider's own schema, and holds those types alone:

    terraform providers schema -json > schema.json
    python -m review.terraform_schema schema.json aws:lb/loadBalancer:LoadBalancer=aws_lb …

Without pairs it makes the types anew that the table holds already.
"""

import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

TABLE = Path(__file__).with_name("terraform_schema.json")
AWS = "registry.terraform.io/hashicorp/aws"
PROVIDER_TYPE = "pulumi:providers:aws"

# Where pulumi-aws uses another word, not just another spelling.
RENAMED: Mapping[tuple[str, str], str] = {
    ("aws_cloudwatch_metric_alarm", "name"): "alarm_name",
    ("aws_sns_topic_subscription", "topic"): "topic_arn",
}


class UnknownProperty(LookupError):
    """A type or property that the table does not hold."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a place in Terraform's configuration takes.

    fields: by Terraform's name, for a block or an object; None for a plain value, a list or a map.
    listed: whether there may be several, written as a list.
    """

    fields: "Mapping[str, Shape] | None" = None
    listed: bool = False
    required: bool = False

    def field(self, name: str) -> "tuple[str, Shape] | None":
        """Terraform's name and the shape of what pulumi-aws calls `name`; None if there is no such thing."""
        known = self.fields or {}
        return next(((found, known[found]) for found in _spellings(name) if found in known), None)


@dataclass(frozen=True, kw_only=True)
class Resource:
    """Terraform's type, with its prefix, and what it takes."""

    type: str
    shape: Shape

    def field(self, name: str) -> tuple[str, Shape]:
        """Terraform's name and the shape of a top-level property. Raises UnknownProperty."""
        renamed = RENAMED.get((self.type, name))
        if renamed is not None and self.shape.fields is not None:
            return renamed, self.shape.fields[renamed]
        found = self.shape.field(name)
        if found is None:
            raise UnknownProperty(
                f"{self.type} has nothing that is called like pulumi-aws's {name}; "
                "name it in RENAMED of review/terraform_schema.py"
            )
        return found


def resource(token: str) -> Resource:
    """What Terraform makes of pulumi-aws's type. Raises UnknownProperty."""
    if token not in _table():
        raise UnknownProperty(
            f"{token} is not in review/terraform_schema.json; the head of review/terraform_schema.py "
            "says how to add it"
        )
    return _table()[token]


def tokens() -> Sequence[str]:
    """pulumi-aws's types that can be rendered."""
    return sorted(_table())


def _spellings(name: str) -> list[str]:
    """How Terraform may write it. pulumi-aws has lists in the plural, Terraform blocks in the singular."""
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    endings = (("ies", "y"), ("es", ""), ("s", ""))
    singular = [snake.removesuffix(end) + other for end, other in endings if snake.endswith(end)]
    return [snake, *singular, f"{snake}s"]


# --- the table


@cache
def _table() -> Mapping[str, Resource]:
    found = json.loads(TABLE.read_text())["resources"]
    return {
        token: Resource(type=entry["type"], shape=Shape(fields=_fields(entry["fields"])))
        for token, entry in found.items()
    }


def _fields(entries: Mapping[str, Any]) -> dict[str, Shape]:
    """Each entry is marks (`*` several, `!` required), or a list of marks and the fields of a block."""
    found = {}
    for name, entry in entries.items():
        marks, inner = (entry, None) if isinstance(entry, str) else (entry[0], _fields(entry[1]))
        found[name] = Shape(fields=inner, listed="*" in marks, required="!" in marks)
    return found


# --- making it


def derive(schema: Mapping[str, Any], types: Mapping[str, str]) -> dict[str, Any]:
    """The table out of what `terraform providers schema -json` says. `types`: Terraform's by pulumi-aws's."""
    provider = schema["provider_schemas"][AWS]
    resources = {
        token: {
            "type": kind,
            "fields": _of_block(
                provider["provider"]["block"]
                if token == PROVIDER_TYPE
                else provider["resource_schemas"][kind]["block"]
            ),
        }
        for token, kind in sorted(types.items())
    }
    return {"provider": AWS, "resources": resources}


def _of_block(block: Mapping[str, Any]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    for name, attribute in block.get("attributes", {}).items():
        required = "!" if attribute.get("required") else ""
        nested = attribute.get("nested_type")
        if nested is not None:
            many = "" if nested["nesting_mode"] == "single" else "*"
            fields[name] = [many + required, _of_block(nested)]
        else:
            fields[name] = _of_type(attribute["type"], required)
    for name, inner in block.get("block_types", {}).items():
        many = "" if inner["nesting_mode"] in ("single", "group") else "*"
        required = "!" if inner.get("min_items", 0) else ""
        fields[name] = [many + required, _of_block(inner["block"])]
    return dict(sorted(fields.items()))


def _of_type(kind: Any, required: str) -> Any:
    if isinstance(kind, str) or kind[0] == "map":
        return required
    if kind[0] == "object":
        return [required, {name: _of_type(inner, "") for name, inner in sorted(kind[1].items())}]
    inner = _of_type(kind[1], "")
    return f"*{required}" if isinstance(inner, str) else [f"*{required}", inner[1]]


def main(arguments: Sequence[str]) -> None:
    """Makes the table anew from the schema in the file that is named first."""
    types = {token: found.type for token, found in _table().items()} if TABLE.exists() else {}
    types |= dict(pair.split("=", 1) for pair in arguments[1:])
    table = derive(json.loads(Path(arguments[0]).read_text()), types)
    lines = (
        f"  {json.dumps(token)}: {json.dumps(entry, separators=(',', ':'))}"
        for token, entry in table["resources"].items()
    )
    TABLE.write_text(f'{{"provider": {json.dumps(AWS)},\n "resources": {{\n' + ",\n".join(lines) + "\n}}\n")


if __name__ == "__main__":
    main(sys.argv[1:])
