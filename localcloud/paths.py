"""Where things are kept. Everything of one checkout is in `.switchyard/`; what is built is shared by all."""

import os
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]
WORKSPACE = Path(os.environ.get("SWITCHYARD_HOME") or PROJECT / ".switchyard")
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "switchyard"

BIN = WORKSPACE / "bin"
PULUMI_HOME = WORKSPACE / "pulumi"
HOST_SOCKET = WORKSPACE / "host.sock"
DATAPLANE = WORKSPACE / "dataplane"
IMAGES = WORKSPACE / "images"
CLOUD_STATE = WORKSPACE / "cloud.json"
CLOUD_LOG = WORKSPACE / "cloud.log"


def state_bucket(account: str) -> str:
    """The embedded S3 bucket with the Pulumi state of an account, which lives and dies with the cloud."""
    return f"switchyard-state-{account}"
