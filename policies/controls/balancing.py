"""Load balancers: ELB.*. The Elastic Load Balancing page of AWS Security Hub is the source of every rule."""

from policies.model import UNKNOWN, Control, Resource, Severity, given, is_true, items, one_of, value

BALANCER = "aws:lb/loadBalancer:LoadBalancer"
LISTENER = "aws:lb/listener:Listener"

# ELB.17: the policies that AWS recommends there.
RECOMMENDED_TLS = (
    "ELBSecurityPolicy-TLS13-1-2-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-3-2021-06",
    "ELBSecurityPolicy-TLS13-1-3-FIPS-2023-04",
    "ELBSecurityPolicy-TLS13-1-2-Res-2021-06",
    "ELBSecurityPolicy-TLS13-1-2-Res-FIPS-2023-04",
)
TWO_ZONES = 2


def _is_application(balancer: Resource) -> bool:
    return value(balancer.properties, "loadBalancerType") in (None, "application", UNKNOWN)


def http_only_redirects(listener: Resource) -> str | None:
    if value(listener.properties, "protocol") != "HTTP":
        return None
    actions = items(listener.properties, "defaultActions")
    if actions and all(
        value(action, "type") == "redirect" and one_of(action, "redirect.protocol", ["HTTPS"])
        for action in actions
    ):
        return None
    return "it answers plain HTTP with something else than a redirect to HTTPS"


def drops_invalid_headers(balancer: Resource) -> str | None:
    if _is_application(balancer) and not is_true(balancer.properties, "dropInvalidHeaderFields"):
        return "it passes invalid HTTP headers on"
    return None


def logs_access(balancer: Resource) -> str | None:
    return None if is_true(balancer.properties, "accessLogs.enabled") else "it logs no requests"


def refuses_deletion(balancer: Resource) -> str | None:
    return None if is_true(balancer.properties, "enableDeletionProtection") else "anybody may delete it"


def defends_against_desync(balancer: Resource) -> str | None:
    # AWS's own default is defensive.
    if _is_application(balancer) and not one_of(
        balancer.properties, "desyncMitigationMode", [None, "defensive", "strictest"]
    ):
        return "its desync mitigation mode is neither defensive nor strictest"
    return None


def is_in_two_zones(balancer: Resource) -> str | None:
    # Two subnets of a load balancer are never in the same zone: AWS refuses that.
    for key in ("subnets", "subnetMappings"):
        if value(balancer.properties, key) is UNKNOWN or len(items(balancer.properties, key)) >= TWO_ZONES:
            return None
    return "it is in one zone only"


def takes_good_tls(listener: Resource) -> str | None:
    if value(listener.properties, "protocol") not in ("HTTPS", "TLS"):
        return None
    if one_of(listener.properties, "sslPolicy", RECOMMENDED_TLS):
        return None
    found = value(listener.properties, "sslPolicy") or "AWS's default"
    return f"its TLS policy is {found}"


def is_encrypted(listener: Resource) -> str | None:
    if one_of(listener.properties, "protocol", ["HTTPS", "TLS"]):
        return None
    if not given(listener.properties, "protocol"):
        return "it has no protocol"
    return f"its protocol is {value(listener.properties, 'protocol')}, which is not encrypted"


CONTROLS = (
    Control(
        id="ELB.1",
        title="Plain HTTP is redirected to HTTPS",
        severity=Severity.MEDIUM,
        remedy="set edge.protocol to https, or make the listener's default action a redirect to HTTPS",
        types=(LISTENER,),
        check=http_only_redirects,
    ),
    Control(
        id="ELB.4",
        title="Application load balancers drop invalid HTTP headers",
        severity=Severity.MEDIUM,
        remedy="set dropInvalidHeaderFields to true",
        types=(BALANCER,),
        check=drops_invalid_headers,
    ),
    Control(
        id="ELB.5",
        title="Load balancers log requests",
        severity=Severity.MEDIUM,
        remedy="set accessLogs with a bucket and enabled: true",
        types=(BALANCER,),
        check=logs_access,
    ),
    Control(
        id="ELB.6",
        title="Load balancers refuse to be deleted",
        severity=Severity.MEDIUM,
        remedy="set edge.deletion_protection to true",
        types=(BALANCER,),
        check=refuses_deletion,
    ),
    Control(
        id="ELB.12",
        title="Application load balancers defend against HTTP desync",
        severity=Severity.MEDIUM,
        remedy="set desyncMitigationMode to defensive or strictest",
        types=(BALANCER,),
        check=defends_against_desync,
    ),
    Control(
        id="ELB.13",
        title="Load balancers are in two zones or more",
        severity=Severity.MEDIUM,
        remedy="give the load balancer subnets in two zones",
        types=(BALANCER,),
        check=is_in_two_zones,
    ),
    Control(
        id="ELB.17",
        title="Listeners take none but the TLS policies that AWS recommends",
        severity=Severity.MEDIUM,
        remedy=f"set sslPolicy to {RECOMMENDED_TLS[0]}",
        types=(LISTENER,),
        check=takes_good_tls,
    ),
    Control(
        id="ELB.18",
        title="Listeners are encrypted",
        severity=Severity.MEDIUM,
        remedy="set edge.protocol to https; a listener that only redirects needs a waiver",
        types=(LISTENER,),
        check=is_encrypted,
    ),
)
