"""Load balancers and target groups as Envoy's configuration: pure.

`render` gives the files that Envoy watches, by name. Weights are in the route files and targets in the
endpoint files, so that a change of either touches no listener and no connection.
"""

import ipaddress
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from localcloud.dataplane.balancers import Certificate, Listener, LoadBalancer, Snapshot, Target, TargetGroup
from localcloud.dataplane.routes import CHOSEN, LUA, SERVER, page, routes, token

Json = dict[str, Any]

TYPES = "type.googleapis.com/envoy."
# What a file of endpoints, or of routes, begins with.
ENDPOINTS, ROUTES = "eds-", "rds-"
CLUSTERS = "cds.json"
LISTENERS = "lds.json"
# ALB: a connection to a target must stand after this time.
CONNECT_SECONDS = 10
# Shorter than any common server keeps an idle connection (uvicorn: 5 s): a request never meets one that the
# target closes at that moment.
KEEP_IDLE_TARGET_SECONDS = 4
# The limits of a proxy in a fleet; an ALB shows none of this size.
MANY = 65_536
DRAIN_SECONDS = 60
# Behind the balancer's ARN: target group, target, status, who answered, and the microseconds until the target
# began to answer. ELB's response time begins when the request has been sent.
LOG_LINE = "\t".join(
    (
        "%UPSTREAM_CLUSTER_RAW%",
        "%UPSTREAM_HOST%",
        "%RESPONSE_CODE%",
        "%RESPONSE_CODE_DETAILS%",
        "%COMMON_DURATION(US_TX_END:US_RX_BEG:us)%\n",
    )
)
# What Envoy tells its own kind, and what only the filter and the routes say to each other.
INTERNAL_HEADERS = ["x-envoy-internal", "x-envoy-external-address", "x-envoy-expected-rq-timeout-ms", CHOSEN]


@dataclass(frozen=True, kw_only=True)
class Binding:
    """Where a listener really listens; `asked` is what it could not have, None where it has it."""

    address: str
    port: int
    asked: "Binding | None" = None


# HEALTHY, UNHEALTHY or DRAINING, as Envoy spells them, by target; a target without one gets no traffic.
Standing = Mapping[Target, str]


def render(
    snapshot: Snapshot,
    standing: Mapping[str, Standing],
    bindings: Mapping[str, Binding],
    directory: Path,
    kept: Collection[str] = (),
) -> dict[str, str]:
    """The text of every file, by its name in `directory`.

    standing: by target group's ARN.
    bindings: by listener's ARN; a listener without one is left out.
    kept: ARNs of target groups that no rule forwards to any more, but requests may still be on their way to.
    """
    used = snapshot.users()
    groups = [group for group in snapshot.groups if group.arn in used or group.arn in kept]
    files = {
        _endpoints_file(group.arn): _file([_endpoints(group, standing.get(group.arn, {}))])
        for group in groups
    }
    files[CLUSTERS] = _file([_cluster(group, directory) for group in groups])
    listeners = []
    for balancer in snapshot.balancers:
        for listener in balancer.listeners:
            if listener.arn not in bindings or (listener.tls and listener.certificate is None):
                continue
            files[_routes_file(listener.arn)] = _file([_route_configuration(balancer, listener)])
            listeners.append(_listener(balancer, listener, bindings[listener.arn], directory))
    files[LISTENERS] = _file(listeners)
    return files


def bootstrap(directory: Path, admin: Path) -> str:
    """What Envoy starts with: everything else is in files of `directory`."""
    return json.dumps(
        {
            "node": {"id": "switchyard", "cluster": "switchyard"},
            "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
            "dynamic_resources": {
                "lds_config": _from(directory / LISTENERS),
                "cds_config": _from(directory / CLUSTERS),
            },
        }
    )


def _file(found: Sequence[Json]) -> str:
    return json.dumps({"resources": found}, sort_keys=True)


def _from(path: Path) -> Json:
    return {"resource_api_version": "V3", "path_config_source": {"path": str(path)}}


def _typed(message: str, /, **fields: Any) -> Json:
    return {"@type": TYPES + message, **fields}


def _endpoints_file(group: str) -> str:
    return f"{ENDPOINTS}{token(group)}.json"


def _routes_file(listener: str) -> str:
    return f"{ROUTES}{token(listener)}.json"


def _endpoints(group: TargetGroup, standing: Standing) -> Json:
    endpoints = [
        {
            "endpoint": {
                "address": {"socket_address": {"address": target.host, "port_value": target.port}},
            },
            "health_status": standing[target],
        }
        for target in sorted(standing)
        if _is_address(target.host)
    ]
    return _typed(
        "config.endpoint.v3.ClusterLoadAssignment",
        cluster_name=group.arn,
        endpoints=[{"lb_endpoints": endpoints}] if endpoints else [],
    )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _cluster(group: TargetGroup, directory: Path) -> Json:
    policy = "LEAST_REQUEST" if group.least_requests else "ROUND_ROBIN"
    made = _typed(
        "config.cluster.v3.Cluster",
        name=group.arn,
        type="EDS",
        eds_cluster_config={"eds_config": _from(directory / _endpoints_file(group.arn))},
        connect_timeout=f"{CONNECT_SECONDS}s",
        lb_policy=policy,
        # An unhealthy target gets no traffic, even if there is no other.
        common_lb_config={"healthy_panic_threshold": {"value": 0}},
        circuit_breakers={
            "thresholds": [
                {
                    "max_connections": MANY,
                    "max_pending_requests": MANY,
                    "max_requests": MANY,
                    "max_retries": 0,
                }
            ]
        },
        typed_extension_protocol_options={
            TYPES.removeprefix("type.googleapis.com/")
            + "extensions.upstreams.http.v3.HttpProtocolOptions": _typed(
                "extensions.upstreams.http.v3.HttpProtocolOptions",
                common_http_protocol_options={"idle_timeout": f"{KEEP_IDLE_TARGET_SECONDS}s"},
                explicit_http_config={"http_protocol_options": _spelling()},
            )
        },
    )
    if group.slow_start_seconds:
        made[f"{policy.lower()}_lb_config"] = {
            "slow_start_config": {"slow_start_window": f"{group.slow_start_seconds:g}s"}
        }
    return made


def _route_configuration(balancer: LoadBalancer, listener: Listener) -> Json:
    removed = INTERNAL_HEADERS + (["x-forwarded-for"] if balancer.forwarded_for == "remove" else [])
    return _typed(
        "config.route.v3.RouteConfiguration",
        name=listener.arn,
        virtual_hosts=[{"name": "all", "domains": ["*"], "routes": routes(balancer, listener)}],
        request_headers_to_add=[
            {
                "header": {"key": "x-forwarded-port", "value": str(listener.port)},
                "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
            }
        ],
        request_headers_to_remove=removed,
    )


def _listener(balancer: LoadBalancer, listener: Listener, binding: Binding, directory: Path) -> Json:
    chain: Json = {
        "filters": [
            {
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": _connection_manager(balancer, listener, directory),
            }
        ]
    }
    if listener.certificate is not None:
        chain["transport_socket"] = _tls(balancer, listener, listener.certificate)
    return _typed(
        "config.listener.v3.Listener",
        name=listener.arn,
        address={"socket_address": {"address": binding.address, "port_value": binding.port}},
        # Two clouds must not share a port without knowing it.
        enable_reuse_port=False,
        filter_chains=[chain],
    )


def _tls(balancer: LoadBalancer, listener: Listener, certificate: Certificate) -> Json:
    protocols = ["h2", "http/1.1"] if balancer.http2 else ["http/1.1"]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": _typed(
            "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            common_tls_context={
                "alpn_protocols": protocols,
                "tls_params": {
                    "tls_minimum_protocol_version": "TLSv1_3" if listener.tls13_only else "TLSv1_2",
                    "tls_maximum_protocol_version": "TLSv1_3",
                },
                "tls_certificates": [
                    {
                        "certificate_chain": {"inline_string": certificate.chain},
                        "private_key": {"inline_string": certificate.key},
                    }
                ],
            },
        ),
    }


def _connection_manager(balancer: LoadBalancer, listener: Listener, directory: Path) -> Json:
    return _typed(
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=token(listener.arn),
        codec_type="AUTO",
        rds={
            "route_config_name": listener.arn,
            "config_source": _from(directory / _routes_file(listener.arn)),
        },
        # Adds the client to X-Forwarded-For and sets X-Forwarded-Proto.
        use_remote_address=True,
        skip_xff_append=balancer.forwarded_for != "append",
        generate_request_id=False,
        server_header_transformation="PASS_THROUGH",
        stream_idle_timeout=f"{balancer.idle_seconds:g}s",
        common_http_protocol_options={
            "idle_timeout": f"{balancer.idle_seconds:g}s",
            "max_connection_duration": f"{balancer.keep_alive_seconds:g}s",
        },
        http_protocol_options=_spelling(),
        upgrade_configs=[{"upgrade_type": "websocket"}],
        local_reply_config={"mappers": _error_pages()},
        http_filters=[
            {
                "name": LUA,
                "typed_config": _typed(
                    "extensions.filters.http.lua.v3.Lua", default_source_code={"inline_string": _lua()}
                ),
            },
            {
                "name": "envoy.filters.http.router",
                "typed_config": _typed(
                    "extensions.filters.http.router.v3.Router", suppress_envoy_headers=True
                ),
            },
        ],
        access_log=[
            {
                "name": "envoy.access_loggers.stdout",
                "typed_config": _typed(
                    "extensions.access_loggers.stream.v3.StdoutAccessLog",
                    log_format={"text_format_source": {"inline_string": f"{balancer.arn}\t{LOG_LINE}"}},
                ),
            }
        ],
    )


def _spelling() -> Json:
    """HTTP/1 with header names as they were written; Envoy would make them small."""
    formatter = _typed("extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig")
    return {"header_key_format": {"stateful_formatter": {"name": "preserve_case", "typed_config": formatter}}}


def _lua() -> str:
    return resources.files("localcloud.dataplane").joinpath("requests.lua").read_text()


def _error_pages() -> list[Json]:
    """The statuses of an ALB for what Envoy knows by its own flags.

    Source: "Troubleshoot your Application Load Balancers": 502 for a refused or reset connection and for an
    answer that is no HTTP, 503 without a target that may be asked, 504 for one that is silent too long.
    """
    refused = ["UF", "UC", "UR", "UPE"]
    return [
        _error_page({"response_flag_filter": {"flags": refused}}, 502),
        _error_page({"response_flag_filter": {"flags": ["UH", "NC", "UO"]}}, 503),
        _error_page({"response_flag_filter": {"flags": ["UT", "SI"]}}, 504),
    ]


def _error_page(when: Json, status: int) -> Json:
    return {
        "filter": when,
        "status_code": status,
        "body_format_override": {
            "text_format_source": {"inline_string": page(status)},
            "content_type": "text/html",
        },
        "headers_to_add": [
            {"header": {"key": "server", "value": SERVER}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}
        ],
    }
