"""Every control of the list that this platform is checked for: what is judged, and why the rest is not."""

from collections.abc import Mapping

from policies.controls import balancing, containers, databases, identity, network, storage
from policies.model import Control

CONTROLS: tuple[Control, ...] = (
    *network.CONTROLS,
    *balancing.CONTROLS,
    *containers.CONTROLS,
    *databases.CONTROLS,
    *storage.CONTROLS,
    *identity.CONTROLS,
)

_CLUSTERS = "about Aurora and Multi-AZ clusters; the program declares instances"
_AURORA = "about Aurora; the program declares PostgreSQL instances"
_EKS = "the program declares no EKS cluster"
_DOCUMENTS = "the program declares no DocumentDB cluster"
_ACCOUNT = "a setting of the account, not of a stack"
_TRAILS = "trails belong to the account, not to a stack"
_GUARD = "GuardDuty belongs to the account, not to a stack"
_QUEUES = "the program declares no queue"

NOT_JUDGED: Mapping[str, str] = {
    "EC2.172": "a setting of the VPCs of an account and region; it would close the load balancer too",
    "ECS.16": "about task sets; colours are services of their own",
    **dict.fromkeys(("EKS.1", "EKS.2", "EKS.3", "EKS.8"), _EKS),
    **dict.fromkeys((f"RDS.{number}" for number in (7, 12, 15, 16, 19, 24, 27, 35, 47, 48)), _CLUSTERS),
    **dict.fromkeys((f"RDS.{number}" for number in (14, 34, 37, 45)), _AURORA),
    "RDS.43": "the program declares no proxy",
    **dict.fromkeys((f"DocumentDB.{number}" for number in (1, 2, 4, 5, 6)), _DOCUMENTS),
    "S3.1": _ACCOUNT,
    **dict.fromkeys((f"CloudTrail.{number}" for number in (1, 2, 4, 5)), _TRAILS),
    **dict.fromkeys((f"GuardDuty.{number}" for number in (1, *range(5, 14))), _GUARD),
    **dict.fromkeys(("SQS.1", "SQS.3"), _QUEUES),
    "Config.1": _ACCOUNT,
}


def ids() -> list[str]:
    """The controls that are judged."""
    return [control.id for control in CONTROLS]
