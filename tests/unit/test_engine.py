"""Getting the engine: which command line is taken, and how one is built."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from localcloud import aws_names, engine
from localcloud.errors import EngineUnavailable
from localcloud.paths import PROJECT
from tests.unit.machine import PACKAGES, Machine, executable, has_provider


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def built(machine: Machine) -> Path:
    return engine.built(engine.CLI_BUILD, machine.say)


# --- which command line


def test_a_pulumi_on_path_that_is_new_enough_is_taken(machine: Machine) -> None:
    found = machine.has_pulumi(machine.tools, "3.200.0")
    assert engine.cli_on_path() == found


def test_an_old_pulumi_is_passed_over_for_a_newer_one_further_down_path(machine: Machine) -> None:
    machine.has_pulumi(machine.tools, "3.199.9")
    newer = machine.has_pulumi(machine.folder / "newer", "3.201.0")
    machine.path(machine.tools, newer.parent)
    assert engine.cli_on_path() == newer


def test_our_own_pulumi_is_not_taken_for_one_that_the_user_installed(machine: Machine) -> None:
    machine.has_pulumi(machine.bin, "3.230.0")
    machine.path(machine.bin)
    assert engine.cli_on_path() is None, "it would be linked to itself"


@pytest.mark.parametrize("text", ["#!/bin/sh\necho nonsense\n", "#!/bin/sh\nexit 3\n", "no program\n"])
def test_a_pulumi_that_does_not_say_its_version_is_passed_over(machine: Machine, text: str) -> None:
    executable(machine.tools / "pulumi", text)
    assert engine.cli_on_path() is None


def test_an_unreachable_download_falls_back_to_a_build(machine: Machine) -> None:
    machine.has_go()
    has_provider(machine.folder / "system", "5.100.0")
    found = engine.ensure(machine.say)
    assert (found.cli_source, found.cli_version, found.aws_plugin) == ("built", engine.CLI_VERSION, "bridge")
    assert machine.asked == [engine.DOWNLOAD_HOST] * 2, "once for the command line and once for the plugin"


def test_a_download_that_fails_falls_back_to_a_build_and_says_so(machine: Machine) -> None:
    from pulumi.automation import PulumiCommand

    def fails(**_: object) -> None:
        raise RuntimeError("the script ended with status 22")

    machine.has_go()
    machine.online = True
    machine.monkeypatch.setattr(PulumiCommand, "install", fails)
    has_provider(machine.folder / "system", "5.100.0")
    # The built command line answers every call with its version, also `plugin install`: call that a failure.
    machine.monkeypatch.setattr(engine, "official_aws_plugin", lambda *_: False)
    assert engine.ensure(machine.say).cli_source == "built"
    assert machine.said[:2] == [
        "Getting Pulumi from pulumi.com",
        "Pulumi's own download did not work (the script ended with status 22); "
        "building it from Go modules instead",
    ]


def test_what_was_downloaded_before_is_used_without_asking_the_network(machine: Machine) -> None:
    from pulumi.automation import PulumiCommand

    class Installed:
        def __init__(self, root: str) -> None:
            self.command = f"{root}/bin/pulumi"

    kept = machine.has_pulumi(machine.cache / "official" / "bin", "3.240.0")
    machine.monkeypatch.setattr(PulumiCommand, "install", lambda *, root: Installed(root))
    machine.monkeypatch.setattr(engine, "official_aws_plugin", lambda *_: True)
    found = engine.ensure(machine.say)
    assert (found.cli, found.cli_source) == (str(kept), "download")
    assert machine.asked == []


# --- building


def test_a_build_is_made_once_and_kept(machine: Machine) -> None:
    machine.has_go()
    first = built(machine)
    assert machine.go_calls() == ["mod", "list", "build"]
    assert built(machine) == first
    assert machine.go_calls() == [], "the second time comes out of the cache"
    kept = sorted(path.name for path in first.parent.iterdir())
    assert kept == ["pulumi", "pulumi.sha256"], "no scratch folder is left"


def test_what_was_kept_needs_no_go(machine: Machine) -> None:
    machine.has_go()
    first = built(machine)
    (machine.tools / "go").unlink()
    assert built(machine) == first


def test_the_build_says_how_far_it_is(machine: Machine) -> None:
    machine.has_go()
    built(machine)
    label = f"pulumi {engine.CLI_VERSION}"
    assert machine.said == [
        f"Downloading the Go modules of {label} (once; some minutes)",
        f"Building {label} from Go modules: 25 of {PACKAGES} packages",
        f"Building {label} from Go modules: 50 of {PACKAGES} packages",
        f"Built {label}",
    ]


def test_a_binary_that_was_changed_is_built_again(machine: Machine) -> None:
    machine.has_go()
    first = built(machine)
    good = first.read_bytes()
    machine.go_calls()
    first.write_bytes(good + b"planted\n")
    assert built(machine) == first
    assert machine.go_calls() == ["mod", "list", "build"]
    assert first.read_bytes() == good
    assert "pulumi is not what was built (its checksum differs); building it again" in machine.said


@pytest.mark.parametrize("file", ["go.mod", "go.sum", "main.go"])
def test_other_pins_and_sources_are_another_build(machine: Machine, file: str) -> None:
    machine.has_go()
    first = built(machine)
    machine.go_calls()
    with (machine.modules / "cli" / file).open("a") as pins:
        pins.write("example.com/module v1.0.0\n")
    second = built(machine)
    assert machine.go_calls() == ["mod", "list", "build"]
    assert second != first
    assert first.exists(), "another checkout may still be on the old pins"


def test_a_build_that_fails_shows_what_go_said_last_and_leaves_nothing(machine: Machine) -> None:
    machine.has_go()
    (machine.tools / "broken").touch()
    with pytest.raises(EngineUnavailable) as refused:
        built(machine)
    message = str(refused.value)
    assert message.startswith(f"building pulumi {engine.CLI_VERSION} failed:\n")
    assert "undefined: something" in message
    assert "package/1\n" not in message, "the last lines are enough"
    assert "Fix: mend what Go says" in message
    assert [path for path in machine.cache.rglob("*") if path.is_file()] == []
    (machine.tools / "broken").unlink()
    assert built(machine).exists(), "the next try starts clean"


def test_modules_that_cannot_be_had_are_an_error_with_a_remedy(machine: Machine) -> None:
    machine.has_go()
    (machine.tools / "no-proxy").touch()
    with pytest.raises(EngineUnavailable, match=r"(?s)dial tcp: no such host.*Fix: .*GOPROXY"):
        built(machine)


def test_without_go_there_are_three_ways_out(machine: Machine) -> None:
    machine.monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(EngineUnavailable) as refused:
        built(machine)
    for way in ("install Pulumi (https://", "allow this machine to reach get.pulumi.com", "install Go 1.25"):
        assert way in str(refused.value)


# --- laying out


def test_a_built_engine_gets_its_language_host_beside_it(machine: Machine) -> None:
    machine.has_go()
    has_provider(machine.folder / "system", "5.100.0")
    engine.ensure(machine.say)
    host = machine.bin / "pulumi-language-python"
    for wrapper, started in ((host, "host_launcher.py"), (machine.plugin, "stand-in.json")):
        assert os.access(wrapper, os.X_OK)
        assert started in wrapper.read_text()
    assert f'PYTHONPATH="{PROJECT}$' in host.read_text(), "the engine starts it in any folder"
    version = subprocess.run([machine.bin / "pulumi", "version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"v{engine.CLI_VERSION}\n"


def test_a_complete_installation_is_linked_and_brings_its_own_host(machine: Machine) -> None:
    found = machine.has_pulumi(machine.tools, "3.210.0")
    executable(machine.tools / "pulumi-language-python", "#!/bin/sh\n")
    machine.monkeypatch.setattr(engine, "official_aws_plugin", lambda *_: True)
    laid_out = engine.ensure(machine.say)
    assert laid_out == engine.Engine(
        cli=str(found), cli_version="3.210.0", cli_source="PATH", aws_plugin="official"
    )
    assert (machine.bin / "pulumi").readlink() == found
    assert not (machine.bin / "pulumi-language-python").exists()
    assert engine.current() == laid_out


def test_laying_out_again_changes_nothing(machine: Machine) -> None:
    machine.has_go()
    has_provider(machine.folder / "system", "5.100.0")
    first = engine.ensure(machine.say)
    files = {path: path.stat().st_mtime_ns for path in (machine.bin / "pulumi", machine.plugin)}
    machine.go_calls()
    assert engine.ensure(machine.say) == first
    assert machine.go_calls() == []
    assert {path: path.stat().st_mtime_ns for path in files} == files


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"cli": "x"'])
def test_a_broken_record_of_the_engine_counts_as_none(machine: Machine, text: str) -> None:
    assert engine.current() is None
    machine.bin.mkdir(parents=True)
    (machine.bin / "engine.json").write_text(text)
    assert engine.current() is None


# --- pins


@pytest.mark.parametrize(
    ("folder", "module", "version"),
    [
        ("cli", "github.com/pulumi/pulumi/pkg/v3", engine.CLI_VERSION),
        ("bridge", "github.com/pulumi/pulumi-terraform-bridge/v3", engine.BRIDGE_VERSION),
    ],
)
def test_the_versions_are_those_that_the_go_modules_pin(folder: str, module: str, version: str) -> None:
    pinned = (PROJECT / "localcloud" / "go" / folder / "go.mod").read_text()
    assert re.findall(rf"^\s*{re.escape(module)} v(\S+)", pinned, re.MULTILINE) == [version]


def test_the_plugin_is_the_one_that_the_sdk_asks_for() -> None:
    pinned = (PROJECT / "requirements.txt").read_text()
    assert re.findall(r"^pulumi-aws==(\S+)", pinned, re.MULTILINE) == [aws_names.VERSION]


@pytest.mark.skipif(shutil.which("gofmt") is None, reason="Go builds what can't be downloaded, elsewhere not")
def test_the_go_sources_are_formatted() -> None:
    sources = sorted((PROJECT / "localcloud" / "go").glob("*/*.go"))
    assert len(sources) > 3
    done = subprocess.run(["gofmt", "-l", *sources], capture_output=True, text=True, check=True)
    assert done.stdout == ""
