import io
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from localcloud import cloud, engine
from switchyard import doctor
from switchyard.doctor import Finding
from tests.unit.machine import Machine, has_provider

LAID_OUT = engine.Engine(cli="/p/pulumi", cli_version="3.230.0", cli_source="built", aws_plugin="bridge")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """A machine with Python and its packages, and nothing else."""
    made = Machine(tmp_path, monkeypatch)
    monkeypatch.setattr(cloud, "CLOUD_STATE", tmp_path / "cloud.json")
    monkeypatch.setattr(doctor, "CACHE", made.cache)
    monkeypatch.setattr("shutil.which", lambda name: found(made, name))
    return made


def found(machine: Machine, name: str) -> str | None:
    path = machine.tools / name
    return str(path) if path.exists() else None


def examined() -> dict[str, Finding]:
    findings = {finding.what: finding for finding in doctor.examine()}
    for finding in findings.values():
        assert not finding.broken or finding.remedy, f"{finding.what}: what is broken has a way out"
    return findings


def test_everything_is_looked_at_in_the_order_in_which_it_is_needed(machine: Machine) -> None:  # noqa: ARG001
    assert list(examined()) == [
        "Python",
        "Python packages",
        "Pulumi's engine",
        "Go",
        "AWS plugin",
        "Disk",
        "Embedded cloud",
    ]


def test_a_bare_machine_without_network_lacks_engine_and_plugin(machine: Machine) -> None:
    findings = examined()
    assert [what for what, finding in findings.items() if finding.broken] == ["Pulumi's engine", "AWS plugin"]
    assert findings["Pulumi's engine"].remedy == (
        "install Pulumi, or Go 1.25 or newer to build it, or let this machine reach get.pulumi.com"
    )
    assert "TF_PLUGIN_CACHE_DIR" in findings["AWS plugin"].remedy
    assert machine.asked == [engine.DOWNLOAD_HOST] * 2


def gets_go(machine: Machine) -> None:
    machine.has_go()
    has_provider(machine.folder / "system", "5.100.0")


def gets_network(machine: Machine) -> None:
    machine.online = True


def gets_engine(machine: Machine) -> None:
    machine.monkeypatch.setattr(engine, "current", lambda: LAID_OUT)
    has_provider(machine.folder / "system", "5.100.0")


@pytest.mark.parametrize("way", [gets_go, gets_network, gets_engine])
def test_each_way_to_an_engine_is_enough(machine: Machine, way: Callable[[Machine], None]) -> None:
    way(machine)
    assert [finding for finding in examined().values() if finding.broken] == []


def test_what_is_laid_out_is_named_with_its_source(machine: Machine) -> None:
    gets_engine(machine)
    findings = examined()
    assert findings["Pulumi's engine"].found == "3.230.0 (built)"
    assert findings["AWS plugin"].found == f"HashiCorp's provider at {engine.terraform_provider()}"
    assert machine.asked == [], "what is there needs no network"


def test_a_full_disk_is_a_fault_only_before_the_engine_is_there(machine: Machine) -> None:
    class Usage:
        free = 2**30

    machine.monkeypatch.setattr("shutil.disk_usage", lambda _: Usage)
    assert examined()["Disk"].broken
    assert examined()["Disk"].remedy == "building the engine takes 6 GiB: free some"
    gets_engine(machine)
    assert not examined()["Disk"].broken


def test_a_cloud_that_does_not_run_is_no_fault(machine: Machine) -> None:  # noqa: ARG001
    finding = examined()["Embedded cloud"]
    assert (finding.ok, finding.broken, finding.found) == (False, False, "not running")


@pytest.mark.parametrize(
    ("endpoint", "remedy"), [(None, 'eval "$(switchyard cloud env)" to use it here'), ("http://e", "")]
)
def test_a_shell_that_is_not_set_up_for_the_cloud_is_told_how(
    machine: Machine, endpoint: str | None, remedy: str
) -> None:
    running = cloud.Cloud(pid=1, started=1.0, endpoint="http://e")
    machine.monkeypatch.setattr(cloud, "running", lambda: running)
    machine.monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    if endpoint:
        machine.monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    finding = examined()["Embedded cloud"]
    assert (finding.found, finding.remedy) == ("running at http://e", remedy)


def test_a_package_that_is_missing_is_named(machine: Machine) -> None:
    from importlib import metadata

    def version(name: str) -> str:
        if name == "moto":
            raise metadata.PackageNotFoundError(name)
        return "1.0"

    machine.monkeypatch.setattr("importlib.metadata.version", version)
    finding = examined()["Python packages"]
    assert (finding.broken, finding.remedy) == (True, "moto: run `make install`")


def test_an_old_python_is_a_fault(machine: Machine) -> None:
    machine.monkeypatch.setattr("sys.version_info", (3, 10, 4, "final", 0))
    finding = examined()["Python"]
    assert (finding.broken, finding.found, finding.remedy) == (True, "3.10.4", "install Python 3.11 or newer")


def test_the_findings_are_a_line_each_and_remedies_below() -> None:
    console = Console(file=io.StringIO(), width=40)
    findings = [
        Finding(what="Python", ok=True, needed=True, found="3.11.7"),
        Finding(what="Go", ok=False, needed=False, found="not installed"),
        Finding(
            what="AWS plugin",
            ok=False,
            needed=True,
            found="none at /a/[very]/long/path/that/is/there/to/be/copied",
            remedy="copy ~/.pulumi/plugins here, or name a mirror",
        ),
    ]
    doctor.render(findings, console)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "ok      Python: 3.11.7",
        "-       Go: not installed",
        "missing AWS plugin: none at /a/[very]/long/path/that/is/there/to/be/copied",
        "         copy ~/.pulumi/plugins here, or name a mirror",
    ]
