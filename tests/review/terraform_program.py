"""Small programs, evaluated and rendered, for the tests of both."""

from collections.abc import Callable, Mapping
from typing import Any

from review.terraform_json import render
from review.terraform_program import Declared, evaluated
from tests.unit import stacks


def program(run: Callable[[], Any], answers: Mapping[str, Mapping[str, Any]] | None = None) -> list[Declared]:
    """What a program declares."""
    return evaluated(run, project="switchyard", stack="test", answers=answers)


def rendered(run: Callable[[], Any]) -> dict[str, Any]:
    """The Terraform JSON of a program."""
    return render(program(run))


def images(stack: str) -> dict[str, str]:
    """A released image for each colour of a stack's services."""
    loaded = stacks.stack(stack)
    return {
        f"{loaded.images_path}/{service}/{colour}": f"registry.example.com/{service}@sha256:{'a' * 64}"
        for service in loaded.settings.services
        for colour in ("blue", "green")
    }
