"""The settings of a review stack, derived from those of its base stack. Pure.

Smaller and easier to throw away, and otherwise the same: the services, their sizes and routes, the database's
engine. A control that this breaks gets a waiver, which ends with the stack.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from ipaddress import IPv4Network
from typing import Any

from components.cidr import CidrError, plan_subnets
from infra.load import PREFIX
from infra.load import parse as checked
from infra.settings import DatabaseSettings, ServiceSettings, Settings
from review.ephemeral import NotReviewable, stack_name

RETENTION_DAYS = 7
BAKE_SECONDS = 60
# The smallest that RDS has for PostgreSQL, and the connections that its memory of 1 GiB allows for.
INSTANCE_CLASS = "db.t4g.micro"
CONNECTIONS = 80
STORAGE_GIB, MAX_STORAGE_GIB = 20, 30
# A base stack's threshold may be all that the small disk has: its alarm would never be quiet.
FREE_STORAGE_GIB = 2
ENDPOINT_CONTROLS = {"EC2.10": "ec2", "EC2.55": "ecr.api", "EC2.56": "ecr.dkr", "EC2.57": "ssm"}


def derive(base: Settings, number: int, cidr: IPv4Network, base_name: str, expires: datetime) -> Settings:
    """The settings of a pull request's stack, which break none of the platform's rules.

    Raises NotReviewable for a base of production, and infra.load.InvalidSettings if the base's own settings
    break a rule.
    """
    if base.environment == "prod":
        raise NotReviewable(
            f"stack {base_name} is of environment prod: a review stack would live in production's account. "
            "Allowed as --base are stacks of local, dev and staging"
        )
    try:
        plan_subnets(cidr, base.network.zones[:2])
    except CidrError as error:
        raise NotReviewable(str(error)) from error
    settings = base.model_dump(mode="json", exclude_none=True)
    settings |= {
        "environment": "local" if base.environment == "local" else "dev",
        "tags": {**base.tags, "pull-request": str(number), "review-of": base_name},
        "network": _network(base, settings["network"], cidr),
        "edge": settings["edge"]
        | {
            "deletion_protection": False,
            "access_log_retention_days": min(base.edge.access_log_retention_days, RETENTION_DAYS),
        },
        "services": {
            name: _service(service, settings["services"][name]) for name, service in base.services.items()
        },
        "databases": {
            name: _database(database, settings["databases"][name])
            for name, database in base.databases.items()
        },
        "registry": {"keep_images": min(base.registry.keep_images, 10), "untagged_days": 1},
        "monitoring": _monitoring(base, settings["monitoring"]),
        "backups": _backups(settings["backups"]),
        "release": _release(base),
        "policy": {"waivers": [*settings["policy"]["waivers"], *_waivers(base, expires)]},
    }
    return checked(
        {f"{PREFIX}{key}": value for key, value in settings.items()}, f"Pulumi.{stack_name(number)}.yaml"
    )


def document(settings: Settings, base: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """The stack's settings file.

    base: the base stack's file. Its secrets provider and the settings of other packages are taken over, but
        for encrypted values: their key is the base stack's own.
    kept: the stack's file so far, empty where there is none. What the engine wrote into it stays.
    """
    others = {
        key: value
        for key, value in base["config"].items()
        if not key.startswith(PREFIX) and not _is_encrypted(value)
    }
    own = settings.model_dump(mode="json", exclude_none=True)
    provider = {key: base[key] for key in ("secretsprovider",) if key in base}
    engine = {key: value for key, value in kept.items() if key != "config"}
    return {
        **provider,
        **engine,
        "config": {**others, **{f"{PREFIX}{key}": value for key, value in own.items()}},
    }


def _is_encrypted(value: Any) -> bool:
    if isinstance(value, Mapping):
        return "secure" in value or any(map(_is_encrypted, value.values()))
    return isinstance(value, list) and any(map(_is_encrypted, value))


def _network(base: Settings, network: Mapping[str, Any], cidr: IPv4Network) -> dict[str, Any]:
    return {
        **network,
        "cidr": str(cidr),
        "zones": base.network.zones[:2],
        "nat": "single",
        # Each costs as much as the NAT gateway, which reaches the same.
        "interface_endpoints": [],
        "flow_log_retention_days": min(base.network.flow_log_retention_days, RETENTION_DAYS),
    }


def _service(service: ServiceSettings, settings: Mapping[str, Any]) -> dict[str, Any]:
    sticky = service.stickiness_seconds
    return {
        **settings,
        "count": {"minimum": 1, "maximum": 1},
        # These judge by what the base stack's users see.
        "checks": [],
        **({"stickiness_seconds": min(sticky, BAKE_SECONDS)} if sticky else {}),
    }


def _database(database: DatabaseSettings, settings: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **settings,
        "instance_class": INSTANCE_CLASS,
        "allocated_storage_gib": STORAGE_GIB,
        "max_allocated_storage_gib": MAX_STORAGE_GIB,
        "multi_az": False,
        "read_replicas": 0,
        "backup_retention_days": 1,
        "deletion_protection": False,
        "skip_final_snapshot": True,
        "performance_insights_retention_days": 7,
        "monitoring_interval_seconds": 60,
        "max_connections_alarm": min(database.max_connections_alarm, CONNECTIONS),
    }


def _monitoring(base: Settings, monitoring: Mapping[str, Any]) -> dict[str, Any]:
    alarms = base.monitoring.alarms
    return {
        "log_retention_days": min(base.monitoring.log_retention_days, RETENTION_DAYS),
        # Nobody is called for a review stack.
        "emails": [],
        "alarms": monitoring["alarms"] | {"free_storage_gib": min(alarms.free_storage_gib, FREE_STORAGE_GIB)},
    }


def _backups(backups: Mapping[str, Any]) -> dict[str, Any]:
    """Every vault has a lock. This one an administrator can lift; the other kind could never be destroyed."""
    return {
        "tiers": {
            name: {"schedule": tier["schedule"], "retention_days": 1}
            for name, tier in backups["tiers"].items()
        },
        "lock": {"min_retention_days": 1, "max_retention_days": RETENTION_DAYS},
    }


def _release(base: Settings) -> dict[str, Any]:
    """All at once, and past no gate that guards an environment with users."""
    return {
        "strategy": "all-at-once",
        "step_percent": 100,
        "every_seconds": 0,
        "bake_seconds": BAKE_SECONDS,
        "healthy_timeout_seconds": base.release.healthy_timeout_seconds,
        "bootstrap_image": base.release.bootstrap_image,
    }


def _waivers(base: Settings, expires: datetime) -> Iterator[dict[str, Any]]:
    """For what the smaller stack gives up, until it is gone; the day after, for a run over midnight."""
    last_day = (expires + timedelta(days=1)).date().isoformat()
    given_up = [(control, "network-vpc", "a NAT gateway reaches it for") for control in ENDPOINT_CONTROLS]
    given_up.append(("ELB.6", "edge-lb", "nothing is protected from its end in"))
    for name in base.databases:
        given_up += [
            (control, name, "only test data is lost with") for control in ("RDS.5", "RDS.8", "RDS.11")
        ]
    have = {(waiver.control, waiver.resource) for waiver in base.policy.waivers}
    for control, resource, reason in given_up:
        if (control, resource) not in have:
            yield {
                "control": control,
                "resource": resource,
                "expires": last_day,
                "reason": f"{reason} a review stack",
            }
