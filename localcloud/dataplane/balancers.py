"""The load balancers as moto's elbv2 has them, read into plain values that can be compared.

The only place that looks into moto's state. Nothing of it is changed here.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from moto.acm.models import acm_backends
from moto.elbv2.models import elbv2_backends

DEFAULT_IDLE_SECONDS = 60.0
DEFAULT_KEEP_ALIVE_SECONDS = 3600.0
DEFAULT_MATCHER = "200"


@dataclass(frozen=True, kw_only=True)
class Check:
    """How a target group asks its targets. `port` is None for the port that takes the traffic.

    codes: ranges of status codes that count as well, both ends included.
    """

    enabled: bool
    tls: bool
    path: str
    port: int | None
    interval_seconds: float
    timeout_seconds: float
    healthy_threshold: int
    unhealthy_threshold: int
    codes: tuple[tuple[int, int], ...]


@dataclass(frozen=True, kw_only=True, order=True)
class Target:
    """Where a target listens."""

    host: str
    port: int


@dataclass(frozen=True, kw_only=True)
class TargetGroup:
    """A target group with what is registered and what is leaving it."""

    arn: str
    account: str
    region: str
    check: Check
    deregistration_delay_seconds: float
    slow_start_seconds: float
    least_requests: bool
    targets: tuple[Target, ...]
    draining: tuple[Target, ...]

    @property
    def suffix(self) -> str:
        """The value of the metrics' dimension `TargetGroup`."""
        return self.arn.rsplit(":", 1)[1]


@dataclass(frozen=True, kw_only=True)
class Forward:
    """Target groups by ARN with their weights. `sticky_seconds` is None without stickiness."""

    groups: tuple[tuple[str, int], ...]
    sticky_seconds: int | None


@dataclass(frozen=True, kw_only=True)
class Redirect:
    """Parts of the new URL, with the placeholders that ELB knows."""

    protocol: str
    host: str
    port: str
    path: str
    query: str
    status: int


@dataclass(frozen=True, kw_only=True)
class Fixed:
    """An answer of the load balancer's own."""

    status: int
    content_type: str
    body: str


Action = Forward | Redirect | Fixed


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One condition; `name` is the header's for `http-header`, empty otherwise."""

    field: str
    name: str
    values: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A rule. `action` is None for what this load balancer can't do, such as asking for a login."""

    arn: str
    conditions: tuple[Condition, ...]
    action: Action | None


@dataclass(frozen=True, kw_only=True)
class Certificate:
    """PEM. The key never goes into a log."""

    chain: str
    key: str

    def __repr__(self) -> str:
        return "Certificate(...)"


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A listener. Rules are in the order in which they are tried, the default one last."""

    arn: str
    port: int
    tls: bool
    certificate: Certificate | None
    tls13_only: bool
    rules: tuple[Rule, ...]


@dataclass(frozen=True, kw_only=True)
class LoadBalancer:
    """An application load balancer. `address` is what its DNS name is."""

    arn: str
    account: str
    region: str
    address: str
    idle_seconds: float
    keep_alive_seconds: float
    drop_invalid_headers: bool
    forwarded_for: str
    http2: bool
    listeners: tuple[Listener, ...]

    @property
    def suffix(self) -> str:
        """The value of the metrics' dimension `LoadBalancer`."""
        return self.arn.rsplit(":loadbalancer/", 1)[1]


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """All load balancers and target groups of all accounts and regions."""

    balancers: tuple[LoadBalancer, ...] = ()
    groups: tuple[TargetGroup, ...] = ()

    def users(self) -> Mapping[str, LoadBalancer]:
        """The load balancer that forwards to a target group, by the group's ARN."""
        return {
            group: balancer
            for balancer in self.balancers
            for listener in balancer.listeners
            for rule in listener.rules
            if isinstance(rule.action, Forward)
            for group, _ in rule.action.groups
        }


def read() -> Snapshot:
    """What moto has at this moment."""
    balancers: list[LoadBalancer] = []
    groups: list[TargetGroup] = []
    for account, region, backend in _backends():
        # Copies: calls of the API change these while we look.
        balancers += [
            _balancer(account, region, found)
            for found in list(backend.load_balancers.values())
            if found.type == "application"
        ]
        groups += [
            _group(account, region, found)
            for found in list(backend.target_groups.values())
            if found.protocol in ("HTTP", "HTTPS")
        ]
    return Snapshot(balancers=tuple(balancers), groups=tuple(groups))


def moto_group(account: str, region: str, arn: str) -> Any:
    """Moto's own target group, or None where it is gone."""
    return elbv2_backends[account][region].target_groups.get(arn)


def _backends() -> Iterator[tuple[str, str, Any]]:
    for account, regions in list(elbv2_backends.items()):
        for region, backend in list(regions.items()):
            yield account, region, backend


def _balancer(account: str, region: str, found: Any) -> LoadBalancer:
    attributes = found.attrs
    return LoadBalancer(
        arn=found.arn,
        account=account,
        region=region,
        address=found.dns_name,
        idle_seconds=float(attributes.get("idle_timeout.timeout_seconds") or DEFAULT_IDLE_SECONDS),
        keep_alive_seconds=float(attributes.get("client_keep_alive.seconds") or DEFAULT_KEEP_ALIVE_SECONDS),
        drop_invalid_headers=_true(attributes.get("routing.http.drop_invalid_header_fields.enabled")),
        forwarded_for=attributes.get("routing.http.xff_header_processing.mode") or "append",
        http2=_true(attributes.get("routing.http2.enabled", "true")),
        listeners=tuple(
            _listener(account, region, listener)
            for listener in list(found.listeners.values())
            if listener.protocol in ("HTTP", "HTTPS")
        ),
    )


def _listener(account: str, region: str, found: Any) -> Listener:
    ordered = sorted(
        list(found._non_default_rules.values()) + list(found._default_rule.values()),
        key=lambda rule: float("inf") if rule.priority == "default" else int(rule.priority),
    )
    tls = found.protocol == "HTTPS"
    return Listener(
        arn=found.arn,
        port=int(found.port),
        tls=tls,
        certificate=_certificate(account, region, found.certificate) if tls else None,
        tls13_only="TLS13-1-3" in (found.ssl_policy or ""),
        rules=tuple(
            Rule(
                arn=rule.arn,
                conditions=tuple(_condition(condition) for condition in rule.conditions),
                action=_action([action.data for action in rule.actions]),
            )
            for rule in ordered
        ),
    )


def _certificate(account: str, region: str, arn: str | None) -> Certificate | None:
    held = acm_backends[account][region]._certificates.get(arn or "")
    if held is None:
        return None
    return Certificate(chain=_pem(held.cert), key=_pem(held.key))


def _pem(given: bytes | str) -> str:
    return given.decode() if isinstance(given, bytes) else given


def _condition(found: Mapping[str, Any]) -> Condition:
    field = found["Field"]
    key = {
        "host-header": "HostHeaderConfig",
        "path-pattern": "PathPatternConfig",
        "http-header": "HttpHeaderConfig",
        "http-request-method": "HttpRequestMethodConfig",
    }.get(field, "")
    config = found.get(key) or {}
    values = config.get("Values") or found.get("Values") or ()
    return Condition(field=field, name=config.get("HttpHeaderName", ""), values=tuple(values))


def _action(found: Sequence[Mapping[str, Any]]) -> Action | None:
    last = found[-1] if len(found) == 1 else {}
    if last.get("Type") == "forward":
        return _forward(last)
    if last.get("Type") == "redirect":
        config = last["RedirectConfig"]
        return Redirect(
            protocol=config.get("Protocol") or "#{protocol}",
            host=config.get("Host") or "#{host}",
            port=str(config.get("Port") or "#{port}"),
            path=config.get("Path") or "/#{path}",
            query=config.get("Query", "#{query}"),
            status=int(config["StatusCode"].removeprefix("HTTP_")),
        )
    if last.get("Type") == "fixed-response":
        config = last["FixedResponseConfig"]
        return Fixed(
            status=int(config["StatusCode"]),
            content_type=config.get("ContentType") or "text/plain",
            body=config.get("MessageBody") or "",
        )
    return None


def _forward(found: Mapping[str, Any]) -> Forward:
    config = found.get("ForwardConfig") or {}
    groups = [
        (group["TargetGroupArn"], int(group.get("Weight", 1))) for group in config.get("TargetGroups", [])
    ]
    if not groups:
        groups = [(found["TargetGroupArn"], 1)]
    sticky = config.get("TargetGroupStickinessConfig") or {}
    return Forward(
        groups=tuple(groups),
        sticky_seconds=int(sticky["DurationSeconds"]) if _true(sticky.get("Enabled")) else None,
    )


def _group(account: str, region: str, found: Any) -> TargetGroup:
    attributes = found.attributes
    return TargetGroup(
        arn=found.arn,
        account=account,
        region=region,
        check=_check(found),
        deregistration_delay_seconds=float(attributes["deregistration_delay.timeout_seconds"]),
        slow_start_seconds=float(attributes.get("slow_start.duration_seconds") or 0),
        least_requests=attributes.get("load_balancing.algorithm.type") == "least_outstanding_requests",
        targets=tuple(_target(entry) for entry in list(found.targets.values())),
        draining=tuple(_target(entry) for entry in list(getattr(found, "draining", {}).values())),
    )


def _check(found: Any) -> Check:
    port = str(found.health_check_port or "traffic-port")
    return Check(
        enabled=found.health_check_enabled,
        tls=found.health_check_protocol == "HTTPS",
        path=found.health_check_path or "/",
        port=int(port) if port.isdigit() else None,
        interval_seconds=float(found.health_check_interval_seconds),
        timeout_seconds=float(found.health_check_timeout_seconds),
        healthy_threshold=int(found.healthy_threshold_count),
        unhealthy_threshold=int(found.unhealthy_threshold_count),
        codes=code_ranges(getattr(found, "matcher", {}).get("HttpCode") or DEFAULT_MATCHER),
    )


def code_ranges(matcher: str) -> tuple[tuple[int, int], ...]:
    """`200,301-302` as ranges with both ends included."""
    found = []
    for part in re.split(r"\s*,\s*", matcher.strip()):
        first, _, last = part.partition("-")
        found.append((int(first), int(last or first)))
    return tuple(found)


def _target(entry: Mapping[str, Any]) -> Target:
    return Target(host=entry["Id"], port=int(entry["Port"]))


def _true(value: Any) -> bool:
    return str(value).lower() == "true"
