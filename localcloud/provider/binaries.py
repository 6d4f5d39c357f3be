"""The two programs that make a bridge."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Binaries:
    """Paths of the programs.

    bridge: pulumi-resource-terraform-provider.
    provider: HashiCorp's provider, under the file name `terraform-provider-aws`: the bridge takes the
        package's name from it.
    """

    bridge: Path
    provider: Path
