"""What this machine has of what the project needs, and what to do about the rest. Changes nothing."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from typing import Any

from rich.console import Console
from rich.markup import escape

from localcloud import cloud, engine
from localcloud.errors import CloudError
from localcloud.paths import CACHE, PROJECT

PYTHON = (3, 11)
ENGINE_SPACE_GIB = 6.0
# By (is there, is needed).
MARKS = {
    (True, True): "[green]ok[/]     ",
    (True, False): "[green]ok[/]     ",
    (False, True): "[red]missing[/]",
    (False, False): "[yellow]-[/]      ",
}


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing that was looked at.

    ok: it is there. needed: without it nothing works here.
    found: what is there. remedy: what to do where it is not; empty where it is.
    """

    what: str
    ok: bool
    needed: bool
    found: str
    remedy: str = ""

    @property
    def broken(self) -> bool:
        """Whether it has to be mended."""
        return self.needed and not self.ok

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return asdict(self)


def examine() -> list[Finding]:
    """Everything that was looked at, in the order in which it is needed."""
    return [_python(), _packages(), _cli(), _go(), _aws_plugin(), _space(), _cloud()]


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(
        what="Python",
        ok=sys.version_info[:2] >= PYTHON,
        needed=True,
        found=version,
        remedy="" if sys.version_info[:2] >= PYTHON else "install Python 3.11 or newer",
    )


def _packages() -> Finding:
    found, missing = [], []
    for name in ("pulumi", "pulumi-aws", "moto"):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            missing.append(name)
    return Finding(
        what="Python packages",
        ok=not missing,
        needed=True,
        found=", ".join(found),
        remedy=f"{', '.join(missing)}: run `make install`" if missing else "",
    )


def _cli() -> Finding:
    laid_out = engine.current()
    on_path = engine.cli_on_path()
    if laid_out:
        found = f"{laid_out.cli_version} ({laid_out.cli_source})"
    else:
        found = str(on_path) if on_path else "not got yet"
    possible = bool(laid_out or on_path or shutil.which("go") or engine.reachable(engine.DOWNLOAD_HOST))
    remedy = "install Pulumi, or Go 1.25 or newer to build it, or let this machine reach get.pulumi.com"
    return Finding(
        what="Pulumi's engine", ok=possible, needed=True, found=found, remedy="" if possible else remedy
    )


def _go() -> Finding:
    go = shutil.which("go")
    laid_out = engine.current()
    return Finding(
        what="Go",
        ok=go is not None,
        # Only a machine that has neither Pulumi nor a way to download it has to build it.
        needed=False,
        found=go or "not installed",
        remedy="" if go or laid_out else "https://go.dev/dl/, if Pulumi has to be built here",
    )


def _aws_plugin() -> Finding:
    laid_out = engine.current()
    provider = engine.terraform_provider()
    official = laid_out is not None and laid_out.aws_plugin == "official"
    ok = official or provider is not None or engine.reachable(engine.DOWNLOAD_HOST)
    found = f"HashiCorp's provider at {provider}" if provider else "none found"
    remedy = "copy ~/.pulumi/plugins from a machine that has it, or name a mirror in TF_PLUGIN_CACHE_DIR"
    return Finding(
        what="AWS plugin",
        ok=ok,
        needed=True,
        found="Pulumi's own" if official else found,
        remedy="" if ok else remedy,
    )


def _space() -> Finding:
    at = next(folder for folder in [CACHE, *CACHE.parents] if folder.exists())
    free = shutil.disk_usage(at).free / 2**30
    ok = free > ENGINE_SPACE_GIB or engine.current() is not None
    return Finding(
        what="Disk",
        ok=ok,
        needed=True,
        found=f"{free:.0f} GiB free at {at}",
        remedy="" if ok else f"building the engine takes {ENGINE_SPACE_GIB:.0f} GiB: free some",
    )


def _cloud() -> Finding:
    try:
        found, ok = f"running at {cloud.running().endpoint}", True
    except CloudError:
        found, ok = "not running", False
    shell = (
        ""
        if not ok or os.environ.get("AWS_ENDPOINT_URL")
        else 'eval "$(switchyard cloud env)" to use it here'
    )
    return Finding(
        what="Embedded cloud",
        ok=ok,
        needed=False,
        found=found,
        remedy=shell if ok else f"make up, in {PROJECT}",
    )


def render(findings: Sequence[Finding], console: Console) -> None:
    """The findings for a person."""
    for finding in findings:
        mark = MARKS[finding.ok, finding.needed]
        console.print(f"{mark} {finding.what}: {escape(finding.found)}", soft_wrap=True)
        if finding.remedy:
            console.print(f"         {finding.remedy}", markup=False, soft_wrap=True)
