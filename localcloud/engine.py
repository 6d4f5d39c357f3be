"""Gets Pulumi's engine and its AWS plugin, by the best way that this machine allows.

The command line: one on PATH that is new enough; else Pulumi's own download; else built from Go modules.
The AWS plugin: one that is installed; else Pulumi's own download; else a stand-in, Pulumi's Terraform bridge
(localcloud/go/bridge) over HashiCorp's provider from a Terraform mirror. Versions are pinned here and in
localcloud/go/*/go.mod; go.sum holds the checksum of every module, and the checksum of what was built is
kept beside it and compared whenever it is laid out.
"""

import hashlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from localcloud import aws_names, guard, host_launcher
from localcloud.errors import EngineUnavailable
from localcloud.paths import BIN, CACHE, HOST_SOCKET, PROJECT, PULUMI_HOME

Say = Callable[[str], None]

OLDEST_CLI = (3, 200, 0)
GO_MODULES = Path(__file__).parent / "go"
DOWNLOAD_HOST = "get.pulumi.com"
PROBE_SECONDS = 4.0
AWS_PLUGIN = PULUMI_HOME / "plugins" / f"resource-aws-v{aws_names.VERSION}" / "pulumi-resource-aws"
# The versions that localcloud/go/ pins; a test holds them against the go.mod files.
CLI_VERSION = "3.230.0"
BRIDGE_VERSION = "3.100.0"
PROVIDER_VERSIONS = re.compile(r"^5\.\d+\.\d+$")
# A process of HashiCorp's provider takes some 200 MB, and half a second to be started anew.
PROVIDER_IDLE_SECONDS = 900
# Where Terraform itself looks on every machine, and where images keep a mirror beside other software.
SYSTEM_MIRRORS = (Path("/usr/local/share/terraform/plugins"), Path("/usr/share/terraform/plugins"))
SHARED_ROOTS = (Path("/opt"), Path("/usr/local/share"), Path("/usr/share"))


@dataclass(frozen=True, kw_only=True)
class Build:
    """A program that can be built from pinned Go modules."""

    name: str
    version: str
    folder: str
    package: str
    ldflags: str


CLI_BUILD = Build(
    name="pulumi",
    version=CLI_VERSION,
    folder="cli",
    package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    ldflags=f"-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{CLI_VERSION}",
)
BRIDGE_BUILD = Build(
    name="pulumi-resource-aws",
    version=BRIDGE_VERSION,
    folder="bridge",
    package=".",
    ldflags="-s -w",
)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What runs a program here.

    cli, cli_version, cli_source: the `pulumi` that is used and where it came from.
    aws_plugin: "official", or "bridge" for HashiCorp's provider behind pulumi-aws's names.
    """

    cli: str
    cli_version: str
    cli_source: str
    aws_plugin: str


def ensure(say: Say) -> Engine:
    """Gets what is missing and lays it out in `.switchyard/`. Raises EngineUnavailable."""
    cli, source = _cli(say)
    official = official_aws_plugin(cli, say)
    BIN.mkdir(parents=True, exist_ok=True)
    _link(cli, BIN / "pulumi")
    if source == "built":
        # Beside the command line, so that the engine takes it for the one that it was shipped with.
        _wrapper(
            BIN / "pulumi-language-python",
            f'PYTHONPATH="{PROJECT}${{PYTHONPATH:+:$PYTHONPATH}}" '
            f'exec "{sys.executable}" -S "{host_launcher.__file__}" "{HOST_SOCKET}"',
        )
    if not official:
        _stand_in(say)
    engine = Engine(
        cli=str(cli),
        cli_version=".".join(map(str, _version_of(cli) or (0,))),
        cli_source=source,
        aws_plugin="official" if official else "bridge",
    )
    (BIN / "engine.json").write_text(json.dumps(asdict(engine), indent=2) + "\n")
    return engine


def current() -> Engine | None:
    """The engine that `ensure` laid out, or None."""
    try:
        return Engine(**json.loads((BIN / "engine.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


# --- the command line


def _cli(say: Say) -> tuple[Path, str]:
    on_path = cli_on_path()
    if on_path:
        return on_path, "PATH"
    downloaded = CACHE / "official"
    if _version_of(downloaded / "bin" / "pulumi") or reachable(DOWNLOAD_HOST):
        from pulumi.automation import PulumiCommand  # half a second that only a download has to pay

        say("Getting Pulumi from pulumi.com")
        try:
            return Path(PulumiCommand.install(root=str(downloaded)).command), "download"
        except Exception as error:  # noqa: BLE001 - the SDK raises whatever its script ran into
            say(f"Pulumi's own download did not work ({error}); building it from Go modules instead")
    return built(CLI_BUILD, say), "built"


def cli_on_path() -> Path | None:
    """A `pulumi` on PATH, other than ours, that is new enough."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        found = Path(folder or ".") / "pulumi"
        if found.parent.resolve() != BIN.resolve() and (_version_of(found) or (0,)) >= OLDEST_CLI:
            return found
    return None


def _version_of(cli: Path) -> tuple[int, ...] | None:
    if not os.access(cli, os.X_OK) or cli.is_dir():
        return None
    try:
        said = subprocess.run(  # noqa: S603
            [cli, "version"], capture_output=True, text=True, timeout=30, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.match(r"v?(\d+)\.(\d+)\.(\d+)", said.strip())
    return tuple(map(int, match.groups())) if match else None


def reachable(host: str, port: int = 443) -> bool:
    """Whether a connection opens within a few seconds: an air-gapped machine must not wait for minutes."""
    try:
        socket.create_connection((host, port), timeout=PROBE_SECONDS).close()
    except OSError:
        return False
    return True


# --- the AWS plugin


def official_aws_plugin(cli: Path, say: Say) -> bool:
    """Whether Pulumi's own AWS plugin is installed, after trying to install it where that is possible."""
    ours = AWS_PLUGIN.parent
    if _is_official(ours):
        return True
    # Looked at even beside a stand-in: installing Pulumi's own is the way out of what that one lacks.
    for home in (os.environ.get("PULUMI_HOME"), Path.home() / ".pulumi"):
        users = Path(home or PULUMI_HOME) / "plugins" / ours.name
        if _is_official(users):
            _remove(ours)
            ours.parent.mkdir(parents=True, exist_ok=True)
            ours.symlink_to(users.resolve(), target_is_directory=True)
            return True
    if AWS_PLUGIN.exists():
        return False
    # It may be a link to what is no longer there.
    _remove(ours)
    if not reachable(DOWNLOAD_HOST):
        return False
    say(f"Getting Pulumi's AWS plugin {aws_names.VERSION}")
    done = subprocess.run(  # noqa: S603
        [cli, "plugin", "install", "resource", "aws", aws_names.VERSION],
        env={**os.environ, "PULUMI_HOME": str(PULUMI_HOME)},
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def _stand_in(say: Say) -> None:
    """Lays out the stand-in for Pulumi's AWS plugin. Raises EngineUnavailable."""
    provider = terraform_provider()
    if provider is None:
        raise EngineUnavailable(
            "Pulumi's AWS plugin is not installed and can't be downloaded, and no copy of HashiCorp's AWS "
            "provider 5.x was found to run in its place.\n"
            "  Looked in: " + ", ".join(str(folder) for folder in mirrors()) + "\n"
            "  Fix: on a machine with internet, `pulumi plugin install resource aws "
            f"{aws_names.VERSION}` and copy ~/.pulumi/plugins here; or `terraform init` there with "
            "hashicorp/aws ~> 5.0 and TF_PLUGIN_CACHE_DIR set, copy that folder here and set it to the copy."
        )
    program = built(BRIDGE_BUILD, say)
    command = [sys.executable, "-S", guard.__file__, str(provider)]
    AWS_PLUGIN.parent.mkdir(parents=True, exist_ok=True)
    settings = AWS_PLUGIN.with_name("stand-in.json")
    given = {"command": command, "idle_seconds": PROVIDER_IDLE_SECONDS, **aws_names.settings()}
    _written(settings, json.dumps(given, indent=2) + "\n")
    _wrapper(AWS_PLUGIN, f'exec "{program}" "{settings}"')


def mirrors() -> list[Path]:
    """Folders that may hold Terraform providers, in the order in which Terraform's users expect them."""
    home = Path.home()
    named = [Path(value) for value in [os.environ.get("TF_PLUGIN_CACHE_DIR")] if value]
    rc_file = Path(os.environ.get("TF_CLI_CONFIG_FILE") or home / ".terraformrc")
    if rc_file.is_file():
        text = rc_file.read_text(errors="replace")
        named += [Path(match) for match in re.findall(r'^\s*plugin_cache_dir\s*=\s*"([^"]+)"', text, re.M)]
        for block in re.findall(r"filesystem_mirror\s*\{([^}]*)\}", text):
            named += [Path(match) for match in re.findall(r'path\s*=\s*"([^"]+)"', block)]
    implied = [home / ".terraform.d/plugins", home / ".local/share/terraform/plugins"]
    shared = [found.parent for root in SHARED_ROOTS for found in sorted(root.glob("*/registry.terraform.io"))]
    return list(
        dict.fromkeys([*(folder.expanduser() for folder in named), *implied, *SYSTEM_MIRRORS, *shared])
    )


def terraform_provider() -> Path | None:
    """The newest 5.x of HashiCorp's AWS provider in the first mirror that holds one, or None."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    target = f"{platform.system().lower()}_{machine}"
    for folder in mirrors():
        versions = folder / "registry.terraform.io" / "hashicorp" / "aws"
        found = [path for path in _children(versions) if PROVIDER_VERSIONS.match(path.name)]
        for version in sorted(found, key=lambda path: [*map(int, path.name.split("."))], reverse=True):
            binaries = sorted((version / target).glob("terraform-provider-aws_v*"))
            if binaries:
                return binaries[-1]
    return None


def _children(folder: Path) -> Iterable[Path]:
    return folder.iterdir() if folder.is_dir() else ()


# --- building


def built(build: Build, say: Say) -> Path:
    """The program, built from its pinned modules unless that was done before. Raises EngineUnavailable."""
    modules = GO_MODULES / build.folder
    sources = [modules / "go.mod", modules / "go.sum", *sorted(modules.glob("*.go"))]
    pins = _digest_of_text("".join(source.read_text() for source in sources) + build.ldflags)
    target = CACHE / f"{build.name}-{build.version}-{pins}" / build.name
    kept = target.with_suffix(".sha256")
    if target.exists() and kept.exists():
        if kept.read_text().strip() == _digest(target):
            return target
        say(f"{build.name} is not what was built (its checksum differs); building it again")
    go = shutil.which("go")
    if go is None:
        raise EngineUnavailable(
            f"{build.name} {build.version} is not installed, can't be downloaded from {DOWNLOAD_HOST}, and "
            "there is no Go to build it with.\n"
            "  Fix, any one of these: install Pulumi (https://www.pulumi.com/docs/install/) so that `pulumi` "
            "is on PATH; allow this machine to reach get.pulumi.com; install Go 1.25 or newer "
            "(https://go.dev/dl/), with GOPROXY naming your module mirror."
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
        out = Path(scratch) / build.name
        _go_build(Path(go), modules, build, out, say)
        kept.write_text(_digest(out) + "\n")
        out.replace(target)
    return target


def _go_build(go: Path, modules: Path, build: Build, out: Path, say: Say) -> None:
    label = f"{build.name} {build.version}"
    say(f"Downloading the Go modules of {label} (once; some minutes)")
    _go([go, "mod", "download"], modules, label)
    listed = _go([go, "list", "-deps", build.package], modules, label)
    total = len(listed.splitlines())
    process = subprocess.Popen(  # noqa: S603
        [
            go,
            "build",
            "-mod=readonly",
            "-trimpath",
            "-v",
            "-ldflags",
            build.ldflags,
            "-o",
            out,
            build.package,
        ],
        cwd=modules,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    last: list[str] = []
    assert process.stderr is not None  # noqa: S101 - asked for above
    for count, line in enumerate(process.stderr, start=1):
        last = [*last[-19:], line.rstrip()]
        if count % 25 == 0:
            say(f"Building {label} from Go modules: {min(count, total)} of {total} packages")
    if process.wait() != 0:
        raise EngineUnavailable(
            f"building {label} failed:\n  "
            + "\n  ".join(last)
            + "\n  Fix: mend what Go says (Go 1.25 or newer and 6 GiB of disk are needed), or install Pulumi."
        )
    say(f"Built {label}")


def _go(command: list[Path | str], modules: Path, label: str) -> str:
    done = subprocess.run(command, cwd=modules, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise EngineUnavailable(
            f"the Go modules of {label} could not be had:\n  "
            + "\n  ".join(done.stderr.strip().splitlines()[-10:])
            + "\n  Fix: let this machine reach a Go module proxy (GOPROXY), or install Pulumi."
        )
    return done.stdout


# --- laying out


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy: the engine looks for its language hosts beside the real file."""
    if target.exists() and target.samefile(source):
        return
    target.unlink(missing_ok=True)
    if source.parent.joinpath("pulumi-language-python").exists():
        # A complete installation brings its own hosts, which are found beside the file it names.
        target.symlink_to(source.resolve())
        return
    try:
        target.hardlink_to(source)
    except OSError:
        shutil.copy2(source, target)


_MARK = "# switchyard: stands in for Pulumi's own"


def _wrapper(path: Path, command: str) -> None:
    _written(path, f'#!/bin/sh\n{_MARK}\n{command} "$@"\n', mode=0o755)


def _written(path: Path, text: str, mode: int = 0o644) -> None:
    """Whole or not at all: an engine may start what it says at any moment."""
    if path.exists() and path.read_text() == text:
        return
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.chmod(mode)
    part.replace(path)


def _remove(folder: Path) -> None:
    if folder.is_symlink():
        folder.unlink()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _is_official(folder: Path) -> bool:
    """Whether this is a folder of Pulumi's own AWS plugin, not of its stand-in."""
    try:
        with (folder / "pulumi-resource-aws").open("rb") as file:
            return _MARK.encode() not in file.read(256)
    except OSError:
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _digest_of_text(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:12]
