"""What the load balancer costs: the same load straight to one trivial server, and through the listener.

`python -m bench.traffic [SECONDS]` takes some fourteen times SECONDS (default 5). Server, load and listener
are processes of their own, as in use; rounds alternate, so that a busy machine troubles both alike.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto import mock_aws
from rich.console import Console

from bench.results import Figure, judged, spread, table_of
from localcloud.dataplane.traffic import TrafficPlane
from localcloud.load import Load, percentile

RATE = 1000
CONNECTIONS = 50
ROUNDS = 7
GOAL_MILLISECONDS = 10.0
# What is under way at the end of a round is not counted.
REACHED = 0.99
REGION = "eu-west-1"
HEALTHY_SECONDS = 20.0
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-Version: 1\r\nContent-Length: 2\r\n\r\nok"
Json = dict[str, Any]


class Trivial(asyncio.Protocol):
    """Answers the same to every request, with as little of its own as can be."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called once for each connection."""
        self._transport = transport
        self._rest = b""

    def data_received(self, data: bytes) -> None:
        """Called with what came in; requests have no bodies here."""
        *requests, self._rest = (self._rest + data).split(b"\r\n\r\n")
        if isinstance(self._transport, asyncio.Transport):
            self._transport.write(ANSWER * len(requests))


async def serve() -> None:
    """The server; says its port and serves until it is ended."""
    server = await asyncio.get_running_loop().create_server(Trivial, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def load(url: str, seconds: float) -> Json:
    """What came of the load, in milliseconds."""
    begun = time.monotonic()
    total = Load(url, rate_per_second=RATE, connections=CONNECTIONS).run(seconds).total
    figures: Json = {
        "rate": total.ok / (time.monotonic() - begun),
        "failed": sum(total.failed.values()),
    }
    for percent in (50, 99):
        figures[f"p{percent}"] = 1000 * (percentile(total.latencies, percent) or 0)
    return figures


def loaded(url: str, seconds: float) -> Json:
    """The same in a process of its own."""
    command = [sys.executable, "-m", "bench.traffic", "--load", url, str(seconds)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603 - ourselves
    figures: Json = json.loads(done.stdout)
    return figures


@contextmanager
def server() -> Iterator[int]:
    """The port of a server in a process of its own."""
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.traffic", "--serve"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None  # noqa: S101 - asked for above
        yield int(process.stdout.readline())
    finally:
        process.terminate()
        process.wait()


@contextmanager
def listener(port: int) -> Iterator[str]:
    """The URL of a listener in front of the server, with a blue/green rule as the platform makes it."""
    os.environ |= {"AWS_ACCESS_KEY_ID": "bench", "AWS_SECRET_ACCESS_KEY": "bench"}
    with tempfile.TemporaryDirectory(prefix="switchyard-bench-") as scratch, mock_aws():
        plane = TrafficPlane(Path(scratch))
        plane.start()
        try:
            yield _made(port)
        finally:
            plane.stop()


def _made(port: int) -> str:
    ec2: Any = boto3.client("ec2", region_name=REGION)
    elb: Any = boto3.client("elbv2", region_name=REGION)
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    zones = zip((f"{REGION}a", f"{REGION}b"), ("10.0.0.0/24", "10.0.1.0/24"), strict=True)
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=block, AvailabilityZone=zone)["Subnet"]["SubnetId"]
        for zone, block in zones
    ]
    balancer = elb.create_load_balancer(Name="bench", Subnets=subnets)["LoadBalancers"][0]
    groups = [
        elb.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=vpc, TargetType="ip")[
            "TargetGroups"
        ][0]["TargetGroupArn"]
        for name in ("blue", "green")
    ]
    weights = [
        {"TargetGroupArn": group, "Weight": weight} for group, weight in zip(groups, (100, 0), strict=True)
    ]
    elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"],
        Protocol="HTTP",
        Port=8080,
        DefaultActions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": weights}}],
    )
    elb.register_targets(TargetGroupArn=groups[0], Targets=[{"Id": "127.0.0.1", "Port": port}])
    deadline = time.monotonic() + HEALTHY_SECONDS
    while time.monotonic() < deadline:
        found = elb.describe_target_health(TargetGroupArn=groups[0])["TargetHealthDescriptions"]
        if [entry["TargetHealth"]["State"] for entry in found] == ["healthy"]:
            return f"http://{balancer['DNSName']}:8080"
        time.sleep(0.1)
    raise TimeoutError(f"the server did not become healthy within {HEALTHY_SECONDS:g} s: {found}")


def measured(seconds: float) -> dict[str, list[Json]]:
    """The figures of every round, straight and through the listener."""
    rounds: dict[str, list[Json]] = {"straight": [], "listener": []}
    with server() as port, listener(port) as url:
        urls = {"straight": f"http://127.0.0.1:{port}", "listener": url}
        for _ in range(ROUNDS):
            for way, at in urls.items():
                rounds[way].append(loaded(at, seconds))
    return rounds


def figures(seconds: float = 5.0) -> Iterator[Figure]:
    """The figures beside their goals: medians of the rounds, and the range of the 99th percentile."""
    found = measured(seconds)
    for way, rounds in found.items():
        middle = {key: statistics.median(one[key] for one in rounds) for key in rounds[0]}
        p99 = sorted(one["p99"] for one in rounds)
        failed = sum(one["failed"] for one in rounds)
        yield Figure(
            what=f"{RATE} requests/s, {way}",
            measured=f"{middle['rate']:.0f}/s, p50 {middle['p50']:.1f} ms, p99 {middle['p99']:.1f} ms "
            f"({p99[0]:.1f} to {p99[-1]:.1f}), {failed} failed",
            goal=f"{RATE}/s, none failed",
            met=round(middle["rate"]) >= RATE * REACHED and not failed,
        )
    pairs = zip(found["straight"], found["listener"], strict=True)
    overheads = [through["p99"] - straight["p99"] for straight, through in pairs]
    yield judged(
        "p99 overhead of the listener",
        statistics.median(overheads),
        spread(overheads, "ms"),
        GOAL_MILLISECONDS,
        f"≤ {GOAL_MILLISECONDS:g} ms",
    )


def main() -> None:
    """Runs it, or one of its processes."""
    what = sys.argv[1] if len(sys.argv) > 1 else "5"
    if what == "--serve":
        asyncio.run(serve())
    elif what == "--load":
        print(json.dumps(load(sys.argv[2], float(sys.argv[3]))))
    else:
        Console(width=160).print(table_of(figures(float(what))))


if __name__ == "__main__":
    main()
