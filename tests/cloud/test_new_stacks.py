"""Stacks that do not exist yet, without a passphrase anywhere: previewed, made with a key of KMS, refused.

The embedded cloud is reached through the recorder, so that to the command it is an account like any other.
"""

import subprocess
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud import cloud
from localcloud.paths import state_bucket
from tests.cloud.commands import Said
from tests.cloud.recorder import Recorder, recording
from tests.cloud.writers import admin
from tests.review import checkout as checkouts
from tests.review.checkout import COMMAND_SECONDS, STACK, Checkout, checkout
from tests.review.provider import Provider

pytestmark = pytest.mark.cloud

ACCOUNT = "100000000093"
BUCKET, STATE = state_bucket(ACCOUNT), f".pulumi/stacks/switchyard/{STACK}.json"
KEY, TOPIC = "alias/switchyard-secrets", "switchyard-news"

PROGRAM = f"""
import pulumi

word = pulumi.Config("demo").get_secret("word") or "none"
about = {{"name": "{TOPIC}", "displayName": word, "kmsMasterKeyId": "{KEY}"}}
pulumi.CustomResource("aws:sns/topic:Topic", "news", about)
"""


@dataclass(frozen=True, kw_only=True)
class Account:
    """The account, with a key for secrets. direct: the administrator's variables, past the recorder."""

    direct: Mapping[str, str]
    recorder: Recorder

    def admin(self, service: str) -> Any:
        """A client that nobody records."""
        return admin(service, self.direct)

    @property
    def provider(self) -> str:
        """The key as the engine names it."""
        return f"awskms://{KEY}?region={self.direct['AWS_REGION']}&endpoint={self.recorder.endpoint}"

    def used_the_key(self) -> set[str]:
        """How the key was used since the last time."""
        used = {call.operation for call in self.recorder.calls if call.service == "kms"}
        self.recorder.calls.clear()
        return used

    def word(self) -> str:
        """What the program has given its one resource."""
        sns = self.admin("sns")
        (topic,) = sns.list_topics()["Topics"]
        return str(sns.get_topic_attributes(TopicArn=topic["TopicArn"])["Attributes"]["DisplayName"])

    def state(self) -> str | None:
        """The stack's state as the bucket has it, None if there is none."""
        s3 = self.admin("s3")
        with suppress(s3.exceptions.NoSuchKey):
            return str(s3.get_object(Bucket=BUCKET, Key=STATE)["Body"].read(), "utf-8")
        return None


@dataclass(frozen=True, kw_only=True)
class New:
    """A checkout with a tiny program whose stack does not exist yet."""

    account: Account
    checkout: Checkout

    def names_its_key(self) -> None:
        """Has the settings name the account's key, as somebody may write it."""
        file = self.checkout.file
        file.write_text(f"secretsprovider: {self.account.provider}\n{file.read_text()}")

    def settings(self) -> dict[str, Any]:
        """The settings file."""
        found: dict[str, Any] = yaml.safe_load(self.checkout.file.read_text())
        return found

    def previewed(self) -> str:
        """The digest of what is previewed; nothing is made, and nothing written into the settings."""
        before = self.checkout.file.read_bytes()
        said = self.checkout.switchyard("preview", "--stack", STACK, "--format", "json")
        assert said.status == 0, said.text
        (report,) = said.json
        assert report["headline"] == "1 to create"
        assert self.checkout.file.read_bytes() == before
        assert self.account.state() is None
        return str(report["digest"])

    def up(self, *flags: str) -> Said:
        """`switchyard up`, as CI runs it."""
        return self.checkout.switchyard("up", "--stack", STACK, "--json", *flags)

    def pulumi(self, *arguments: str) -> None:
        """The engine's own command, which has to succeed."""
        done = subprocess.run(
            ["pulumi", *arguments, "--stack", STACK, "--non-interactive"],
            cwd=self.checkout.folder,
            env=self.checkout.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout

    def forget(self) -> None:
        """Takes the stack down and its state away; its settings stay."""
        self.pulumi("destroy", "--yes", "--skip-preview")
        self.pulumi("stack", "rm", "--yes", "--preserve-config")
        self.account.used_the_key()


@pytest.fixture(scope="module")
def account(embedded_cloud: cloud.Cloud) -> Iterator[Account]:  # noqa: ARG001
    direct = cloud.environment(ACCOUNT)
    kms = admin("kms", direct)
    kms.create_alias(AliasName=KEY, TargetKeyId=kms.create_key()["KeyMetadata"]["KeyId"])
    with recording(direct["AWS_ENDPOINT_URL"]) as recorder:
        yield Account(direct=direct, recorder=recorder)


@pytest.fixture
def new(account: Account, tmp_path: Path) -> Iterator[New]:
    direct, recorder = account.direct, account.recorder
    with checkout(tmp_path / "checkout", Provider(), recorder.endpoint) as made:
        taken = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "PULUMI_DEBUG_PROVIDERS")
        state = direct["PULUMI_BACKEND_URL"].replace(direct["AWS_ENDPOINT_URL"], recorder.endpoint)
        made.variables = {name: direct.get(name) for name in taken}
        made.variables |= {"PULUMI_BACKEND_URL": state, "PULUMI_CONFIG_PASSPHRASE": None}
        made.file.write_text(made.file.read_text().replace(checkouts.ACCOUNT, ACCOUNT))
        (made.folder / "__main__.py").write_text(PROGRAM)
        recorder.calls.clear()
        stack = New(account=account, checkout=made)
        yield stack
        if account.state() is not None:
            stack.forget()


def test_a_new_stack_is_previewed_without_a_key_and_made_with_the_one_that_it_names(
    account: Account, new: New
) -> None:
    new.names_its_key()
    digest = new.previewed()
    assert new.previewed() == digest
    assert account.used_the_key() == set()

    done = new.up("--plan", digest)
    assert (done.status, done.json["applied"]) == (0, {"create": 1}), done.text
    assert account.word() == "none"
    assert '"type": "cloud"' in (account.state() or ""), "a key seals it, no passphrase"
    assert new.settings().keys() == {"secretsprovider", "config", "encryptedkey"}, "to be committed"
    assert new.up().json["outcome"] == "unchanged"


def test_a_new_stacks_encrypted_settings_are_only_decrypted(account: Account, new: New) -> None:
    new.pulumi("stack", "init", "--secrets-provider", account.provider)
    new.pulumi("config", "set", "--secret", "demo:word", "hunter2-hunter2")
    new.forget()
    digest = new.previewed()
    assert new.previewed() == digest
    assert account.used_the_key() == {"Decrypt"}

    key = new.settings()["encryptedkey"]
    done = new.up("--plan", digest)
    assert done.status == 0, done.text
    assert account.word() == "hunter2-hunter2"
    assert new.settings()["encryptedkey"] == key
    assert account.used_the_key() == {"Decrypt"}
    assert "hunter2" not in f"{done.text}{account.state()}"


def test_a_new_stack_without_a_key_is_refused_and_not_made(account: Account, new: New) -> None:
    before = new.checkout.file.read_bytes()
    refused = new.up("--plan", new.previewed())
    assert (refused.status, refused.json["outcome"]) == (3, "refused"), refused.text
    assert (
        f"pulumi stack init {STACK} --secrets-provider 'awskms://{KEY}?region={account.direct['AWS_REGION']}'"
        in refused.json["reason"]
    )
    assert account.state() is None
    assert new.checkout.file.read_bytes() == before
