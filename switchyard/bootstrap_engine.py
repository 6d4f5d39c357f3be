"""The engine that bootstraps: its folder, its state there or in the account's bucket, and the way between."""

import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import boto3
import pulumi.automation as auto
import yaml
from botocore.config import Config

from bootstrap.inputs import SECRETS_KEY_ALIAS, Inputs
from localcloud import cloud
from localcloud.paths import PROJECT as CHECKOUT
from localcloud.paths import WORKSPACE
from switchyard.errors import DeploymentFailed, SwitchyardError

ENGINE_PROJECT = "switchyard-bootstrap"
# Nothing in the state is secret while it is in the folder; later the account's own key seals it.
NO_PASSPHRASE = {"PULUMI_CONFIG_PASSPHRASE": ""}


@dataclass(kw_only=True)
class Bench:
    """The folder that a run works in, and the way to AWS."""

    inputs: Inputs
    environment: Mapping[str, str]
    folder: Path
    session: boto3.Session = field(init=False)

    def __post_init__(self) -> None:
        self.session = boto3.Session(
            aws_access_key_id=self.environment.get("AWS_ACCESS_KEY_ID"),
            aws_secret_access_key=self.environment.get("AWS_SECRET_ACCESS_KEY"),
            aws_session_token=self.environment.get("AWS_SESSION_TOKEN"),
            region_name=self.inputs.region,
        )

    @property
    def endpoint(self) -> str | None:
        """Where AWS is, if not at its own addresses."""
        return self.environment.get("AWS_ENDPOINT_URL") or os.environ.get("AWS_ENDPOINT_URL")

    def client(self, service: str) -> Any:
        """A client of a service, in the account's region."""
        bounded = Config(connect_timeout=10, read_timeout=30, retries={"mode": "standard", "max_attempts": 4})
        return self.session.client(service, endpoint_url=self.endpoint, config=bounded)  # type: ignore[call-overload]

    @property
    def stack(self) -> str:
        """The engine's name of the stack; the account's number, for there is one per account."""
        return self.inputs.account

    @property
    def local(self) -> Path:
        """Where the state is until the bucket has it."""
        return self.folder / "state"

    @property
    def local_url(self) -> str:
        """The folder, as the engine names it."""
        return self.local.as_uri()

    @property
    def bucket_url(self) -> str:
        """The bucket, as the engine names it."""
        query = {"region": self.inputs.region}
        if self.endpoint:
            plain = urlsplit(self.endpoint).scheme == "http"
            query |= {"endpoint": self.endpoint, "s3ForcePathStyle": "true"}
            query |= {"disableSSL": "true"} if plain else {}
        return f"s3://{self.inputs.bucket}?{urlencode(query, safe=':/')}"

    @property
    def secrets_provider(self) -> str:
        """The account's key for secrets, as the engine names it."""
        query = {"region": self.inputs.region} | ({"endpoint": self.endpoint} if self.endpoint else {})
        return f"awskms://alias/{SECRETS_KEY_ALIAS}?{urlencode(query, safe=':/')}"


def lay_out(bench: Bench) -> None:
    """Writes the project and the stack's settings into the folder."""
    folder, inputs = bench.folder, bench.inputs
    folder.mkdir(parents=True, exist_ok=True)
    for name, target in (("program", CHECKOUT / "bootstrap"), (".venv", CHECKOUT / ".venv")):
        link = folder / name
        link.unlink(missing_ok=True)
        link.symlink_to(target, target_is_directory=True)
    project = yaml.safe_load((CHECKOUT / "bootstrap" / "Pulumi.yaml").read_text())
    project |= {"main": "program/"}
    project["runtime"]["options"]["virtualenv"] = ".venv"
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump(project, sort_keys=False))
    values = {
        "account": inputs.account,
        "region": inputs.region,
        "repository": inputs.repository,
        "environments": list(inputs.environments),
        "branch": inputs.branch,
        "createsProvider": inputs.creates_provider,
    }
    _write_settings(bench, {"config": {f"{ENGINE_PROJECT}:{name}": value for name, value in values.items()}})


def _settings_file(bench: Bench) -> Path:
    return bench.folder / f"Pulumi.{bench.stack}.yaml"


def _write_settings(bench: Bench, changed: Mapping[str, Any]) -> None:
    file = _settings_file(bench)
    kept = yaml.safe_load(file.read_text()) if file.exists() else {}
    file.write_text(yaml.safe_dump({**(kept or {}), **changed}, sort_keys=False))


def _workspace(bench: Bench, *, moved: bool) -> auto.LocalWorkspace:
    embedded = (WORKSPACE / "bin" / "pulumi").exists()
    if not embedded and shutil.which("pulumi") is None:
        raise SwitchyardError(
            "there is no `pulumi` on PATH to bootstrap with; install it (https://www.pulumi.com/docs/install/)"
        )
    for name in cloud.FOREIGN if "AWS_ACCESS_KEY_ID" in bench.environment else ():
        # The SDK can only add variables to what this process has.
        os.environ.pop(name, None)
    where = {"PULUMI_BACKEND_URL": bench.bucket_url if moved else bench.local_url}
    return auto.LocalWorkspace(
        work_dir=str(bench.folder),
        env_vars={**bench.environment, **({} if moved else NO_PASSPHRASE), **where},
        secrets_provider=bench.secrets_provider if moved else None,
        pulumi_command=_command(str(WORKSPACE) if embedded else None),
    )


@cache
def _command(root: str | None) -> auto.PulumiCommand:
    """The CLI; the SDK starts it each time to ask for its version."""
    return auto.PulumiCommand(root=root)


def opened(bench: Bench, moved: bool) -> auto.Stack | None:
    """The stack where it is, None if it is not there."""
    if not moved and not bench.local.is_dir():
        return None
    lay_out(bench)
    engine = _workspace(bench, moved=moved)
    try:
        stack = auto.Stack.select(bench.stack, engine)
        sealed = stack.export_stack().deployment or {}
    except auto.StackNotFoundError:
        return None
    except auto.CommandError as error:
        raise DeploymentFailed(f"the state of bootstrap can't be read; nothing was done:\n{error}") from None
    provider = sealed.get("secrets_providers") or {}
    if moved and provider.get("type") == "cloud":
        # Another machine than the one that made it has no settings of the stack: its key is in the state.
        state = provider["state"]
        _write_settings(bench, {"secretsprovider": state["url"], "encryptedkey": state["encryptedkey"]})
    return stack


def begin(bench: Bench) -> auto.Stack:
    """A first run's stack, with its state in the folder. Raises DeploymentFailed."""
    bench.local.mkdir(parents=True, exist_ok=True)
    try:
        return auto.Stack.create_or_select(bench.stack, _workspace(bench, moved=False))
    except auto.CommandError as error:
        raise DeploymentFailed(f"the engine can't keep a state in {bench.local}:\n{error}") from None


def resources_of(stack: auto.Stack) -> list[dict[str, Any]]:
    """All that the state has, as the engine exports it."""
    found: list[dict[str, Any]] = (stack.export_stack().deployment or {}).get("resources") or []
    return found


def moved_to_bucket(bench: Bench, stack: auto.Stack) -> auto.Stack:
    """Puts the state into the bucket, sees that it is there, and forgets the folder's."""
    exported = stack.export_stack()
    here = exported.deployment or {}
    _settings_file(bench).unlink(missing_ok=True)
    lay_out(bench)
    try:
        moved = auto.Stack.create_or_select(bench.stack, _workspace(bench, moved=True))
        # Nothing in it is sealed so far, so the new place's key can simply take the old one's place.
        settings = yaml.safe_load(_settings_file(bench).read_text())
        sealing = {"url": settings["secretsprovider"], "encryptedkey": settings["encryptedkey"]}
        exported.deployment = {**here, "secrets_providers": {"type": "cloud", "state": sealing}}
        moved.import_stack(exported)
    except auto.CommandError as error:
        raise DeploymentFailed(
            f"the account has all it needs, but the state could not be moved into s3://{bench.inputs.bucket}:\n"
            f"{error}\nMend it and run the same again in this checkout."
        ) from None
    if _urns(resources_of(moved)) != _urns(here.get("resources") or []):
        raise DeploymentFailed(
            f"the state in s3://{bench.inputs.bucket} is not the one in {bench.local}; both are kept. "
            "Compare them (pulumi stack export), and run this again"
        )
    shutil.rmtree(bench.local)
    return moved


def _urns(resources: Sequence[Mapping[str, Any]]) -> list[str]:
    return [resource["urn"] for resource in resources]
