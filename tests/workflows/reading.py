"""The workflows of .github as they stand."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from localcloud.paths import PROJECT

WORKFLOWS = PROJECT / ".github" / "workflows"
ACTIONS = PROJECT / ".github" / "actions"


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job. `name` is what others need it by; `about`: all that its workflow says of it."""

    workflow: str
    name: str
    about: Mapping[str, Any]
    whole: Mapping[str, Any]

    @property
    def key(self) -> str:
        """Such as release/staging."""
        return f"{self.workflow}/{self.name}"

    @property
    def steps(self) -> list[Mapping[str, Any]]:
        """Its steps; none for one that calls another workflow."""
        return list(self.about.get("steps", ()))


def workflows() -> dict[str, Any]:
    """Every workflow by its file's name. All scalars are texts: YAML takes `on` for a truth."""
    return {
        file.stem: yaml.load(file.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - makes texts alone
        for file in sorted(WORKFLOWS.iterdir())
    }


def jobs() -> dict[str, Job]:
    """Every job of every workflow by its key."""
    found = [
        Job(workflow=workflow, name=name, about=about, whole=whole)
        for workflow, whole in workflows().items()
        for name, about in whole["jobs"].items()
    ]
    return {job.key: job for job in found}


def action(path: str) -> Any:
    """The composite action that a step names as ./.github/actions/NAME."""
    file = PROJECT / path / "action.yml"
    return yaml.load(file.read_text(), Loader=yaml.BaseLoader)  # noqa: S506 - makes texts alone


def all_steps() -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every step with where it is, those of composite actions among them."""
    for job in jobs().values():
        for step in job.steps:
            yield job.key, step
    for file in sorted(ACTIONS.glob("*/action.yml")):
        for step in action(str(file.parent.relative_to(PROJECT)))["runs"]["steps"]:
            yield f"action {file.parent.name}", step
