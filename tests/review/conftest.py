"""A small project of Pulumi that the real engine runs, with a provider of the test's own."""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pulumi.automation as auto
import pytest
import yaml
from moto.server import ThreadedMotoServer

from localcloud import engine
from localcloud.paths import BIN, PULUMI_HOME, WORKSPACE
from review.preview import Request
from tests.review.provider import Provider, serving

# Resources are declared as the file says: {name: {type, properties, secret: [names], options}}.
PROGRAM = """
import json, pulumi
config = pulumi.Config()
for name, about in json.loads(open("resources.json").read()).items():
    found = {key: pulumi.Output.secret(value) if key in about.get("secret", []) else value
             for key, value in about["properties"].items()}
    for key, of in about.get("config", {}).items():
        found[key] = config.require(of)
    pulumi.CustomResource(about["type"], name, found, pulumi.ResourceOptions(**about.get("options", {})))
"""


@dataclass(frozen=True, kw_only=True)
class Project:
    """The project's folder, its engine and its provider."""

    folder: Path
    provider: Provider
    engine: auto.LocalWorkspace

    def declares(self, **resources: dict[str, Any]) -> None:
        """What the program declares from now on."""
        (self.folder / "resources.json").write_text(json.dumps(resources))

    def request(self, stack: str = "test", **more: Any) -> Request:
        """To preview or apply."""
        return Request(stack=stack, engine=self.engine, **more)

    def state(self, stack: str = "test") -> dict[str, Any]:
        """The stack's exported state."""
        options = auto.LocalWorkspaceOptions(
            env_vars=dict(self.engine.env_vars), pulumi_command=self.engine.pulumi_command
        )
        found = auto.select_stack(stack, work_dir=str(self.folder), opts=options)
        return dict(found.export_stack().deployment or {})


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Where an AWS API of the module's own is, which knows of nothing at first."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        server.stop()


@pytest.fixture(scope="session")
def real_engine() -> auto.PulumiCommand | None:
    """Pulumi's command line, of this machine or built for the embedded cloud."""
    engine.ensure(print)
    embedded = (BIN / "pulumi").exists()
    return auto.PulumiCommand(root=str(WORKSPACE)) if embedded else None


@pytest.fixture
def project(real_engine: auto.PulumiCommand | None, tmp_path: Path) -> Iterator[Project]:
    """A project with an empty state in a folder of its own."""
    folder, state = tmp_path / "project", tmp_path / "state"
    folder.mkdir()
    state.mkdir()
    runtime = {"name": "python", "options": {"toolchain": "pip", "virtualenv": str(Path(sys.prefix))}}
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": "review", "runtime": runtime}))
    (folder / "__main__.py").write_text(PROGRAM)
    (folder / "resources.json").write_text("{}")
    with serving(Provider()) as provider:
        variables = {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "PULUMI_HOME": str(PULUMI_HOME),
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": "a passphrase of the tests",
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DEBUG_PROVIDERS": f"aws:{provider.port}",
        }
        workspace = auto.LocalWorkspace(work_dir=str(folder), env_vars=variables, pulumi_command=real_engine)
        yield Project(folder=folder, provider=provider, engine=workspace)
