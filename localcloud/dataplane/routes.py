"""Listener rules as Envoy routes: pure.

Rules of matching are those of Elastic Load Balancing ("Listener rules for your Application Load Balancer"):
`*` is any number of characters and `?` exactly one; hosts and header values don't care about case, paths do
and never see the query.
"""

import hashlib
from typing import Any

from localcloud.dataplane.balancers import Condition, Fixed, Forward, Listener, LoadBalancer, Redirect, Rule

Json = dict[str, Any]

LUA = "envoy.filters.http.lua"
# Set by the Lua filter for a client that has a valid cookie, and by a route for the choice that it made.
CHOSEN = "x-switchyard-group"
COOKIE = "AWSALBTG"
SERVER = "awselb/2.0"
UNDERSTOOD = ("host-header", "path-pattern", "http-header", "http-request-method")


def routes(balancer: LoadBalancer, listener: Listener) -> list[Json]:
    """The routes of a listener, in the order in which Envoy tries them."""
    made: list[Json] = []
    for rule in listener.rules:
        match = _match(rule)
        if match is not None:
            made += _of_rule(balancer, listener, rule, match)
    return made


def not_understood(listener: Listener) -> list[str]:
    """What of the rules this load balancer can't do, one sentence each; such a rule matches nothing."""
    found = []
    for rule in listener.rules:
        fields = [condition.field for condition in rule.conditions if condition.field not in UNDERSTOOD]
        if fields:
            found.append(
                f"{rule.arn} has a condition on {', '.join(fields)}; here are {', '.join(UNDERSTOOD)}"
            )
        if rule.action is None:
            found.append(f"{rule.arn} has an action other than one forward, redirect or fixed-response")
    return found


def token(arn: str) -> str:
    """A short name of a target group for cookies and headers, which shows nothing of the account."""
    return hashlib.sha256(arn.encode()).hexdigest()[:12]


def wildcard(pattern: str) -> str:
    """An ELB pattern as an RE2 expression for the whole value."""
    return "".join(_character(character) for character in pattern)


def _character(character: str) -> str:
    if character == "*":
        return ".*"
    if character == "?":
        return "."
    plain = character.isalnum() or not character.isascii() or character in " _"
    return character if plain else "\\" + character


def _match(rule: Rule) -> Json | None:
    """None for a rule that can't be followed: it must not swallow what others would match."""
    if rule.action is None or any(condition.field not in UNDERSTOOD for condition in rule.conditions):
        return None
    paths = [condition for condition in rule.conditions if condition.field == "path-pattern"]
    # One regular expression can't be the intersection of two, but ELB takes one path condition per rule.
    match: Json = {"safe_regex": {"regex": _any(paths[0])}} if paths else {"prefix": "/"}
    headers = [_header(condition) for condition in rule.conditions if condition.field != "path-pattern"]
    return {**match, "headers": headers} if headers else match


def _header(condition: Condition) -> Json:
    if condition.field == "host-header":
        # ELB compares the name alone, whatever port the client wrote behind it.
        return _header_matches(":authority", f"(?i){_any(condition)}(:[0-9]+)?")
    if condition.field == "http-request-method":
        return _header_matches(":method", _any(condition))
    return _header_matches(condition.name, f"(?i){_any(condition)}")


def _header_matches(name: str, regex: str) -> Json:
    return {"name": name, "string_match": {"safe_regex": {"regex": regex}}}


def _any(condition: Condition) -> str:
    return "(" + "|".join(wildcard(value) for value in condition.values) + ")"


def _of_rule(balancer: LoadBalancer, listener: Listener, rule: Rule, match: Json) -> list[Json]:
    action = rule.action
    settings: Json = {"drop_invalid": True} if balancer.drop_invalid_headers else {}
    if isinstance(action, Forward):
        return _forward(balancer, rule, action, match, settings)
    if isinstance(action, Redirect):
        return [
            _route(match, settings | {"redirect": _redirect(listener, action)}, _answer(action.status, ""))
        ]
    assert isinstance(action, Fixed)  # noqa: S101 - the only one left
    route = _route(match, settings, _answer(action.status, action.body))
    route["response_headers_to_add"] = [_set("content-type", action.content_type), _set("server", SERVER)]
    return [route]


def _redirect(listener: Listener, action: Redirect) -> Json:
    return {
        "scheme": "https" if listener.tls else "http",
        "own_port": str(listener.port),
        "protocol": action.protocol,
        "host": action.host,
        "port": action.port,
        "path": action.path,
        "query": action.query,
        "status": str(action.status),
    }


def _forward(balancer: LoadBalancer, rule: Rule, action: Forward, match: Json, settings: Json) -> list[Json]:
    made = []
    if action.sticky_seconds is not None:
        settings = settings | {
            "sticky": {
                # One for each rule: two services of one host must not overwrite each other's choice.
                "cookie": f"{COOKIE}-{token(rule.arn)}",
                "seconds": action.sticky_seconds,
                "groups": {token(group): True for group, _ in action.groups},
            }
        }
        for group, _ in action.groups:
            chosen = {"name": CHOSEN, "string_match": {"exact": token(group)}}
            remembered = {**match, "headers": [*match.get("headers", []), chosen]}
            made.append(_route(remembered, settings, _to({"cluster": group}, balancer)))
    sticky = action.sticky_seconds is not None
    weighted = [_weighted(group, weight, tell=sticky) for group, weight in action.groups if weight > 0]
    if weighted:
        made.append(_route(match, settings, _to({"weighted_clusters": {"clusters": weighted}}, balancer)))
    else:
        route = _route(match, settings, _answer(503, page(503)))
        route["response_headers_to_add"] = [_set("content-type", "text/html"), _set("server", SERVER)]
        made.append(route)
    return made


def _weighted(group: str, weight: int, *, tell: bool) -> Json:
    """A cluster with its weight; `tell` lets the Lua filter know that it was chosen."""
    told = {"response_headers_to_add": [_set(CHOSEN, token(group))]} if tell else {}
    return {"name": group, "weight": weight, **told}


def _to(where: Json, balancer: LoadBalancer) -> Json:
    # An ALB has no limit for the whole answer, only for silence.
    return {"route": {**where, "timeout": "0s", "idle_timeout": f"{balancer.idle_seconds:g}s"}}


def _answer(status: int, body: str) -> Json:
    answer: Json = {"status": status}
    if body:
        answer["body"] = {"inline_string": body}
    return {"direct_response": answer}


def _route(match: Json, settings: Json, action: Json) -> Json:
    known = {"metadata": {"filter_metadata": {LUA: {"settings": settings}}}} if settings else {}
    return {"match": match, **known, **action}


def _set(name: str, value: str) -> Json:
    return {"header": {"key": name, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}


def page(status: int) -> str:
    """The text that an ALB sends with an error of its own."""
    title = (
        f"{status} "
        + {502: "Bad Gateway", 503: "Service Temporarily Unavailable", 504: "Gateway Time-out"}[status]
    )
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n"
        f"<center><h1>{title}</h1></center>\r\n</body>\r\n</html>\r\n"
    )
