"""Which address and port each listener gets: the one it asks for, or another that is free."""

import socket
from collections.abc import Mapping
from dataclasses import dataclass

from localcloud.dataplane.balancers import Snapshot
from localcloud.dataplane.listeners import Binding

ONLY_LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class ListenerAddress:
    """Where a listener is reached.

    arn, load_balancer: ARNs.
    bound_as_asked: whether `url` is what the load balancer's DNS name and the listener's port say.
    """

    arn: str
    load_balancer: str
    url: str
    bound_as_asked: bool


def bind(snapshot: Snapshot, held: Mapping[str, Binding]) -> dict[str, Binding]:
    """A binding for each listener, by ARN. Those that are held already stay as long as they are asked for.

    A port below 1024 may be forbidden, another program may have it, and the address may be no one of ours.
    """
    asked = {
        listener.arn: Binding(address=balancer.address, port=listener.port)
        for balancer in snapshot.balancers
        for listener in balancer.listeners
    }
    ours = set(held.values())
    made: dict[str, Binding] = {}
    for arn, wanted in asked.items():
        kept = held.get(arn)
        if kept is not None and (kept == wanted or kept.asked == wanted):
            made[arn] = kept
        elif wanted not in made.values() and (wanted in ours or _is_free(wanted)):
            made[arn] = wanted
        else:
            made[arn] = _another(wanted)
    return made


def addresses(snapshot: Snapshot, bindings: Mapping[str, Binding]) -> list[ListenerAddress]:
    """Where every listener is reached, in the order of the load balancers."""
    found = []
    for balancer in snapshot.balancers:
        for listener in balancer.listeners:
            binding = bindings.get(listener.arn)
            if binding is None:
                continue
            scheme = "https" if listener.tls else "http"
            usual = 443 if listener.tls else 80
            port = "" if binding.port == usual else f":{binding.port}"
            found.append(
                ListenerAddress(
                    arn=listener.arn,
                    load_balancer=balancer.arn,
                    url=f"{scheme}://{binding.address}{port}",
                    bound_as_asked=(binding.address, binding.port) == (balancer.address, listener.port),
                )
            )
    return found


def _is_free(wanted: Binding) -> bool:
    with socket.socket() as probe:
        # As servers do: connections of an earlier one that still linger are no hindrance.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((wanted.address, wanted.port))
            probe.listen(1)
        except OSError:
            return False
    return True


def _another(wanted: Binding) -> Binding:
    for address in (wanted.address, ONLY_LOOPBACK):
        with socket.socket() as probe:
            try:
                probe.bind((address, 0))
            except OSError:
                continue
            return Binding(address=address, port=probe.getsockname()[1], asked=wanted)
    raise OSError(f"no port is free on {wanted.address} or {ONLY_LOOPBACK}")
