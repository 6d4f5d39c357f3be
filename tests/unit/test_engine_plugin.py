"""Getting the AWS plugin: Pulumi's own before a stand-in, and where a provider for that is looked for."""

import json
import sys
from pathlib import Path

import pytest

from localcloud import aws_names, engine, guard
from localcloud.errors import EngineUnavailable
from tests.unit.machine import Machine, executable, has_provider

NAME = f"resource-aws-v{aws_names.VERSION}"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def official(machine: Machine) -> bool:
    return engine.official_aws_plugin(machine.tools / "pulumi", machine.say)


def has_plugin(home: Path) -> Path:
    return executable(home / "plugins" / NAME / "pulumi-resource-aws", "an ELF binary").parent


def with_stand_in(machine: Machine) -> None:
    machine.has_go()
    has_provider(machine.folder / "system", "5.100.0")
    assert engine.ensure(machine.say).aws_plugin == "bridge"
    assert "stand-in.json" in machine.plugin.read_text()


# --- Pulumi's own plugin


def test_the_plugin_in_the_users_home_is_linked(machine: Machine) -> None:
    users = has_plugin(machine.home / ".pulumi")
    assert official(machine)
    assert machine.plugin.parent.readlink() == users
    assert official(machine), "the second time it is there"
    assert machine.asked == [], "what is installed needs no network"


def test_the_plugin_in_the_users_pulumi_home_is_linked(machine: Machine) -> None:
    users = has_plugin(machine.folder / "elsewhere")
    machine.monkeypatch.setenv("PULUMI_HOME", str(machine.folder / "elsewhere"))
    assert official(machine)
    assert machine.plugin.parent.readlink() == users


def test_a_plugin_that_is_installed_later_takes_the_place_of_the_stand_in(machine: Machine) -> None:
    with_stand_in(machine)
    # As in a shell after `switchyard cloud env`.
    machine.monkeypatch.setenv("PULUMI_HOME", str(machine.plugins.parent))
    assert not official(machine)
    has_plugin(machine.home / ".pulumi")
    assert engine.ensure(machine.say).aws_plugin == "official"
    assert machine.plugin.read_text() == "an ELF binary"


def test_the_stand_in_of_another_checkout_is_not_taken_for_pulumis_own(machine: Machine) -> None:
    with_stand_in(machine)
    other = has_plugin(machine.folder / "other") / "pulumi-resource-aws"
    other.write_text(machine.plugin.read_text())
    machine.monkeypatch.setenv("PULUMI_HOME", str(machine.folder / "other"))
    assert not official(machine)


def test_a_link_to_a_plugin_that_was_removed_is_replaced(machine: Machine) -> None:
    users = has_plugin(machine.home / ".pulumi")
    assert official(machine)
    users.rename(machine.folder / "gone")
    with_stand_in(machine)
    assert (machine.folder / "gone" / "pulumi-resource-aws").read_text() == "an ELF binary"


def test_a_plugin_that_can_be_downloaded_is_installed_by_the_command_line(machine: Machine) -> None:
    machine.online = True
    executable(machine.tools / "pulumi", f'#!/bin/sh\necho "$PULUMI_HOME: $*" > {machine.folder}/asked\n')
    assert official(machine)
    home, version = machine.plugins.parent, aws_names.VERSION
    assert (machine.folder / "asked").read_text() == f"{home}: plugin install resource aws {version}\n"
    assert machine.said == [f"Getting Pulumi's AWS plugin {version}"]


def test_a_download_that_fails_leaves_the_stand_in(machine: Machine) -> None:
    machine.online = True
    executable(machine.tools / "pulumi", "#!/bin/sh\nexit 1\n")
    assert not official(machine)


# --- HashiCorp's provider


def test_the_newest_5_x_of_a_mirror_is_taken(machine: Machine) -> None:
    mirror = machine.folder / "system"
    for version in ("4.67.0", "5.9.0", "5.99.1", "6.2.0", "5.100.0-beta1"):
        has_provider(mirror, version)
    newest = has_provider(mirror, "5.100.0")
    assert engine.terraform_provider() == newest, "versions are numbers: 5.100 is after 5.99"


@pytest.mark.parametrize("version", ["4.67.0", "6.2.0"])
def test_another_major_version_is_not_taken(machine: Machine, version: str) -> None:
    has_provider(machine.folder / "system", version)
    assert engine.terraform_provider() is None, "its resources are not those of pulumi-aws 7's table of names"


def test_a_provider_for_another_platform_is_not_taken(machine: Machine) -> None:
    built_for_this = has_provider(machine.folder / "system", "5.100.0")
    built_for_this.parent.rename(built_for_this.parent.with_name("plan9_mips"))
    assert engine.terraform_provider() is None


@pytest.mark.parametrize(
    "mirror",
    [
        "home/.terraform.d/plugins",
        "home/.local/share/terraform/plugins",
        "system",
        "opt/terraform",
        "named",
        "rc-cache",
        "rc-mirror",
        "home/tilde",
    ],
)
def test_every_kind_of_mirror_is_looked_into(machine: Machine, mirror: str) -> None:
    machine.monkeypatch.setenv("TF_PLUGIN_CACHE_DIR", str(machine.folder / "named"))
    (machine.home / ".terraformrc").write_text(
        f"""
        plugin_cache_dir = "{machine.folder}/rc-cache"
        provider_installation {{
          filesystem_mirror {{
            path    = "{machine.folder}/rc-mirror"
            include = ["registry.terraform.io/*/*"]
          }}
          filesystem_mirror {{
            path = "~/tilde"
          }}
        }}
        """
    )
    found = has_provider(machine.folder / mirror, "5.80.0")
    assert engine.terraform_provider() == found


def test_the_configuration_file_that_the_variable_names_is_read_instead(machine: Machine) -> None:
    named = machine.folder / "other.tfrc"
    named.write_text(f'plugin_cache_dir = "{machine.folder}/other"\n')
    (machine.home / ".terraformrc").write_text(f'plugin_cache_dir = "{machine.folder}/unused"\n')
    machine.monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(named))
    assert engine.mirrors()[0] == machine.folder / "other"
    assert machine.folder / "unused" not in engine.mirrors()


def test_a_mirror_that_the_user_named_comes_before_the_implied_ones(machine: Machine) -> None:
    machine.monkeypatch.setenv("TF_PLUGIN_CACHE_DIR", str(machine.folder / "named"))
    named = has_provider(machine.folder / "named", "5.80.0")
    has_provider(machine.folder / "system", "5.100.0")
    assert engine.terraform_provider() == named


def test_without_a_provider_the_error_says_where_was_looked_and_what_to_do(machine: Machine) -> None:
    machine.has_go()
    with pytest.raises(EngineUnavailable) as refused:
        engine.ensure(machine.say)
    message = str(refused.value)
    for folder in engine.mirrors():
        assert str(folder) in message
    assert f"pulumi plugin install resource aws {aws_names.VERSION}" in message
    assert "TF_PLUGIN_CACHE_DIR" in message


def test_the_stand_in_runs_the_newest_provider_under_the_guard(machine: Machine) -> None:
    machine.has_go()
    for version in ("5.100.0", "5.101.0"):
        provider = has_provider(machine.folder / "system", version)
        engine.ensure(machine.say)
        settings = json.loads(machine.plugin.with_name("stand-in.json").read_text())
        assert settings["command"] == [sys.executable, "-S", guard.__file__, str(provider)]
        assert settings.items() >= json.loads(json.dumps(aws_names.settings())).items()
