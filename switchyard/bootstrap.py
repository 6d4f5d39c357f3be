"""`switchyard bootstrap`: what an AWS account needs once, before its first stack.

The bucket for Pulumi's state is itself made by Pulumi, so the first run keeps its state in a folder of
this checkout, and moves it into the bucket as soon as there is one. Every later run, from any machine,
finds bucket and state by the account's number alone.
"""

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import boto3
import pulumi.automation as auto
import yaml
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from pulumi.automation import OpType

from bootstrap.inputs import AUDIENCE, PROJECT, SECRETS_KEY_ALIAS, Inputs, InvalidInputs, checked
from localcloud import cloud
from localcloud.paths import PROJECT as CHECKOUT
from localcloud.paths import WORKSPACE
from switchyard.errors import DeploymentFailed, SwitchyardError

Say = Callable[[str], None]
Ask = Callable[[str], bool]

ENGINE_PROJECT = "switchyard-bootstrap"
# Nothing in the state is secret while it is in the folder; later the account's own key seals it.
NO_PASSPHRASE = {"PULUMI_CONFIG_PASSPHRASE": ""}
NOTHING = {OpType.SAME}


class WrongAccount(SwitchyardError):
    """The credentials at hand belong to another account than the one that was named."""


class NotConfirmed(SwitchyardError):
    """Nobody has agreed to what would be done."""


@dataclass(frozen=True, kw_only=True)
class Bootstrapped:
    """What is there now.

    backend_url: for `pulumi login`. secrets_provider: for `pulumi stack init --secrets-provider`.
    preview_role_arn, writer_role_arns: for GitHub's workflows, the latter by environment.
    changes: resources by what was done with them; empty if there was nothing to do.
    """

    account: str
    backend_url: str
    secrets_provider: str
    preview_role_arn: str
    writer_role_arns: Mapping[str, str]
    changes: Mapping[str, int]


@dataclass(kw_only=True)
class _Bench:
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


def run(
    account: str,
    region: str,
    repository: str,
    environments: Sequence[str],
    *,
    yes: bool,
    say: Say,
    ask: Ask | None = None,
    branch: str = "main",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Bootstrapped:
    """Brings the account to what was asked for, after a preview, and returns what is there.

    yes: agree to the preview beforehand; else `ask` is called with a question, and without it the run ends.
    say: gets the preview and the progress, a piece of text at a time.
    environment: variables for the engine and AWS clients beside the shell's own (the embedded cloud's).
    folder: where the run works; default: one for the account in the checkout's `.switchyard/`.

    Raises SwitchyardError: before anything is touched for bad input, another account or a bucket of somebody
    else; NotConfirmed after the preview; DeploymentFailed where the engine stopped, and the same run goes on.
    """
    try:
        inputs = checked(
            account=account,
            region=region,
            repository=repository,
            environments=tuple(environments),
            branch=branch,
        )
    except InvalidInputs as error:
        raise SwitchyardError(f"can't bootstrap that:\n{error}") from None
    work = folder or WORKSPACE / "bootstrap" / account
    bench = _Bench(inputs=inputs, environment=dict(environment or {}), folder=work.absolute())
    _right_account(bench)
    moved, begun = _place(bench)
    bench.inputs = _with_provider(bench, _opened(bench, moved) if moved or begun else None)
    _lay_out(bench)
    stack = _opened(bench, moved) or _begin(bench)
    changes = _apply(bench, stack, yes=yes, say=say, ask=ask)
    if not moved:
        say(f"Moving the state into s3://{inputs.bucket}")
        stack = _move(bench, stack)
    return _told(bench, stack, changes)


# --- before anything is touched


def _right_account(bench: _Bench) -> None:
    """Raises WrongAccount, and SwitchyardError if AWS does not say who we are."""
    asked = bench.inputs.account
    try:
        found = bench.client("sts").get_caller_identity()["Account"]
    except (BotoCoreError, ClientError) as error:
        raise SwitchyardError(
            f"AWS does not say which account this is; nothing was done: {error}\n"
            "  Fix: sign in as an administrator of the account (aws sso login, or AWS_PROFILE)"
        ) from None
    if found != asked:
        raise WrongAccount(
            f"the credentials at hand belong to account {found}, and --account says {asked}; nothing was "
            f"done.\n  Fix: sign in to {asked}, or say --account {found} if that is the one you mean"
        )


def _place(bench: _Bench) -> tuple[bool, bool]:
    """Whether the state is in the bucket, and whether a first run of this machine was cut off before that.

    Raises SwitchyardError for a bucket that is somebody else's, elsewhere, or without a state.
    """
    inputs, begun = bench.inputs, bench.local.is_dir()
    region = _region_of_bucket(bench)
    if region is None:
        return False, begun
    if region != inputs.region:
        raise SwitchyardError(
            f"account {inputs.account} was bootstrapped in {region}, and --region says {inputs.region}; "
            f"nothing was done. One bucket serves the stacks of every region.\n  Fix: say --region {region}"
        )
    _lay_out(bench)
    stack = _opened(bench, moved=True)
    if stack is not None and _resources(stack):
        return True, begun
    if not begun:
        raise SwitchyardError(
            f"the bucket {inputs.bucket} is there, but holds no state of bootstrap; nothing was done.\n"
            "  Fix: a first run was cut off elsewhere: run this there again, in the same checkout. If that "
            "is lost, look at what it made (keys by the alias switchyard-*, roles switchyard-*), delete it "
            "and the empty bucket, and run this again"
        )
    return False, True


def _region_of_bucket(bench: _Bench) -> str | None:
    """The region of the account's state bucket, None if there is none."""
    bucket, account = bench.inputs.bucket, bench.inputs.account
    try:
        answer = bench.client("s3").head_bucket(Bucket=bucket, ExpectedBucketOwner=account)
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status == 404:
            return None
        elsewhere = error.response["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region")
        if status in (301, 400) and elsewhere:
            return str(elsewhere)
        raise SwitchyardError(
            f"the bucket {bucket} can't be looked at ({error}); nothing was done.\n"
            "  Fix: sign in as an administrator; if the bucket belongs to another account, nobody but its "
            "owner can free the name"
        ) from None
    except BotoCoreError as error:
        raise SwitchyardError(f"S3 does not answer; nothing was done: {error}") from None
    return str(answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region") or bench.inputs.region)


def _with_provider(bench: _Bench, stack: auto.Stack | None) -> Inputs:
    """The inputs, with `creates_provider` as it has to be: an account has one OIDC provider for GitHub.

    Raises SwitchyardError if there is one that others made and that does not serve AWS's audience.
    """
    inputs = bench.inputs
    ours = stack is not None and any(
        resource["type"] == "aws:iam/openIdConnectProvider:OpenIdConnectProvider"
        for resource in _resources(stack)
    )
    if ours:
        return inputs
    try:
        found = bench.client("iam").get_open_id_connect_provider(OpenIDConnectProviderArn=inputs.provider_arn)
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchEntity", "NoSuchEntityException"):
            return inputs
        raise SwitchyardError(f"IAM can't be asked for GitHub's OIDC provider: {error}") from None
    if AUDIENCE not in found["ClientIDList"]:
        raise SwitchyardError(
            f"the account has {inputs.provider_arn}, made by others, with the audiences "
            f"{', '.join(found['ClientIDList']) or 'none'}; {AUDIENCE} is needed. Nothing was done.\n"
            "  Fix: aws iam add-client-id-to-open-id-connect-provider --open-id-connect-provider-arn "
            f"{inputs.provider_arn} --client-id {AUDIENCE}"
        )
    return inputs.model_copy(update={"creates_provider": False})


# --- the engine


def _lay_out(bench: _Bench) -> None:
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


def _settings_file(bench: _Bench) -> Path:
    return bench.folder / f"Pulumi.{bench.stack}.yaml"


def _write_settings(bench: _Bench, changed: Mapping[str, Any]) -> None:
    file = _settings_file(bench)
    kept = yaml.safe_load(file.read_text()) if file.exists() else {}
    file.write_text(yaml.safe_dump({**(kept or {}), **changed}, sort_keys=False))


def _workspace(bench: _Bench, *, moved: bool) -> auto.LocalWorkspace:
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


def _opened(bench: _Bench, moved: bool) -> auto.Stack | None:
    """The stack where it is, None if it is not there."""
    if not moved and not bench.local.is_dir():
        return None
    _lay_out(bench)
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


def _begin(bench: _Bench) -> auto.Stack:
    bench.local.mkdir(parents=True, exist_ok=True)
    try:
        return auto.Stack.create_or_select(bench.stack, _workspace(bench, moved=False))
    except auto.CommandError as error:
        raise DeploymentFailed(f"the engine can't keep a state in {bench.local}:\n{error}") from None


def _resources(stack: auto.Stack) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (stack.export_stack().deployment or {}).get("resources") or []
    return found


def _apply(bench: _Bench, stack: auto.Stack, *, yes: bool, say: Say, ask: Ask | None) -> dict[str, int]:
    """Previews, asks and applies. Returns what was done, by kind; empty if there was nothing to do."""
    try:
        shown = stack.preview(color="never", diff=True)
    except auto.CommandError as error:
        raise DeploymentFailed(f"the preview failed; nothing was done:\n{error}") from None
    if {OpType(kind) for kind in shown.change_summary} <= NOTHING:
        say(f"Account {bench.inputs.account} is as it should be: nothing to change")
        return {}
    say(shown.stdout)
    if not yes and ask is None:
        raise NotConfirmed(
            "nothing was done: nobody is there to agree to this. Run it in a terminal, or say --yes"
        )
    if not yes and ask is not None and not ask(f"Do this in account {bench.inputs.account}?"):
        raise NotConfirmed("nothing was done, as you wish")
    say(f"Bootstrapping account {bench.inputs.account}")
    try:
        done = stack.up(color="never", suppress_outputs=True)
    except auto.CommandError as error:
        raise DeploymentFailed(
            f"bootstrap stopped half-way:\n{error}\nMend it and run the same again in this checkout: what "
            "was made is known."
        ) from None
    counts = done.summary.resource_changes or {}
    return {str(kind): count for kind, count in counts.items() if OpType(kind) not in NOTHING}


def _move(bench: _Bench, stack: auto.Stack) -> auto.Stack:
    """Puts the state into the bucket, sees that it is there, and forgets the folder's."""
    exported = stack.export_stack()
    here = exported.deployment or {}
    _settings_file(bench).unlink(missing_ok=True)
    _lay_out(bench)
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
    if _urns(_resources(moved)) != _urns(here.get("resources") or []):
        raise DeploymentFailed(
            f"the state in s3://{bench.inputs.bucket} is not the one in {bench.local}; both are kept. "
            "Compare them (pulumi stack export), and run this again"
        )
    shutil.rmtree(bench.local)
    return moved


def _urns(resources: Sequence[Mapping[str, Any]]) -> list[str]:
    return [resource["urn"] for resource in resources]


def _told(bench: _Bench, stack: auto.Stack, changes: Mapping[str, int]) -> Bootstrapped:
    outputs = {name: output.value for name, output in stack.outputs().items()}
    return Bootstrapped(
        account=bench.inputs.account,
        backend_url=bench.bucket_url,
        secrets_provider=bench.secrets_provider,
        preview_role_arn=outputs["preview_role_arn"],
        writer_role_arns=outputs["writer_role_arns"],
        changes=changes,
    )


def next_steps(done: Bootstrapped) -> str:
    """What to do with it, as text for a terminal."""
    roles = [f"  {name}: {arn}" for name, arn in sorted(done.writer_role_arns.items())]
    return "\n".join(
        [
            f"pulumi login '{done.backend_url}'",
            f"pulumi stack init STACK --secrets-provider '{done.secrets_provider}'",
            f"GitHub's previews take {done.preview_role_arn}",
            f"GitHub's environments of {PROJECT} take",
            *roles,
        ]
    )


def as_json(done: Bootstrapped) -> str:
    """What is there, for programs."""
    return json.dumps(
        {
            "account": done.account,
            "backend_url": done.backend_url,
            "secrets_provider": done.secrets_provider,
            "preview_role_arn": done.preview_role_arn,
            "writer_role_arns": dict(done.writer_role_arns),
            "changes": dict(done.changes),
        },
        indent=2,
        sort_keys=True,
    )
