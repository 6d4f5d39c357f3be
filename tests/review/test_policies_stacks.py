"""Every stack of the project keeps the controls, or has a waiver that says why not."""

from datetime import date
from functools import cache
from typing import Any

import pytest

from policies.catalogue import CONTROLS
from review.terraform_policy import judged
from review.terraform_program import Declared, declared
from tests.unit import stacks

# A day on which the stacks' waivers hold.
TODAY = date(2026, 11, 21)


def policy(stack: str) -> Any:
    """What the stack's settings say to the policy pack."""
    return stacks.config(stack)["switchyard:policy"]


@cache
def resources(stack: str) -> list[Declared]:
    """A stack on which something has been released, so that all of it is declared."""
    loaded = stacks.stack(stack)
    images = {
        f"{loaded.images_path}/{service}/{colour}": f"registry.example.com/{service}@sha256:{'a' * 64}"
        for service in loaded.settings.services
        for colour in ("blue", "green")
    }
    return declared(loaded, images)


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_every_stack_keeps_the_controls_or_says_why_not(stack: str) -> None:
    found = judged(resources(stack), policy(stack), TODAY)
    assert [(f.control.id, f.resource.name, f.message) for f in (*found.failed, *found.advised)] == []
    assert found.passed
    assert found.unused == [], "a waiver that nothing needs hides what comes next"


@pytest.mark.parametrize("stack", stacks.STACKS)
def test_no_stack_passes_once_its_waivers_have_ended(stack: str) -> None:
    assert not judged(resources(stack), policy(stack), date(2028, 1, 1)).passed


def test_production_waives_nothing_that_is_worse_than_medium_and_nothing_about_data() -> None:
    waived = judged(resources("prod"), policy("prod"), TODAY).waived
    assert {finding.control.severity.value for finding in waived} == {"medium"}
    assert not [f.control.id for f in waived if f.control.id.startswith(("RDS.", "S3.", "Backup.", "KMS."))]


def test_the_controls_are_asked_about_types_that_production_has() -> None:
    """A rule for a type that is never declared proves nothing; these are for what users add."""
    declared_types = {resource.type for resource in resources("prod")}
    asked = {type_ for control in CONTROLS for type_ in control.types}
    assert asked - declared_types == {"aws:ec2/networkAcl:NetworkAcl", "aws:iam/policy:Policy"}


def test_a_weaker_database_is_found_in_a_whole_stack() -> None:
    weaker = stacks.stack("staging", {"databases.main.multi_az": False})
    found = judged(declared(weaker), policy("staging"), TODAY)
    assert [(f.control.id, f.resource.name) for f in found.failed] == [("RDS.5", "main")]
