"""What seals a stack that does not exist yet: decided, and by the real engine with a key of AWS's KMS."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pulumi.automation as auto
import pytest
import yaml

from review.apply import up
from review.errors import ReviewError
from review.preview import options, preview
from review.sealing import can_be_sealed, how_to_seal, is_sealed, provider_of
from tests.cloud.recorder import Recorder, recording
from tests.review.conftest import Project

KEY, SALT = {"secretsprovider": "awskms://alias/x", "encryptedkey": "QUJD"}, {"encryptionsalt": "v1:abc"}
S3, FOLDER, SERVICE = "s3://bucket?region=eu-west-1", "file:///state", "https://app.pulumi.com/acme"
PASSPHRASE, ITS_FILE = "PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"
REGION = "eu-west-1"


@pytest.mark.parametrize(
    ("settings", "variables", "backend", "can"),
    [
        ({}, {}, S3, False),
        ({}, {}, FOLDER, False),
        ({}, {}, SERVICE, True),
        ({}, {}, "http://pulumi.example", True),
        ({"secretsprovider": "default"}, {}, S3, False),
        ({"secretsprovider": "default"}, {}, SERVICE, True),
        ({"secretsprovider": "passphrase"}, {}, SERVICE, False),
        ({"secretsprovider": "passphrase"}, {PASSPHRASE: "x"}, S3, True),
        ({"secretsprovider": "awskms://alias/x"}, {}, S3, True),
        (KEY, {}, S3, True),
        (SALT, {}, S3, False),
        ({}, {PASSPHRASE: "correct horse"}, S3, True),
        ({}, {PASSPHRASE: ""}, S3, True),
        ({}, {ITS_FILE: "/run/passphrase"}, S3, True),
        ({}, {ITS_FILE: ""}, S3, False),
    ],
)
def test_a_key_service_a_passphrase_or_the_backend_can_seal_a_new_stack(
    settings: dict[str, Any], variables: dict[str, str], backend: str, can: bool
) -> None:
    assert can_be_sealed(settings, variables, backend) is can


@pytest.mark.parametrize(
    ("settings", "sealed"),
    [
        ({}, False),
        ({"config": None}, False),
        ({"config": {"a:secure": "no", "a:list": ["secure"]}}, False),
        ({**KEY, "config": {"a:b": "c"}}, False),
        ({"config": {"a:b": {"secure": "v1:x"}}}, True),
        ({"config": {"a:b": {"deep": [{"secure": "v1:x"}]}}}, True),
        (SALT, True),
    ],
)
def test_settings_are_sealed_that_hold_what_is_encrypted_or_a_passphrases_salt(
    settings: dict[str, Any], sealed: bool
) -> None:
    assert is_sealed(settings) is sealed


def test_the_provider_is_the_one_that_is_named() -> None:
    assert provider_of(KEY) == "awskms://alias/x"
    assert provider_of({}) is provider_of({"secretsprovider": None}) is None


def test_the_way_out_is_a_command_for_this_stack_and_region() -> None:
    told = how_to_seal("prod", "eu-north-1").splitlines()
    assert told[1:] == [
        "  pulumi stack init prod --secrets-provider 'awskms://alias/switchyard-secrets?region=eu-north-1'",
        "and commit what that writes into Pulumi.prod.yaml",
    ]


# --- with the engine


@dataclass(frozen=True)
class Key:
    """A key of KMS. `url`: as the engine names it; `recorder`: what is asked of it that way."""

    url: str
    recorder: Recorder

    @property
    def asked(self) -> list[str]:
        """The operations so far."""
        return [call.operation for call in self.recorder.calls]


@pytest.fixture(scope="module")
def kms(endpoint: str) -> Iterator[Key]:
    client = boto3.client(
        "kms",
        region_name=REGION,
        endpoint_url=endpoint,
        aws_access_key_id="AKIDTESTS",
        aws_secret_access_key="x",  # noqa: S106
    )
    made = client.create_key()["KeyMetadata"]["KeyId"]
    client.create_alias(AliasName="alias/secrets", TargetKeyId=made)
    with recording(endpoint) as recorder:
        yield Key(f"awskms://alias/secrets?region={REGION}&endpoint={recorder.endpoint}", recorder)


@pytest.fixture
def key(kms: Key) -> Key:
    kms.recorder.calls.clear()
    return kms


@pytest.fixture
def bare(project: Project, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project without a passphrase, as on a real account."""
    for name in (PASSPHRASE, ITS_FILE):
        monkeypatch.delenv(name, raising=False)
    variables = {name: value for name, value in project.engine.env_vars.items() if name != PASSPHRASE}
    project.engine.env_vars = {
        **variables,
        "AWS_ACCESS_KEY_ID": "AKIDTESTS",
        "AWS_SECRET_ACCESS_KEY": "x",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    project.declares(
        main={"type": "aws:ecs/service:Service", "properties": {"token": "t0ken"}, "secret": ["token"]}
    )
    return project


def settings(project: Project) -> Path:
    return project.folder / "Pulumi.test.yaml"


def with_a_secret(project: Project, key: Key, elsewhere: Path) -> None:
    """Has the settings file hold an encrypted value that the program needs."""
    elsewhere.mkdir()
    opts = options(project.engine, secrets_provider=key.url, PULUMI_BACKEND_URL=elsewhere.as_uri())
    stack = auto.create_stack("test", work_dir=str(project.folder), opts=opts)
    stack.set_config("review:password", auto.ConfigValue("hunter2-hunter2", secret=True))
    about = {"type": "aws:ecs/service:Service", "properties": {}, "config": {"password": "password"}}
    project.declares(main=about)
    key.recorder.calls.clear()


def previewed(project: Project) -> str:
    """The plan's digest; the settings file is not so much as written to."""
    before = (settings(project).read_bytes(), settings(project).stat().st_mtime_ns)
    report = preview(project.request(), print)
    assert (report.status, report.headline) == (0, "1 to create"), report.reading.errors
    assert (settings(project).read_bytes(), settings(project).stat().st_mtime_ns) == before
    assert report.plan is not None
    return report.plan.digest


@pytest.mark.cloud
@pytest.mark.parametrize("named", [True, False])
def test_a_new_stack_without_encrypted_settings_is_previewed_without_key_and_passphrase(
    bare: Project, key: Key, named: bool
) -> None:
    text = "# As a person writes it.\nconfig: {}\n"
    settings(bare).write_text(f"secretsprovider: {key.url}\n{text}" if named else text)
    assert previewed(bare) == previewed(bare)
    assert key.asked == []


@pytest.mark.cloud
def test_a_new_stacks_encrypted_settings_are_decrypted_with_its_key_and_nothing_is_sealed_with_it(
    bare: Project, key: Key, tmp_path: Path
) -> None:
    with_a_secret(bare, key, tmp_path / "elsewhere")
    assert previewed(bare) == previewed(bare)
    assert set(key.asked) == {"Decrypt"}


@pytest.mark.cloud
def test_the_passphrase_that_is_thrown_away_is_not_told_either(bare: Project) -> None:
    (bare.folder / "__main__.py").write_text(
        f"import os\nraise ValueError('<' + os.environ['{PASSPHRASE}'] + '>')\n"
    )
    report = preview(bare.request(), print)
    assert "<[secret]>" in "\n".join(report.reading.errors)


@pytest.mark.cloud
@pytest.mark.parametrize("passphrase", [None, "of something else"])
def test_a_new_stack_is_made_with_the_key_that_its_settings_name(
    bare: Project, key: Key, passphrase: str | None
) -> None:
    if passphrase:
        bare.engine.env_vars = {**bare.engine.env_vars, PASSPHRASE: passphrase}
    settings(bare).write_text(f"secretsprovider: {key.url}\n")
    assert up(bare.request(), print, digest=previewed(bare)).counts == {"create": 1}
    sealed = yaml.safe_load(settings(bare).read_text())
    assert sealed == {"secretsprovider": key.url, "encryptedkey": sealed["encryptedkey"]}
    assert bare.state()["secrets_providers"] == {
        "type": "cloud",
        "state": {"url": key.url, "encryptedkey": sealed["encryptedkey"]},
    }
    assert up(bare.request(), print).counts == {}


@pytest.mark.cloud
def test_a_new_stack_keeps_the_key_that_its_settings_have(bare: Project, key: Key, tmp_path: Path) -> None:
    with_a_secret(bare, key, tmp_path / "elsewhere")
    before = settings(bare).read_text()
    assert up(bare.request(), print, digest=previewed(bare)).counts == {"create": 1}
    assert settings(bare).read_text() == before
    assert set(key.asked) == {"Decrypt"}
    assert list(bare.provider.things.values()) == [{"password": "hunter2-hunter2"}]


@pytest.mark.cloud
def test_a_new_stack_that_nothing_would_seal_is_refused_before_it_is_made(bare: Project) -> None:
    settings(bare).write_text(f"config:\n  review:region: {REGION}\n")
    digest = previewed(bare)
    with pytest.raises(ReviewError, match=r"pulumi stack init test --secrets-provider .*region=eu-west-1'"):
        up(bare.request(), print, digest=digest)
    assert bare.engine.list_stacks() == []
    assert settings(bare).read_text() == f"config:\n  review:region: {REGION}\n"
    assert bare.provider.things == {}
