"""The data plane as a whole: moto's state, real Envoy, real servers, real requests."""

import json
import os
import socket
import ssl
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from typing import Any

import psutil
import pytest

from localcloud.dataplane.traffic import TrafficPlane
from localcloud.load import Load
from tests.unit import guarded
from tests.unit.edge import Edge, Server, running, until

Running = tuple[Edge, TrafficPlane]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            patch.setenv(name, "test")
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
        with running(tmp_path_factory.mktemp("plane"), speed=20) as found:
            yield found


@pytest.fixture(scope="module")
def edge(cloud: Running) -> Edge:
    return cloud[0]


@pytest.fixture(scope="module")
def colours(edge: Edge) -> Iterator[dict[str, Server]]:
    with Server("blue") as blue, Server("green") as green:
        found = {"blue": blue, "green": green}
        edge.rule(900, edge.forward(100, 0), path="/in-use")
        for colour, server in found.items():
            edge.register(edge.groups[colour], server.port)
            edge.until_healthy(edge.groups[colour], server.port)
        yield found


def get(edge: Edge, path: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    """One request on a connection of its own; nothing is followed."""
    connection = HTTPConnection(edge.address, 8080, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, headers, answer.read()
    finally:
        connection.close()


def until_served(edge: Edge, path: str, status: int = 200) -> None:
    until(lambda: get(edge, path)[0] == status, f"{path} gives {status}")


def until_empty(edge: Edge, group: str) -> None:
    until(lambda: edge.states(group) == {}, "its targets have drained")


def versions(edge: Edge, path: str, times: int) -> Counter[str]:
    connection = HTTPConnection(edge.address, 8080, timeout=20)
    found: Counter[str] = Counter()
    for _ in range(times):
        connection.request("GET", path)
        answer: HTTPResponse = connection.getresponse()
        answer.read()
        found[answer.headers["x-version"]] += 1
    connection.close()
    return found


def test_a_listener_is_where_the_api_says_it_is(cloud: Running) -> None:
    edge, plane = cloud
    assert edge.address.startswith("127.77.")
    found = until(lambda: [at for at in plane.where() if at.arn == edge.listener], "the listener's address")
    assert [(at.load_balancer, at.url, at.bound_as_asked) for at in found] == [(edge.arn, edge.url, True)]
    until_served(edge, "/nothing-here", 404)
    assert get(edge, "/nothing-here")[2] == b"not found"


@pytest.mark.usefixtures("colours")
def test_weights_are_honoured_per_request_on_one_kept_connection(edge: Edge) -> None:
    edge.rule(10, edge.forward(75, 25), path="/weights/*")
    until_served(edge, "/weights/a")
    found = versions(edge, "/weights/a", 800)
    assert set(found) == {"blue", "green"}
    # Seven standard deviations of 800 draws at one in four: chance does not fail it, wrong weights do.
    assert abs(found["green"] - 200) < 7 * (800 * 0.25 * 0.75) ** 0.5


@pytest.mark.usefixtures("colours")
def test_all_weight_on_one_colour_leaves_nothing_to_the_other(edge: Edge) -> None:
    rule = edge.rule(11, edge.forward(100, 0), path="/all/*")
    until_served(edge, "/all/a")
    assert versions(edge, "/all/a", 50) == {"blue": 50}
    edge.shift(rule, 0, 100)
    until(lambda: versions(edge, "/all/a", 1) == {"green": 1}, "the shift reaches the proxy", 2)
    assert versions(edge, "/all/a", 50) == {"green": 50}


@pytest.mark.usefixtures("colours")
def test_all_weights_zero_is_503(edge: Edge) -> None:
    edge.rule(12, edge.forward(0, 0), path="/zero")
    until_served(edge, "/zero", 503)
    status, headers, body = get(edge, "/zero")
    assert (status, headers["server"]) == (503, "awselb/2.0")
    assert b"503 Service Temporarily Unavailable" in body


@pytest.mark.usefixtures("colours")
def test_a_shift_under_load_loses_no_request(edge: Edge) -> None:
    """300 requests per second on kept connections, some of them slow, while the weights change."""
    rule = edge.rule(13, edge.forward(100, 0), path="/shift*")
    until_served(edge, "/shift")
    load = Load(
        f"{edge.url}/shift",
        rate_per_second=300,
        connections=100,
        slow_share=0.01,
        slow_path="/slow?seconds=2",
    )
    with load.background() as report:
        for blue in (90, 50, 0, 100, 0, 50, 100, 0):
            time.sleep(0.6)
            edge.shift(rule, blue, 100 - blue)
        time.sleep(0.6)
    total = report.total
    assert total.sent > 1000
    assert (total.ok, dict(total.failed), report.samples) == (total.sent, {}, [])
    assert min(total.versions["blue"], total.versions["green"]) > 100
    assert max(total.latencies) > 1.9, "the slow requests were not slow, so they proved nothing"


@pytest.mark.parametrize("pause_seconds", [0.3, 0], ids=["one after the other", "in one look"])
def test_whole_cutovers_under_load_lose_no_request(edge: Edge, pause_seconds: float) -> None:
    """New server, shift, drain, and the old server ends as soon as the load balancer says that it may."""
    groups = [edge.group(f"{name}-{pause_seconds:g}".replace(".", "-")) for name in ("first", "second")]

    def forward(to: int) -> dict[str, Any]:
        weights = [
            {"TargetGroupArn": group, "Weight": 100 * (index == to)} for index, group in enumerate(groups)
        ]
        return {"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}

    rule = edge.rule(5 if pause_seconds else 6, forward(0), path=f"/cutover-{pause_seconds:g}*")
    with ExitStack() as servers:
        old = servers.enter_context(Server("0"))
        edge.register(groups[0], old.port)
        edge.until_healthy(groups[0], old.port)
        path = f"/cutover-{pause_seconds:g}"
        until_served(edge, path)
        load = Load(f"{edge.url}{path}", rate_per_second=200, slow_share=0.02, slow_path="/slow?seconds=1")
        with load.background() as report:
            for number in range(1, 8):
                new = servers.enter_context(Server(str(number)))
                idle = groups[number % 2]
                edge.register(idle, new.port)
                edge.until_healthy(idle, new.port)
                edge.elbv2.modify_rule(RuleArn=rule, Actions=[forward(number % 2)])
                time.sleep(pause_seconds)
                live = groups[(number + 1) % 2]
                edge.deregister(live, old.port)
                until_empty(edge, live)
                old.close()
                old = new
    total = report.total
    assert (total.ok, dict(total.failed), report.samples) == (total.sent, {}, [])
    assert set(total.versions) == {str(number) for number in range(8)}
    assert max(total.latencies) > 0.99


def test_a_drained_target_gets_no_new_request_and_finishes_the_old(edge: Edge) -> None:
    group = edge.group("drained")
    edge.delay(group, 30)
    edge.rule(14, {"Type": "forward", "TargetGroupArn": group}, path="/drain*")
    with Server("leaving") as leaving, Server("staying") as staying:
        edge.register(group, leaving.port)
        edge.until_healthy(group, leaving.port)
        until_served(edge, "/drain")
        slow: list[tuple[int, str]] = []

        def ask() -> None:
            status, headers, _ = get(edge, "/drain/slow?seconds=3")
            slow.append((status, headers["x-version"]))

        asked = leaving.asked
        thread = threading.Thread(target=ask)
        thread.start()
        until(lambda: leaving.asked > asked, "the slow request is under way")
        edge.register(group, staying.port)
        edge.until_healthy(group, staying.port)
        edge.deregister(group, leaving.port)
        health = edge.health(group)
        assert health[leaving.port]["State"] == "draining"
        assert health[leaving.port]["Reason"] == "Target.DeregistrationInProgress"
        time.sleep(0.3)
        before = leaving.asked
        assert versions(edge, "/drain", 20) == {"staying": 20}
        assert leaving.asked == before
        assert edge.states(group)[leaving.port] == "draining", "it went while a request was under way"
        thread.join()
        assert slow == [(200, "leaving")]
        until(lambda: edge.states(group) == {staying.port: "healthy"}, "the drained target is gone", 3)


def test_a_target_with_nothing_under_way_need_not_wait_for_its_delay(edge: Edge) -> None:
    group = edge.group("idle")
    edge.delay(group, 300)
    edge.rule(15, {"Type": "forward", "TargetGroupArn": group}, path="/idle")
    with Server("idle") as server:
        edge.register(group, server.port)
        edge.until_healthy(group, server.port)
        until_served(edge, "/idle")
        edge.deregister(group, server.port)
        until(lambda: edge.states(group) == {}, "the idle target is gone", 5)
        assert get(edge, "/idle")[0] == 503


def test_a_drain_ends_with_its_delay_whatever_is_under_way(edge: Edge) -> None:
    group = edge.group("short-delay")
    edge.delay(group, 1)
    edge.rule(16, {"Type": "forward", "TargetGroupArn": group}, path="/short*")
    with Server("short") as server:
        edge.register(group, server.port)
        edge.until_healthy(group, server.port)
        until_served(edge, "/short")
        asked = server.asked
        thread = threading.Thread(target=get, args=(edge, "/short/slow?seconds=4"))
        thread.start()
        until(lambda: server.asked > asked, "the slow request is under way")
        edge.deregister(group, server.port)
        until(lambda: edge.states(group) == {}, "the delay is over", 3)
        assert thread.is_alive(), "the request ended first, so the delay proved nothing"
        thread.join()


def test_two_targets_take_turns(edge: Edge) -> None:
    group = edge.group("pair")
    edge.rule(17, {"Type": "forward", "TargetGroupArn": group}, path="/pair")
    with Server("one") as one, Server("two") as two:
        edge.register(group, one.port, two.port)
        edge.until_healthy(group, one.port, two.port)
        until(lambda: set(versions(edge, "/pair", 4)) == {"one", "two"}, "both serve")
        assert versions(edge, "/pair", 40) == {"one": 20, "two": 20}


def test_an_unhealthy_target_gets_no_traffic_even_if_there_is_no_other(edge: Edge) -> None:
    group = edge.group("sick")
    edge.rule(18, {"Type": "forward", "TargetGroupArn": group}, path="/sick")
    with Server("sick") as server:
        edge.register(group, server.port)
        edge.until_healthy(group, server.port)
        until_served(edge, "/sick")
        server.health = 500
        until(lambda: edge.states(group) == {server.port: "unhealthy"}, "unhealthy")
        health = edge.health(group)[server.port]
        assert health["Reason"] == "Target.ResponseCodeMismatch"
        assert health["Description"] == "Health checks failed with these codes: [500]"
        until_served(edge, "/sick", 503)
        before = server.asked
        assert get(edge, "/sick")[0] == 503
        assert server.asked == before
        server.health = 200
        edge.until_healthy(group, server.port)
        until_served(edge, "/sick")


def test_errors_are_those_of_an_alb(edge: Edge) -> None:
    group = edge.group("errors")
    edge.rule(19, {"Type": "forward", "TargetGroupArn": group}, path="/errors*")
    until_served(edge, "/errors", 503)
    with Server("errors") as server:
        edge.register(group, server.port)
        edge.until_healthy(group, server.port)
        until_served(edge, "/errors")
        assert get(edge, "/errors/status/500")[0] == 500
        for path in ("/errors/reset", "/errors/nonsense"):
            status, headers, body = get(edge, path)
            assert (path, status, headers["server"]) == (path, 502, "awselb/2.0")
            assert b"502 Bad Gateway" in body
        server.close()
        assert get(edge, "/errors")[0] == 502, "a refused connection"


def test_silence_longer_than_the_idle_timeout_is_504(edge: Edge) -> None:
    group = edge.group("silent")
    made = edge.elbv2.create_load_balancer(Name="impatient", Subnets=edge.subnets)["LoadBalancers"][0]
    edge.elbv2.modify_load_balancer_attributes(
        LoadBalancerArn=made["LoadBalancerArn"],
        Attributes=[{"Key": "idle_timeout.timeout_seconds", "Value": "1"}],
    )
    edge.elbv2.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"],
        Protocol="HTTP",
        Port=8080,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )
    assert made["DNSName"] != edge.address, "two load balancers share an address"
    with Server("silent") as server:
        edge.register(group, server.port)
        edge.until_healthy(group, server.port)

        def ask(path: str) -> int:
            try:
                with urllib.request.urlopen(f"http://{made['DNSName']}:8080{path}", timeout=20) as answer:
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return error.code
            except OSError:
                return 0

        until(lambda: ask("/") == 200, "the second load balancer serves")
        assert ask("/slow?seconds=5") == 504


@pytest.mark.usefixtures("colours")
def test_a_client_stays_with_its_colour_when_the_weights_change(edge: Edge) -> None:
    rule = edge.rule(20, edge.forward(100, 0, sticky_seconds=3), path="/sticky")
    until_served(edge, "/sticky")
    _, headers, _ = get(edge, "/sticky")
    cookie = headers["set-cookie"].split(";")[0]
    assert cookie.startswith("AWSALBTG")
    edge.shift(rule, 0, 100, sticky_seconds=3)
    until(lambda: versions(edge, "/sticky", 1) == {"green": 1}, "clients without a cookie go to green", 2)
    _, headers, _ = get(edge, "/sticky", Cookie=f"session=1; {cookie}; other=2")
    assert headers["x-version"] == "blue"
    assert "set-cookie" not in headers, "a choice that is made anew with each answer would never end"
    time.sleep(3.1)
    assert get(edge, "/sticky", Cookie=cookie)[1]["x-version"] == "green", "the cookie is over"


@pytest.mark.usefixtures("colours")
def test_a_forged_choice_of_colour_is_not_followed(edge: Edge) -> None:
    edge.rule(21, edge.forward(100, 0, sticky_seconds=60), path="/forged")
    until_served(edge, "/forged")
    from localcloud.dataplane.routes import CHOSEN, token

    _, headers, body = get(edge, "/forged", **{CHOSEN: token(edge.groups["green"])})
    assert headers["x-version"] == "blue"
    assert CHOSEN not in {name.lower() for name in [*headers, *json.loads(body)["headers"]]}


@pytest.mark.usefixtures("colours")
def test_rules_are_tried_in_their_order_by_host_and_path(edge: Edge) -> None:
    edge.rule(31, edge.forward(0, 100), path="/order/*")
    edge.rule(30, edge.forward(100, 0), path="/order/first?", host="*.example.com")
    until_served(edge, "/order/x")

    def ask(path: str, host: str) -> str:
        return get(edge, path, Host=host)[1]["x-version"]

    until(lambda: ask("/order/first1", "api.example.com") == "blue", "the first rule")
    assert ask("/order/first1", "API.Example.com:8080") == "blue", "hosts know no case and no port"
    assert ask("/order/first1?x=/y", "api.example.com") == "blue", "the query is no part of the path"
    assert ask("/order/first12", "api.example.com") == "green", "? is exactly one character"
    assert ask("/order/First1", "api.example.com") == "green", "paths know case"
    assert ask("/order/first1", "api.example.org") == "green", "both conditions have to hold"
    assert get(edge, "/orders/x")[0] == 404


def test_a_redirect_fills_its_placeholders(edge: Edge) -> None:
    edge.rule(
        40,
        {
            "Type": "redirect",
            "RedirectConfig": {
                "Protocol": "HTTPS",
                "Port": "443",
                "Host": "www.#{host}",
                "Path": "/new/#{path}",
                "Query": "from=#{port}&#{query}",
                "StatusCode": "HTTP_302",
            },
        },
        path="/old/*",
    )
    until_served(edge, "/old/a", 302)
    _, headers, _ = get(edge, "/old/a?b=c", Host="example.com:8080")
    assert headers["location"] == "https://www.example.com:443/new/old/a?from=8080&b=c"


@pytest.mark.usefixtures("colours")
def test_header_names_keep_their_spelling(edge: Edge) -> None:
    edge.rule(42, edge.forward(100, 0), path="/spelling")
    until_served(edge, "/spelling")
    connection = HTTPConnection(edge.address, 8080, timeout=20)
    connection.request("GET", "/spelling", headers={"X-OddLy-SpelT": "1"})
    answer = connection.getresponse()
    assert "X-Version" in [name for name, _ in answer.getheaders()]
    assert json.load(answer)["headers"]["X-OddLy-SpelT"] == "1"
    connection.close()


@pytest.mark.usefixtures("colours")
def test_a_target_learns_who_asked(edge: Edge) -> None:
    edge.rule(41, edge.forward(100, 0), path="/headers")
    until_served(edge, "/headers")
    _, answered, body = get(edge, "/headers", **{"X-Forwarded-For": "192.0.2.7", "X_Odd": "1"})
    headers = {name.lower(): value for name, value in json.loads(body)["headers"].items()}
    assert headers["x-forwarded-for"].split(",")[0] == "192.0.2.7"
    assert len(headers["x-forwarded-for"].split(",")) == 2
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("http", "8080")
    assert headers["x-amzn-trace-id"].startswith("Root=1-")
    assert headers["host"] == f"{edge.address}:8080"
    assert headers["x_odd"] == "1", "invalid names are only dropped where that is asked for"
    assert not [name for name in [*headers, *answered] if "envoy" in name.lower()]


@pytest.mark.usefixtures("colours")
def test_invalid_headers_are_dropped_where_that_is_asked_for(edge: Edge) -> None:
    def ask() -> dict[str, str]:
        body = get(edge, "/headers", **{"X_Odd": "1", "X-Even": "2"})[2]
        return {name.lower(): value for name, value in json.loads(body)["headers"].items()}

    def drop(value: str) -> None:
        key = "routing.http.drop_invalid_header_fields.enabled"
        edge.elbv2.modify_load_balancer_attributes(
            LoadBalancerArn=edge.arn, Attributes=[{"Key": key, "Value": value}]
        )

    drop("true")
    try:
        found = until(
            lambda: next((found for found in [ask()] if "x_odd" not in found), None), "it is dropped"
        )
        assert found["x-even"] == "2"
    finally:
        drop("false")


@pytest.mark.usefixtures("colours")
def test_a_listener_with_tls_shows_the_certificate_of_acm(edge: Edge) -> None:
    from localcloud.aws.acm import hold_certificate

    arn = "arn:aws:acm:eu-west-1:123456789012:certificate/00000000-0000-4000-8000-000000000000"
    hold_certificate(arn)
    listener = edge.listen(8443, Protocol="HTTPS", Certificates=[{"CertificateArn": arn}])
    edge.rule(1, edge.forward(100, 0), listener=listener, path="/headers")
    trust = ssl.create_default_context()
    trust.check_hostname, trust.verify_mode = False, ssl.CERT_NONE

    def ask() -> dict[str, Any] | None:
        try:
            url = f"https://{edge.address}:8443/headers"
            with urllib.request.urlopen(url, context=trust, timeout=5) as answer:
                found: dict[str, Any] = json.load(answer)
                return found
        except OSError:
            return None

    headers = {name.lower(): value for name, value in until(ask, "TLS")["headers"].items()}
    assert (headers["x-forwarded-proto"], headers["x-forwarded-port"]) == ("https", "8443")
    shown = ssl.get_server_certificate((edge.address, 8443))
    from moto.acm.models import acm_backends

    held = acm_backends["123456789012"]["eu-west-1"]._certificates[arn].cert.decode()
    assert ssl.PEM_cert_to_DER_cert(shown) == ssl.PEM_cert_to_DER_cert(held)


def test_a_listener_whose_port_is_taken_is_elsewhere_and_says_so(cloud: Running) -> None:
    edge, plane = cloud
    with socket.socket() as other:
        other.bind((edge.address, 8181))
        other.listen()
        listener = edge.listen(8181)
        at = until(
            lambda: next((found for found in plane.where() if found.arn == listener), None), "an address"
        )
        assert not at.bound_as_asked
        assert at.url.startswith("http://127.")
        assert at.url != f"http://{edge.address}:8181"

        def status() -> int:
            try:
                with urllib.request.urlopen(at.url, timeout=5) as answer:  # noqa: S310 - our own
                    return int(answer.status)
            except urllib.error.HTTPError as error:
                return error.code
            except OSError:
                return 0

        until(lambda: status() == 404, "it serves there")


def test_a_deleted_listener_is_gone(edge: Edge) -> None:
    listener = edge.listen(8282)

    def reachable() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((edge.address, 8282)) == 0

    until(reachable, "it listens")
    edge.elbv2.delete_listener(ListenerArn=listener)
    until(lambda: not reachable(), "it is gone")


@pytest.mark.usefixtures("colours")
def test_requests_come_back_as_metrics_and_raise_an_alarm(edge: Edge) -> None:
    rule = edge.rule(50, edge.forward(100, 0), path="/alarm*")
    until_served(edge, "/alarm")
    dimensions = [
        {"Name": "LoadBalancer", "Value": edge.arn.split(":loadbalancer/")[1]},
        {"Name": "TargetGroup", "Value": edge.groups["blue"].rsplit(":", 1)[1]},
    ]

    def metric(key: str, name: str) -> dict[str, Any]:
        found = {"Namespace": "AWS/ApplicationELB", "MetricName": name, "Dimensions": dimensions}
        return {"Id": key, "MetricStat": {"Metric": found, "Period": 60, "Stat": "Sum"}, "ReturnData": False}

    rate = {
        "Id": "rate",
        "Expression": "IF(requests > 0, 100 * FILL(errors, 0) / requests, 0)",
        "ReturnData": True,
    }
    edge.cloudwatch.put_metric_alarm(
        AlarmName="error-rate",
        Metrics=[metric("errors", "HTTPCode_Target_5XX_Count"), metric("requests", "RequestCount"), rate],
        ComparisonOperator="GreaterThanThreshold",
        Threshold=50,
        EvaluationPeriods=1,
        TreatMissingData="notBreaching",
    )

    def state() -> str:
        (found,) = edge.cloudwatch.describe_alarms(AlarmNames=["error-rate"])["MetricAlarms"]
        return str(found["StateValue"])

    assert state() == "OK"
    with Load(f"{edge.url}/alarm/status/500", rate_per_second=50).background() as report:
        until(lambda: state() == "ALARM", "the alarm fires", 15)
    until(lambda: state() == "OK", "the alarm is over", 15)
    edge.elbv2.delete_rule(RuleArn=rule)
    found = edge.cloudwatch.get_metric_statistics(
        Namespace="AWS/ApplicationELB",
        MetricName="HTTPCode_Target_5XX_Count",
        Dimensions=dimensions,
        StartTime=datetime.now(UTC) - timedelta(minutes=5),
        EndTime=datetime.now(UTC) + timedelta(minutes=1),
        Period=60,
        Statistics=["Sum"],
    )["Datapoints"]
    assert sum(point["Sum"] for point in found) == report.total.sent, "each request is counted once"


def test_a_proxy_that_dies_is_started_again(edge: Edge) -> None:
    until_served(edge, "/nothing-here", 404)
    (proxy,) = _proxies(os.getpid())
    proxy.kill()

    def answers() -> bool:
        try:
            return get(edge, "/nothing-here")[0] == 404
        except OSError:
            return False

    until(lambda: _proxies(os.getpid()) not in ([], [proxy]) and answers(), "another proxy answers")


OWNER = """
import pathlib, sys, time
from localcloud.dataplane.traffic import TrafficPlane
TrafficPlane(pathlib.Path(sys.argv[1])).start()
print("ready", flush=True)
time.sleep(600)
"""


def test_the_proxy_ends_with_a_cloud_that_is_killed(tmp_path: Path) -> None:
    command = [sys.executable, "-c", OWNER, str(tmp_path)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert owner.stdout is not None
        assert owner.stdout.readline() == "ready\n"
        (proxy,) = _proxies(owner.pid)
    finally:
        owner.kill()
        owner.wait()
    until(lambda: not proxy.is_running() or proxy.status() == psutil.STATUS_ZOMBIE, "the proxy is gone")


def _proxies(owner: int) -> list[psutil.Process]:
    return guarded.servers(owner, "envoy")


def test_no_schedule_is_slower_than_aws_or_faster_than_it_can_be(tmp_path: Path) -> None:
    for speed in (0.5, 121):
        with pytest.raises(ValueError, match=r"it can be 1 \(as AWS\) to 120"):
            TrafficPlane(tmp_path, speed=speed)
