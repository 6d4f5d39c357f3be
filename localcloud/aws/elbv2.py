"""ELBv2: several targets of one address, health that is looked at, draining, an address for a DNS name.

What decides about health and draining is the data plane (localcloud/dataplane). It tells by `watched`, and
writes to each target group: `health`, by target, and `draining`, from which it takes what is done. Without it
targets are healthy and leave at once, as moto has it.
"""

import hashlib
import socket
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from moto.elbv2.exceptions import InvalidTargetError, TargetGroupNotFoundError, TargetNotRunning
from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeTargetGroup, elbv2_backends

from localcloud.paths import WORKSPACE

Json = dict[str, Any]

# All of 127.0.0.0/8 is this machine's own on Linux; other systems have 127.0.0.1 alone.
NETWORK = "127.77"
ONLY_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Health:
    """What DescribeTargetHealth says of a target; reason and description are None for a healthy one."""

    state: str
    reason: str | None = None
    description: str | None = None


REGISTERING = Health(
    state="initial", reason="Elb.RegistrationInProgress", description="Target registration is in progress"
)
DRAINING = Health(
    state="draining",
    reason="Target.DeregistrationInProgress",
    description="Target deregistration is in progress",
)
NOT_REGISTERED = Health(
    state="unused",
    reason="Target.NotRegistered",
    description="Target is not registered to the target group",
)


class _Watch:
    """Whether a data plane looks after the targets of this process."""

    alive = False


def watched(alive: bool) -> None:
    """Tells that a data plane has begun to look after the targets, or has ended."""
    _Watch.alive = alive


@cache
def add() -> None:
    """Adds it all to moto, once however often it is called. To be called before a load balancer is made."""
    of_groups: list[Callable[..., Any]] = [register, deregister, deregister_terminated_instances, health_for]
    for method in of_groups:
        setattr(FakeTargetGroup, method.__name__, method)
    for method in (describe_target_health, with_address(ELBv2Backend.create_load_balancer)):
        setattr(ELBv2Backend, method.__name__, method)


def key(target: Mapping[str, Any], group: Any) -> str:
    """What moto keeps a target under; its own keys are the ids alone, so one address has one target."""
    return f"{target['Id']}:{target.get('Port') or group.port}"


def register(self: Any, targets: Sequence[Json]) -> None:
    """FakeTargetGroup.register, for targets that differ in their port alone."""
    for target in targets:
        instance = self.ec2_backend.get_instance_by_id(target["Id"])
        if instance and instance.state != "running":
            raise TargetNotRunning(instance_id=target["Id"])
        name = key(target, self)
        known = name in self.targets
        self.targets[name] = {"Id": target["Id"], "Port": target.get("Port") or self.port}
        self.deregistered_targets.pop(name, None)
        _draining(self).pop(name, None)
        if not known:
            _health(self).pop(name, None)


def deregister(self: Any, targets: Sequence[Json]) -> None:
    """FakeTargetGroup.deregister. A target without a port means all of that id, as moto has it."""
    for target in targets:
        found = list(_registered(self, target))
        if not found and not any(_same(target, entry) for entry in _draining(self).values()):
            raise InvalidTargetError
        for name in found:
            entry = self.targets.pop(name)
            self.deregistered_targets[name] = entry
            if _Watch.alive:
                _draining(self)[name] = entry


def deregister_terminated_instances(self: Any, instance_ids: Sequence[str]) -> None:
    """FakeTargetGroup.deregister_terminated_instances."""
    for instance in instance_ids:
        for name in list(_registered(self, {"Id": instance})):
            self.terminated_targets[instance] = self.targets.pop(name)


def describe_target_health(
    self: Any, target_group_arn: str, targets: Sequence[Json]
) -> list[FakeHealthStatus]:
    """ELBv2Backend.describe_target_health; the draining ones are among them, as AWS has it."""
    group = self.target_groups.get(target_group_arn)
    if group is None:
        raise TargetGroupNotFoundError
    asked = targets or [*list(group.targets.values()), *list(_draining(group).values())]
    return [group.health_for(target, self.ec2_backend) for target in asked]


def health_for(self: Any, target: Json, ec2_backend: Any) -> FakeHealthStatus:
    """FakeTargetGroup.health_for."""
    entry = next((self.targets[name] for name in _registered(self, target)), None)
    leaving = next((found for found in list(_draining(self).values()) if _same(target, found)), None)
    if entry is not None:
        health = _registered_health(self, entry, ec2_backend)
    elif leaving is not None or target["Id"] in self.terminated_targets:
        health = DRAINING
    else:
        health = NOT_REGISTERED
    port = (entry or leaving or target).get("Port") or self.port
    return FakeHealthStatus(
        target["Id"], port, self.health_check_port, health.state, health.reason, health.description
    )


def _registered_health(group: Any, entry: Json, ec2_backend: Any) -> Health:
    if entry["Id"].startswith("i-"):
        instance = ec2_backend.get_instance_by_id(entry["Id"])
        if instance and instance.state == "stopped":
            return Health(
                state="unused",
                reason="Target.InvalidState",
                description="Target is in the stopped state",
            )
    if not _Watch.alive:
        return Health(state="healthy")
    known: Health = _health(group).get(key(entry, group), REGISTERING)
    return known


def set_health(group: Any, health: Mapping[str, Health], drained: Collection[str]) -> None:
    """Writes what the data plane found, by target's key, and lets go what has drained."""
    vars(group)["health"] = dict(health)
    for name in drained:
        _draining(group).pop(name, None)


def _health(group: Any) -> dict[str, Health]:
    found: dict[str, Health] = vars(group).setdefault("health", {})
    return found


def _draining(group: Any) -> dict[str, Json]:
    found: dict[str, Json] = vars(group).setdefault("draining", {})
    return found


def _registered(group: Any, target: Json) -> Iterator[str]:
    return (name for name, entry in list(group.targets.items()) if _same(target, entry))


def _same(asked: Json, entry: Json) -> bool:
    port = asked.get("Port")
    return bool(asked["Id"] == entry["Id"] and (not port or int(port) == int(entry["Port"])))


def with_address(create: Callable[..., Any]) -> Callable[..., Any]:
    """ELBv2Backend.create_load_balancer; its DNS name is an address of this machine, which needs no DNS."""

    def create_load_balancer(self: Any, name: str, *args: Any, **kwargs: Any) -> Any:
        made = create(self, name, *args, **kwargs)
        taken = {
            balancer.dns_name
            for regions in list(elbv2_backends.values())
            for backend in list(regions.values())
            for balancer in list(backend.load_balancers.values())
            if balancer is not made
        }
        made.dns_name = address_of(f"{WORKSPACE}/{self.account_id}/{self.region_name}/{name}", taken)
        if not _is_ours(made.dns_name):
            made.dns_name = ONLY_LOOPBACK
        return made

    return create_load_balancer


def address_of(identity: str, taken: Collection[str]) -> str:
    """A loopback address for a load balancer: the same for the same identity, unless another one has it."""
    start = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:4], "big")
    hosts = 256 * 254
    for step in range(hosts):
        third, fourth = divmod((start + step) % hosts, 254)
        address = f"{NETWORK}.{third}.{fourth + 1}"
        if address not in taken:
            return address
    raise RuntimeError(f"all {hosts} addresses of {NETWORK}.0.0/16 are taken by load balancers; delete some")


def _is_ours(address: str) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True
