"""Who races: one program for Terraform and for Pulumi, and the embedded cloud that both plan against."""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench import engine
from bench.results import NotMeasured, progress
from bench.services import config_of, project_of
from bench.spent import Spent, cpu_of, spent
from localcloud.engine import terraform_provider

TERRAFORM, COLD, WARM = "terraform plan", "preview, cold", "preview, warm"
RUN_SECONDS = 240.0
Environment = Mapping[str, str]
Runs = dict[str, list[Spent]]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What all runs share.

    folder: scratch. cloud: the process that leads the embedded cloud. environments: by what runs in them.
    """

    folder: Path
    cloud: psutil.Process
    environments: Mapping[str, Environment]
    terraform: str

    def run(self, what: str, command: Sequence[str], folder: Path, seconds: float = RUN_SECONDS) -> Spent:
        """A run, with the CPU of the cloud's processes in it. Raises bench.spent.Failed."""
        before = cpu_of(self.cloud)
        found = spent(command, folder=folder, environment=self.environments[what], timeout_seconds=seconds)
        return Spent(seconds=found.seconds, cpu=found.cpu + cpu_of(self.cloud) - before, output=found.output)


@dataclass(frozen=True, kw_only=True)
class Racers:
    """One program for both engines, in folders of their own."""

    setting: Setting
    stack: str
    resources: int

    @property
    def pulumi(self) -> Path:
        """The folder of the Pulumi project."""
        return self.setting.folder / self.stack / "pulumi"

    @property
    def terraform(self) -> Path:
        """The folder of the rendered program."""
        return self.setting.folder / self.stack / "terraform"

    def commands(self, *, refresh: bool = False) -> dict[str, tuple[list[str], Path]]:
        """What is timed, and where. Neither reads AWS first, unless asked."""
        plan = [
            self.setting.terraform,
            "plan",
            "-no-color",
            "-input=false",
            f"-refresh={str(refresh).lower()}",
        ]
        preview = [
            "pulumi",
            "preview",
            "--stack",
            self.stack,
            "--non-interactive",
            f"--refresh={str(refresh).lower()}",
        ]
        return {TERRAFORM: (plan, self.terraform), COLD: (preview, self.pulumi), WARM: (preview, self.pulumi)}

    def round(
        self,
        runs: Runs,
        expected: int,
        *,
        refresh: bool = False,
        who: Sequence[str] = (TERRAFORM, COLD, WARM),
    ) -> None:
        """Times each once, and makes sure that it found as many resources to create as there are."""
        commands = self.commands(refresh=refresh)
        for what in who:
            command, folder = commands[what]
            found = self.setting.run(what, command, folder)
            created = (created_by_terraform if what == TERRAFORM else created_by_pulumi)(found.output)
            if created != expected:
                raise RuntimeError(f"{what} was to create {expected} resources, not {created}")
            runs.setdefault(what, []).append(found)


def created_by_terraform(output: str) -> int:
    """How many resources a plan adds. Raises ValueError for what does more or says nothing."""
    if "No changes." in output:
        return 0
    found = re.search(r"Plan: (\d+) to add, 0 to change, 0 to destroy", output)
    if found is None:
        raise ValueError(f"no plan that only adds:\n{output[-2000:]}")
    return int(found[1])


def created_by_pulumi(output: str) -> int:
    """How many of AWS's resources a preview creates. Raises ValueError for what does more or says nothing."""
    _, told, counts = output.rpartition("Resources:")
    if not told or re.search(r"to (update|delete|replace)", counts):
        raise ValueError(f"no preview that only creates:\n{output[-2000:]}")
    # The engine's sign of life may stand before it on the line.
    return len(re.findall(r"\+ [^\w\n]*aws:\w+:\w+ .* create\b", output))


# --- the place


def place(folder: Path, environment: dict[str, str]) -> Setting:
    """A cloud that has started, and the environments. Raises NotMeasured."""
    terraform, provider = shutil.which("terraform"), terraform_provider()
    if terraform is None:
        raise NotMeasured("there is no `terraform` on PATH to race with; install Terraform 1.5 or newer")
    if provider is None:
        raise NotMeasured("no Terraform mirror holds the AWS provider (docs/embedded-cloud.md says where)")
    progress("terraform: starting an embedded cloud")
    engine.run(["switchyard", "cloud", "start"], environment)
    home = Path(environment["SWITCHYARD_HOME"])
    given = json.loads(engine.run(["switchyard", "cloud", "env", "--json"], environment))
    if "PULUMI_DEBUG_PROVIDERS" not in given:
        raise NotMeasured(
            "Pulumi's own AWS plugin is installed here, with another provider in it: not the same binary"
        )
    cold = folder / "cold"
    engine.run(
        ["python", "-c", "from localcloud import engine; engine.ensure(lambda line: None)"],
        {**environment, "SWITCHYARD_HOME": str(cold)},
    )
    (folder / "state").mkdir()
    (folder / "terraformrc").write_text(
        f'provider_installation {{\n  filesystem_mirror {{ path = "{provider.parents[5]}" }}\n}}\n'
        "disable_checkpoint = true\n"
    )
    warm = {**environment, **given, "PULUMI_BACKEND_URL": (folder / "state").as_uri()}
    nothing_kept = {name: value for name, value in warm.items() if name != "PULUMI_DEBUG_PROVIDERS"}
    cloud = json.loads((home / "cloud.json").read_text())
    return Setting(
        folder=folder,
        cloud=psutil.Process(cloud["pid"]),
        terraform=terraform,
        environments={
            TERRAFORM: {**warm, "TF_CLI_CONFIG_FILE": str(folder / "terraformrc")},
            COLD: {
                **nothing_kept,
                "PULUMI_HOME": str(cold / "pulumi"),
                "PATH": f"{cold / 'bin'}{os.pathsep}{warm['PATH']}",
            },
            WARM: warm,
        },
    )


def racers(setting: Setting, services: int, stack: str) -> Racers:
    """A program of so many services, written for both engines and made ready to be planned."""
    from infra.arguments import Stack
    from infra.load import parse
    from review.terraform_checks import written
    from review.terraform_json import render
    from review.terraform_program import declared

    config = config_of("local", services)
    settings = parse(config, f"{services} services")
    rendered = render(
        declared(Stack(project="switchyard", name=stack, account_id=settings.accounts[0], settings=settings))
    )
    ready = Racers(setting=setting, stack=stack, resources=sum(map(len, rendered["resource"].values())))
    project_of(ready.pulumi, stack, config)
    ready.terraform.mkdir()
    (ready.terraform / "main.tf.json").write_text(written(rendered))
    setting.run(TERRAFORM, [setting.terraform, "init", "-no-color", "-input=false"], ready.terraform)
    setting.run(WARM, ["pulumi", "stack", "init", stack], ready.pulumi)
    return ready
