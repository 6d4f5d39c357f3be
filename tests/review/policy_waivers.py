"""What each stack does not keep, and why: the waivers that its settings are to hold.

Until the settings have a key for them they are here; from then on the settings win.
"""

from collections.abc import Mapping
from typing import Any

from tests.unit import stacks

EXPIRES = "2027-06-30"


def _waiver(control: str, resource: str, reason: str) -> dict[str, str]:
    return {"control": control, "resource": resource, "reason": reason, "expires": EXPIRES}


EVERYWHERE = [
    _waiver("EC2.10", "network-vpc", "nothing in the VPC calls the EC2 API"),
    _waiver("EC2.58", "network-vpc", "Incident Manager is not used"),
    _waiver("EC2.60", "network-vpc", "Incident Manager is not used"),
    _waiver("SecretsManager.1", "secrets-*", "people write these values; only they can renew them"),
    _waiver("SecretsManager.4", "secrets-*", "people write these values; only they can renew them"),
]
REDIRECT = _waiver("ELB.18", "edge-redirect", "it redirects to HTTPS and hands nothing on")
DELETABLE = _waiver("ELB.6", "edge-lb", "the stack may be destroyed and made again at any time")
SMALL = [
    _waiver("EC2.57", "network-vpc", "the program, not the tasks, reads parameters here"),
    _waiver("ELB.1", "edge-*", "no certificate: only test data, and no users"),
    _waiver("ELB.18", "edge-*", "no certificate: only test data, and no users"),
    DELETABLE,
    _waiver("RDS.5", "main", "an hour without this database costs nothing"),
    _waiver("RDS.8", "main", "the stack may be destroyed and made again at any time"),
    _waiver("RDS.11", "main", "only test data, which can be made again"),
]
PROPOSED: Mapping[str, list[dict[str, str]]] = {
    "local": [*EVERYWHERE, *SMALL],
    "dev": [*EVERYWHERE, *SMALL],
    "staging": [
        *EVERYWHERE,
        REDIRECT,
        DELETABLE,
        _waiver("RDS.8", "main", "the stack may be destroyed and made again at any time"),
    ],
    "prod": [*EVERYWHERE, REDIRECT],
}


def policy(stack: str) -> Any:
    """`switchyard:policy` of a stack."""
    return stacks.config(stack).get("switchyard:policy") or {"waivers": PROPOSED[stack]}
