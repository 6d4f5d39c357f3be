"""A machine for the tests of the engine: its folders, PATH and Terraform mirrors, and nothing else's."""

import os
import platform
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from localcloud import aws_names, engine

PACKAGES = 60

# Stands in for `go`: writes its calls down, says a line per package as `go build -v` does, makes the output.
GO = f"""#!/bin/sh
here=$(dirname "$0")
echo "$*" >> "$here/go-calls"
case "$1" in
mod) test ! -e "$here/no-proxy" || {{ echo "dial tcp: no such host" >&2; exit 1; }} ;;
list) seq {PACKAGES} ;;
build)
    for number in $(seq {PACKAGES}); do echo "package/$number" >&2; done
    test ! -e "$here/broken" || {{ echo "undefined: something" >&2; exit 2; }}
    while [ "$1" != -o ]; do shift; done
    printf '#!/bin/sh\\necho v{engine.CLI_VERSION}\\n' > "$2"
    chmod +x "$2" ;;
esac
"""


@dataclass
class Machine:
    """Its folder, and the hosts that are asked for."""

    folder: Path
    monkeypatch: pytest.MonkeyPatch
    online: bool = False
    asked: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tools = self._made("tools")
        self.home = self._made("home")
        self.bin = self.folder / "switchyard" / "bin"
        self.cache = self.folder / "cache"
        self.plugins = self.folder / "switchyard" / "pulumi" / "plugins"
        self.plugin = self.plugins / f"resource-aws-v{aws_names.VERSION}" / "pulumi-resource-aws"
        modules = self._made("go")
        for build in ("cli", "bridge"):
            (modules / build).mkdir()
            (modules / build / "go.mod").write_text(f"module {build}\n")
            (modules / build / "go.sum").write_text(f"{build} h1:sum\n")
            (modules / build / "main.go").write_text("package main\n")
        self.modules = modules
        replaced = {
            "BIN": self.bin,
            "CACHE": self.cache,
            "PULUMI_HOME": self.plugins.parent,
            "AWS_PLUGIN": self.plugin,
            "GO_MODULES": modules,
            "SYSTEM_MIRRORS": (self.folder / "system",),
            "SHARED_ROOTS": (self.folder / "opt",),
            "reachable": self._reachable,
        }
        for name, value in replaced.items():
            self.monkeypatch.setattr(engine, name, value)
        for name in ("TF_PLUGIN_CACHE_DIR", "TF_CLI_CONFIG_FILE", "PULUMI_HOME"):
            self.monkeypatch.delenv(name, raising=False)
        self.monkeypatch.setenv("HOME", str(self.home))
        self.path(self.tools)

    def _made(self, name: str) -> Path:
        folder = self.folder / name
        folder.mkdir()
        return folder

    def _reachable(self, host: str) -> bool:
        self.asked.append(host)
        return self.online

    def say(self, line: str) -> None:
        """Takes a line of progress."""
        self.said.append(line)

    def path(self, *folders: Path) -> None:
        """Sets PATH; the shell's own tools stay at its end, apart from `go` and `pulumi`."""
        self.monkeypatch.setenv("PATH", os.pathsep.join([*map(str, folders), "/usr/bin", "/bin"]))

    def has_go(self) -> None:
        """Installs the fake Go."""
        executable(self.tools / "go", GO)

    def go_calls(self) -> list[str]:
        """The calls of Go since the last time, by their first word."""
        calls = self.tools / "go-calls"
        found = calls.read_text().splitlines() if calls.exists() else []
        calls.unlink(missing_ok=True)
        return [line.split()[0] for line in found]

    def has_pulumi(self, folder: Path, version: str) -> Path:
        """Installs a `pulumi` that says this version."""
        return executable(folder / "pulumi", f"#!/bin/sh\necho v{version}\n")


def executable(path: Path, text: str) -> Path:
    """Writes a program."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


def has_provider(mirror: Path, version: str) -> Path:
    """Puts HashiCorp's AWS provider for this machine into a mirror."""
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    target = f"{platform.system().lower()}_{machine}"
    folder = mirror / "registry.terraform.io" / "hashicorp" / "aws" / version / target
    return executable(folder / f"terraform-provider-aws_v{version}_x5", "#!/bin/sh\n")
