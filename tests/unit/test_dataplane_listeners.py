"""Load balancers of moto as Envoy's configuration: what is matched and written, without a process."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from localcloud.aws import elbv2
from localcloud.aws.acm import hold_certificate
from localcloud.dataplane.balancers import (
    Condition,
    Fixed,
    Forward,
    Listener,
    Rule,
    Target,
    code_ranges,
    read,
)
from localcloud.dataplane.bindings import addresses, bind
from localcloud.dataplane.listeners import CLUSTERS, LISTENERS, Binding, bootstrap, render
from localcloud.dataplane.routes import not_understood, page, token, wildcard
from localcloud.dataplane.routes import routes as made_routes
from tests.unit.edge import Edge

HERE = Path("/state")


@pytest.fixture(scope="module")
def built() -> Iterator[Edge]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
        elbv2.add()
        with mock_aws():
            yield Edge()


@pytest.fixture
def edge(built: Edge) -> Edge:
    built.build()
    return built


def files(edge: Edge, **standing: dict[Target, str]) -> dict[str, list[dict[str, Any]]]:
    """The resources of every file."""
    snapshot = read()
    bindings = {
        listener.arn: Binding(address=balancer.address, port=listener.port)
        for balancer in snapshot.balancers
        for listener in balancer.listeners
    }
    by_arn = {edge.groups[colour]: found for colour, found in standing.items()}
    rendered = render(snapshot, by_arn, bindings, HERE)
    return {name: json.loads(text)["resources"] for name, text in rendered.items()}


def routes(edge: Edge) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = files(edge)[f"rds-{token(edge.listener)}.json"][0]["virtual_hosts"][0][
        "routes"
    ]
    return found


def matches(pattern: str, value: str) -> bool:
    return re.fullmatch(wildcard(pattern), value) is not None


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("/api/*", "/api/", True),
        ("/api/*", "/api/v1/x", True),
        ("/api/*", "/api", False),
        ("/a?c", "/abc", True),
        ("/a?c", "/ac", False),
        ("*.example.com", "www.example.com", True),
        ("*.example.com", "www.exampleXcom", False),
        ("/a+(b)|c$", "/a+(b)|c$", True),
        ("/[x]", "/x", False),
        ("/~user_name-1", "/~user_name-1", True),
        ("/über", "/über", True),
    ],
)
def test_a_pattern_means_what_it_means_to_elb(pattern: str, value: str, expected: bool) -> None:
    assert matches(pattern, value) is expected


def test_a_matcher_is_a_list_of_codes_and_ranges() -> None:
    assert code_ranges("200,300-302, 404") == ((200, 200), (300, 302), (404, 404))


def test_rules_are_tried_by_number_and_the_default_comes_last(edge: Edge) -> None:
    edge.rule(100, edge.forward(1, 0), path="/hundred")
    edge.rule(9, edge.forward(1, 0), path="/nine")
    edge.rule(20, edge.forward(1, 0), path="/twenty")
    found = [route["match"].get("safe_regex", {}).get("regex") for route in routes(edge)]
    assert found == [r"(\/nine)", r"(\/twenty)", r"(\/hundred)", None]


def test_weights_name_only_groups_with_a_weight(edge: Edge) -> None:
    edge.rule(1, edge.forward(70, 0), path="/x")
    clusters = routes(edge)[0]["route"]["weighted_clusters"]["clusters"]
    assert [(cluster["name"], cluster["weight"]) for cluster in clusters] == [(edge.groups["blue"], 70)]


def test_stickiness_reaches_a_group_whose_weight_is_zero(edge: Edge) -> None:
    edge.rule(1, edge.forward(0, 100, sticky_seconds=60), path="/x")
    first, second, third, _ = routes(edge)
    assert [route["route"].get("cluster") for route in (first, second)] == list(edge.groups.values())
    assert "weighted_clusters" in third["route"]
    sticky = first["metadata"]["filter_metadata"]["envoy.filters.http.lua"]["settings"]["sticky"]
    assert sticky["seconds"] == 60
    assert set(sticky["groups"]) == {token(arn) for arn in edge.groups.values()}


def test_no_weight_at_all_is_an_answer_of_the_load_balancer(edge: Edge) -> None:
    edge.rule(1, edge.forward(0, 0), path="/x")
    answer = routes(edge)[0]["direct_response"]
    assert (answer["status"], answer["body"]["inline_string"]) == (503, page(503))


def test_a_change_of_weights_changes_one_route_file_alone(edge: Edge) -> None:
    rule = edge.rule(1, edge.forward(100, 0), path="/x")
    before = files(edge)
    edge.shift(rule, 50, 50)
    after = files(edge)
    assert [name for name in after if after[name] != before.get(name)] == [
        f"rds-{token(edge.listener)}.json"
    ], "anything else would touch connections that are open"


def test_a_change_of_targets_changes_one_endpoint_file_alone(edge: Edge) -> None:
    edge.rule(1, edge.forward(100, 0), path="/x")
    target = Target(host="127.0.0.1", port=8001)
    before, after = files(edge), files(edge, blue={target: "HEALTHY"})
    changed = [name for name in after if after[name] != before.get(name)]
    assert changed == [f"eds-{token(edge.groups['blue'])}.json"]
    endpoint = after[changed[0]][0]["endpoints"][0]["lb_endpoints"][0]
    assert endpoint["health_status"] == "HEALTHY"
    assert endpoint["endpoint"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 8001}


def test_what_is_no_address_is_kept_from_envoy(edge: Edge) -> None:
    edge.rule(1, edge.forward(100, 0), path="/x")
    found = files(edge, blue={Target(host="i-1234567890abcdef0", port=80): "HEALTHY"})
    assert found[f"eds-{token(edge.groups['blue'])}.json"][0]["endpoints"] == []


def test_a_group_that_no_rule_uses_is_not_served_unless_it_is_kept(edge: Edge) -> None:
    assert files(edge)[CLUSTERS] == []
    kept = render(read(), {}, {}, HERE, [edge.groups["blue"]])
    assert [cluster["name"] for cluster in json.loads(kept[CLUSTERS])["resources"]] == [edge.groups["blue"]]


def test_an_unhealthy_group_is_never_asked_in_a_panic(edge: Edge) -> None:
    edge.rule(1, edge.forward(100, 0), path="/x")
    clusters = files(edge)[CLUSTERS]
    assert len(clusters) == 2
    assert [cluster["common_lb_config"]["healthy_panic_threshold"]["value"] for cluster in clusters] == [0, 0]


def test_attributes_of_a_group_become_its_way_to_choose(edge: Edge) -> None:
    edge.rule(1, edge.forward(100, 0), path="/x")
    edge.elbv2.modify_target_group_attributes(
        TargetGroupArn=edge.groups["green"],
        Attributes=[
            {"Key": "load_balancing.algorithm.type", "Value": "least_outstanding_requests"},
            {"Key": "slow_start.duration_seconds", "Value": "30"},
        ],
    )
    blue, green = files(edge)[CLUSTERS]
    assert (blue["lb_policy"], green["lb_policy"]) == ("ROUND_ROBIN", "LEAST_REQUEST")
    assert green["least_request_lb_config"]["slow_start_config"]["slow_start_window"] == "30s"
    assert "round_robin_lb_config" not in blue


def test_a_listener_without_its_certificate_does_not_listen(edge: Edge) -> None:
    snapshot = read()
    (balancer,) = snapshot.balancers
    broken = Listener(arn="tls", port=443, tls=True, certificate=None, tls13_only=False, rules=())
    assert balancer.listeners[0].arn == edge.listener
    rendered = render(
        type(snapshot)(balancers=(type(balancer)(**{**vars(balancer), "listeners": (broken,)}),)),
        {},
        {"tls": Binding(address="127.0.0.1", port=443)},
        HERE,
    )
    assert json.loads(rendered[LISTENERS])["resources"] == []


def test_a_key_is_never_shown(edge: Edge) -> None:
    arn = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-4000-8000-000000000001"
    hold_certificate(arn)
    edge.listen(8443, Protocol="HTTPS", Certificates=[{"CertificateArn": arn}])
    assert "PRIVATE" not in repr(read())
    assert "PRIVATE" in json.dumps(files(edge)[LISTENERS])


@pytest.mark.usefixtures("edge")
def test_what_is_not_understood_matches_nothing_and_is_told() -> None:
    rule = Rule(
        arn="rule",
        conditions=(Condition(field="source-ip", name="", values=("10.0.0.0/8",)),),
        action=Fixed(status=200, content_type="text/plain", body="inside"),
    )
    login = Rule(arn="login", conditions=(), action=None)
    listener = Listener(
        arn="listener", port=80, tls=False, certificate=None, tls13_only=False, rules=(rule, login)
    )
    first, second = not_understood(listener)
    assert "source-ip" in first
    assert "host-header" in first
    assert "forward, redirect or fixed-response" in second
    assert made_routes(read().balancers[0], listener) == []


def test_a_forward_of_one_group_has_its_whole_weight(edge: Edge) -> None:
    edge.rule(1, {"Type": "forward", "TargetGroupArn": edge.groups["green"]}, path="/x")
    (listener,) = read().balancers[0].listeners
    assert listener.rules[0].action == Forward(groups=((edge.groups["green"], 1),), sticky_seconds=None)


def test_several_targets_of_one_address_are_kept_apart(edge: Edge) -> None:
    edge.register(edge.groups["blue"], 8001, 8002)
    edge.deregister(edge.groups["blue"], 8001)
    (group,) = [group for group in read().groups if group.arn == edge.groups["blue"]]
    assert group.targets == (Target(host="127.0.0.1", port=8002),)


def test_without_a_data_plane_targets_are_healthy_and_leave_at_once(edge: Edge) -> None:
    edge.register(edge.groups["blue"], 8001, 8002)
    assert edge.states(edge.groups["blue"]) == {8001: "healthy", 8002: "healthy"}
    edge.deregister(edge.groups["blue"], 8001)
    assert edge.states(edge.groups["blue"]) == {8002: "healthy"}


def test_a_target_that_was_never_registered_is_unused(edge: Edge) -> None:
    found = edge.elbv2.describe_target_health(
        TargetGroupArn=edge.groups["blue"], Targets=[{"Id": "127.0.0.1", "Port": 1}]
    )["TargetHealthDescriptions"][0]["TargetHealth"]
    assert (found["State"], found["Reason"]) == ("unused", "Target.NotRegistered")


def test_the_same_load_balancer_has_the_same_address_and_no_other_has_it() -> None:
    first = elbv2.address_of("edge", set())
    assert first == elbv2.address_of("edge", set())
    second = elbv2.address_of("edge", {first})
    assert second != first
    assert re.fullmatch(r"127\.77\.\d{1,3}\.\d{1,3}", second)


def test_all_addresses_can_be_given_out() -> None:
    assert len({elbv2.address_of(f"edge-{number}", set()) for number in range(500)}) > 490
    last_octets = {int(elbv2.address_of(f"edge-{number}", set()).rsplit(".", 1)[1]) for number in range(3000)}
    assert (min(last_octets), max(last_octets)) == (1, 254)


def test_a_binding_is_kept_while_its_listener_stays(edge: Edge) -> None:
    snapshot = read()
    first = bind(snapshot, {})
    assert first == {edge.listener: Binding(address=edge.address, port=8080)}
    elsewhere = {edge.listener: Binding(address=edge.address, port=9999, asked=first[edge.listener])}
    assert bind(snapshot, elsewhere) == elsewhere, "clients know that port by now"
    assert [(at.url, at.bound_as_asked) for at in addresses(snapshot, elsewhere)] == [
        (f"http://{edge.address}:9999", False)
    ]


def test_a_listener_that_moves_gets_its_new_port(edge: Edge) -> None:
    held = bind(read(), {})
    edge.elbv2.modify_listener(ListenerArn=edge.listener, Port=8090)
    assert bind(read(), held) == {edge.listener: Binding(address=edge.address, port=8090)}


def test_envoy_starts_with_nothing_but_where_to_look() -> None:
    found = json.loads(bootstrap(HERE, HERE / "admin.sock"))
    assert set(found) == {"node", "admin", "dynamic_resources"}
    assert found["admin"]["address"]["pipe"] == {"path": "/state/admin.sock", "mode": 0o600}
