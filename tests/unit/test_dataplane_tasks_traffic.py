"""Tasks behind the real load balancer: what comes and goes under load loses no request."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from localcloud.dataplane.traffic import TrafficPlane
from localcloud.load import Load
from tests.unit.task_world import World, client, eventually, world

PORT = 8080
# Takes its time over /slow, and ends at once when it is told to: only the drain protects a request.
SERVER = """
import asyncio, os, signal
from aiohttp import web

async def answer(request):
    await asyncio.sleep(1.5 if request.path == "/slow" else 0)
    return web.Response(headers={"X-Version": os.environ["VERSION"]})

async def main():
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, os.environ["HOST"], int(os.environ["PORT"])).start()
    await asyncio.Event().wait()

signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
asyncio.run(main())
"""


@dataclass(frozen=True, kw_only=True)
class Edge:
    """The world, a target group that a listener forwards to, and the listener's URL."""

    cloud: World
    group: str
    url: str


@pytest.fixture
def edge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edge]:
    monkeypatch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "false")
    with world(tmp_path) as cloud:
        traffic = TrafficPlane(tmp_path / "envoy", speed=10)
        traffic.start()
        try:
            group = cloud.target_group()
            _forward(cloud, group)
            (listener,) = eventually(traffic.where, "the listener is bound")
            yield Edge(cloud=cloud, group=group, url=listener.url)
        finally:
            cloud.plane.stop()
            traffic.stop()


def _forward(cloud: World, group: str) -> None:
    vpc = cloud.elbv2.describe_target_groups(TargetGroupArns=[group])["TargetGroups"][0]["VpcId"]
    subnets = [
        client("ec2").create_subnet(
            VpcId=vpc, CidrBlock=f"10.0.{index}.0/24", AvailabilityZone=f"eu-west-1{zone}"
        )["Subnet"]["SubnetId"]
        for index, zone in enumerate("ab")
    ]
    balancer = cloud.elbv2.create_load_balancer(Name="edge", Subnets=subnets)["LoadBalancers"][0]
    cloud.elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=PORT,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )


def load(edge: Edge) -> Load:
    """Requests that are sent once; a fifth of them take 1.5 s."""
    return Load(edge.url, rate_per_second=60, slow_share=0.2, slow_path="/slow")


def test_a_roll_over_and_a_scale_in_under_load_lose_no_request(edge: Edge) -> None:
    cloud = edge.cloud
    cloud.serve(cloud.define(cloud.image("1", SERVER)), 2, edge.group)
    cloud.steady(2)
    with load(edge).background() as report:
        time.sleep(1)
        cloud.ecs.update_service(
            cluster="main", service="api", taskDefinition=cloud.define(cloud.image("2", SERVER))
        )
        cloud.steady(2)
        cloud.ecs.update_service(cluster="main", service="api", desiredCount=1)
        cloud.steady(1)
        time.sleep(1)
    total = report.total
    assert report.samples == []
    assert (total.ok, set(total.versions)) == (total.sent, {"1", "2"})
    assert total.sent > 100


def test_a_revision_that_never_gets_well_costs_no_request_and_is_given_up(edge: Edge) -> None:
    cloud = edge.cloud
    breaker = {"deploymentConfiguration": {"deploymentCircuitBreaker": {"enable": True, "rollback": True}}}
    cloud.serve(cloud.define(cloud.image("1", SERVER)), 1, edge.group, **breaker)
    cloud.steady(1)
    sick = SERVER.replace("web.Response(headers=", "web.Response(status=500, headers=")
    with load(edge).background() as report:
        cloud.ecs.update_service(
            cluster="main", service="api", taskDefinition=cloud.define(cloud.image("2", sick))
        )
        eventually(lambda: "rolling back" in _reason(cloud), "the breaker gives up")
        cloud.steady(1)
    total = report.total
    assert report.samples == []
    assert (total.ok, set(total.versions)) == (total.sent, {"1"})
    reasons = {task["stoppedReason"] for task in cloud.tasks("STOPPED")}
    assert reasons == {f"Task failed ELB health checks in (target-group {edge.group})"}


def _reason(cloud: World) -> str:
    return " ".join(event["message"] for event in cloud.service()["events"])
