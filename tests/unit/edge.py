"""A load balancer with two colours in moto, real servers behind it, and the data plane that joins them."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import boto3
from aiohttp import web
from moto import mock_aws
from moto.elbv2.models import elbv2_backends

from localcloud.dataplane.traffic import TrafficPlane

ACCOUNT, REGION = "123456789012", "eu-west-1"
WAIT_SECONDS = 20.0
COLOURS = ("blue", "green")


def until(holds: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """Waits until it holds and returns what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < deadline, f"{what} did not come true within {seconds:g} s"
        time.sleep(0.02)
    return found


class Server:
    """A real HTTP server in a thread, which says its version and does what the path tells.

    `/health` answers with `health`, or not at all; `/slow?seconds=2` takes its time; `/status/500` gives the
    status; `/reset` closes the connection; `/nonsense` answers no HTTP; all else gives the headers as JSON.
    """

    def __init__(self, version: str, port: int = 0) -> None:
        self.version = version
        self.health: int | None = 200
        self.port = port
        self.asked = 0
        self.health_checks = 0
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._runner: web.AppRunner | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result(WAIT_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _open(self) -> None:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_route("*", "/{path:.*}", self._any)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    def close(self) -> None:
        """Ends the server, as a crash does: its port refuses."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            asyncio.run_coroutine_threadsafe(runner.cleanup(), self._loop).result(WAIT_SECONDS)

    async def _health(self, _: web.Request) -> web.Response:
        self.health_checks += 1
        if self.health is None:
            await asyncio.sleep(60)
        return web.Response(status=self.health or 200)

    async def _any(self, request: web.Request) -> web.StreamResponse:
        self.asked += 1
        headers = {"X-Version": self.version}
        if request.path.endswith("/slow"):
            await asyncio.sleep(float(request.query.get("seconds", "2")))
        elif "/status/" in request.path:
            return web.Response(status=int(request.path.rsplit("/", 1)[1]), headers=headers)
        elif request.path.endswith("/reset") and request.transport is not None:
            request.transport.abort()
        elif request.path.endswith("/nonsense") and request.transport is not None:
            request.transport.write(b"this is no HTTP\r\n\r\n")
            request.transport.close()
        found = {"path": request.path_qs, "headers": dict(request.headers)}
        return web.json_response(found, headers=headers)


class Edge:
    """A load balancer `edge` with an HTTP listener and the target groups of two colours."""

    def __init__(self) -> None:
        self.elbv2: Any = boto3.client("elbv2", region_name=REGION)
        self.cloudwatch: Any = boto3.client("cloudwatch", region_name=REGION)
        ec2: Any = boto3.client("ec2", region_name=REGION)
        self.vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        self.subnets = [
            ec2.create_subnet(
                VpcId=self.vpc, CidrBlock=f"10.0.{index}.0/24", AvailabilityZone=f"{REGION}{zone}"
            )["Subnet"]["SubnetId"]
            for index, zone in enumerate("ab")
        ]
        self.build()

    def build(self) -> None:
        """Makes it all anew, where there may have been another one."""
        elbv2_backends[ACCOUNT][REGION].reset()
        made = self.elbv2.create_load_balancer(Name="edge", Subnets=self.subnets)["LoadBalancers"][0]
        self.arn, self.address = made["LoadBalancerArn"], made["DNSName"]
        self.groups = {colour: self.group(colour) for colour in COLOURS}
        self.listener = self.listen(8080)
        self.url = f"http://{self.address}:8080"

    def group(self, name: str, **settings: Any) -> str:
        """A new target group's ARN; the checks are as quick as ELB allows."""
        check = {
            "HealthCheckPath": "/health",
            "HealthCheckIntervalSeconds": 5,
            "HealthCheckTimeoutSeconds": 2,
            "HealthyThresholdCount": 2,
            "UnhealthyThresholdCount": 2,
        }
        made = self.elbv2.create_target_group(
            Name=name, Protocol="HTTP", Port=80, VpcId=self.vpc, TargetType="ip", **(check | settings)
        )
        arn: str = made["TargetGroups"][0]["TargetGroupArn"]
        return arn

    def listen(self, port: int, **settings: Any) -> str:
        """A new listener's ARN; it answers 404 to what no rule takes."""
        not_found = {"ContentType": "text/plain", "MessageBody": "not found", "StatusCode": "404"}
        made = self.elbv2.create_listener(
            LoadBalancerArn=self.arn,
            Port=port,
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": not_found}],
            **({"Protocol": "HTTP"} | settings),
        )
        arn: str = made["Listeners"][0]["ListenerArn"]
        return arn

    def rule(
        self, priority: int, action: dict[str, Any], listener: str | None = None, **matching: Any
    ) -> str:
        """A new rule's ARN. matching: `path`, `host`, both with one value or several."""
        fields = {"path": ("path-pattern", "PathPatternConfig"), "host": ("host-header", "HostHeaderConfig")}
        conditions = [
            {
                "Field": fields[key][0],
                fields[key][1]: {"Values": [value] if isinstance(value, str) else value},
            }
            for key, value in matching.items()
        ]
        made = self.elbv2.create_rule(
            ListenerArn=listener or self.listener, Priority=priority, Conditions=conditions, Actions=[action]
        )
        arn: str = made["Rules"][0]["RuleArn"]
        return arn

    def forward(self, blue: int, green: int, sticky_seconds: int | None = None) -> dict[str, Any]:
        """The action of a rule with both colours."""
        config: dict[str, Any] = {
            "TargetGroups": [
                {"TargetGroupArn": self.groups["blue"], "Weight": blue},
                {"TargetGroupArn": self.groups["green"], "Weight": green},
            ]
        }
        if sticky_seconds:
            config["TargetGroupStickinessConfig"] = {"Enabled": True, "DurationSeconds": sticky_seconds}
        return {"Type": "forward", "ForwardConfig": config}

    def shift(self, rule: str, blue: int, green: int, sticky_seconds: int | None = None) -> None:
        """Sets the weights of a rule."""
        self.elbv2.modify_rule(RuleArn=rule, Actions=[self.forward(blue, green, sticky_seconds)])

    def register(self, group: str, *ports: int) -> None:
        """Registers targets."""
        self.elbv2.register_targets(TargetGroupArn=group, Targets=_targets(ports))

    def deregister(self, group: str, *ports: int) -> None:
        """Begins to drain targets."""
        self.elbv2.deregister_targets(TargetGroupArn=group, Targets=_targets(ports))

    def delay(self, group: str, seconds: int) -> None:
        """Sets the deregistration delay."""
        attribute = {"Key": "deregistration_delay.timeout_seconds", "Value": str(seconds)}
        self.elbv2.modify_target_group_attributes(TargetGroupArn=group, Attributes=[attribute])

    def health(self, group: str) -> dict[int, dict[str, str]]:
        """What DescribeTargetHealth says, by port."""
        found = self.elbv2.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return {entry["Target"]["Port"]: entry["TargetHealth"] for entry in found}

    def states(self, group: str) -> dict[int, str]:
        """The states alone."""
        return {port: health["State"] for port, health in self.health(group).items()}

    def until_healthy(self, group: str, *ports: int) -> None:
        """Waits until these targets are healthy."""
        until(
            lambda: all(self.states(group).get(port) == "healthy" for port in ports),
            f"{ports} healthy in {group.rsplit('/', 2)[1]}",
        )


def _targets(ports: tuple[int, ...]) -> list[dict[str, Any]]:
    return [{"Id": "127.0.0.1", "Port": port} for port in ports]


@contextmanager
def running(directory: Path, *, speed: float = 1.0, **settings: Any) -> Iterator[tuple[Edge, TrafficPlane]]:
    """An edge of its own with a data plane that serves it."""
    with mock_aws():
        plane = TrafficPlane(directory, speed=speed, **settings)
        edge = Edge()
        plane.start()
        try:
            yield edge, plane
        finally:
            plane.stop()
