"""A stack's settings with as many services as a benchmark wants."""

from pathlib import Path
from typing import Any

import yaml

from localcloud.paths import PROJECT

Config = dict[str, Any]


def config_of(stack: str, services: int | None = None) -> Config:
    """The `config:` of a stack, with as many services: some left out, or the last one copied.

    A copy has a repository, a path and a priority of its own.
    """
    config: Config = yaml.safe_load((PROJECT / f"Pulumi.{stack}.yaml").read_text())["config"]
    if services is None:
        return config
    given = config["switchyard:services"]
    blocks = dict(list(given.items())[:services])
    pattern = list(given.values())[-1]
    for number in range(len(blocks), services):
        path = f"/service-{number}"
        blocks[f"service-{number}"] = {
            **pattern,
            "image_repository": f"service-{number}",
            "route": {"priority": 1000 + number, "paths": [f"{path}/*"]},
            "smoke": [{"path": f"{path}/"}],
        }
    return {**config, "switchyard:services": blocks}


def project_of(folder: Path, stack: str, config: Config) -> None:
    """Writes a Pulumi project that is this one's program with that configuration, and nothing else of it."""
    folder.mkdir(parents=True)
    (folder / "infra").symlink_to(PROJECT / "infra", target_is_directory=True)
    project = yaml.safe_load((PROJECT / "Pulumi.yaml").read_text())
    project["runtime"]["options"]["virtualenv"] = str(PROJECT / ".venv")
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project, sort_keys=False))
    (folder / f"Pulumi.{stack}.yaml").write_text(yaml.safe_dump({"config": config}, sort_keys=False))
