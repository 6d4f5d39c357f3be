"""A small stack on moto, made by boto3 calls, and faults that can be put in the way of any call."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import boto3
from botocore.awsrequest import AWSPreparedRequest, AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError, ConnectTimeoutError, ReadTimeoutError
from moto.core.models import botocore_stubber

from components.colours import COLOURS
from release.aws.outputs import StackParts, parts
from release.aws.session import ATTEMPTS, Clients

REGION = "eu-west-1"
ACCOUNT = "123456789012"
PREFIX = "shop-test"
OLD, NEW = ("a" * 64), ("b" * 64)
REPOSITORY = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/{PREFIX}/api"


def image(digit: str) -> str:
    """An image of the api by digest."""
    return f"{REPOSITORY}@sha256:{digit * 64}"


@dataclass
class Stack:
    """The stack's outputs, and clients of its own for a test to arrange things with."""

    outputs: dict[str, Any]
    clients: Clients

    @property
    def parts(self) -> StackParts:
        """The outputs as the adapters take them."""
        return parts(self.outputs)

    def with_new_clients(self) -> "Stack":
        """The same, for a test of its own: botocore retries less the more a client had to."""
        return replace(self, clients=Clients(session()))

    def client(self, name: Any) -> Any:
        """A client that no fault is put in the way of."""
        return arranging(name)


@cache
def session() -> boto3.Session:
    """One for all: a session reads the description of every service anew."""
    return boto3.Session(
        region_name=REGION,
        aws_access_key_id="testing",
        aws_secret_access_key="testing",  # noqa: S106 - moto's
    )


@cache
def arranging(name: Any) -> Any:
    """A client for tests to arrange things with; none of the adapters has it."""
    return session().client(name)


def build(services: tuple[str, ...] = ("api", "web")) -> Stack:
    """The stack; moto has to be on."""
    network = _network()
    arranging("ecs").create_cluster(clusterName=PREFIX)
    outputs = {
        "region": REGION,
        "production_url": "http://production",
        "test_url": "http://test",
        "vpc": network["vpc"],
        "cluster": PREFIX,
        "release_table": f"{PREFIX}-releases",
        "images_path": "/shop/test/images",
        "alerts_topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:{PREFIX}",
        "databases": {"main": f"{PREFIX}-main"},
        "services": {
            name: _service(network, name, priority) for priority, name in enumerate(services, start=10)
        },
    }
    for watch in ("cpu", "free-storage", "connections"):
        _alarm(f"{PREFIX}-main-{watch}")
    return Stack(outputs=outputs, clients=Clients(session()))


def _network() -> dict[str, Any]:
    ec2, elbv2 = arranging("ec2"), arranging("elbv2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [
        ec2.create_subnet(VpcId=vpc, CidrBlock=f"10.0.{n}.0/24", AvailabilityZone=f"{REGION}{zone}")[
            "Subnet"
        ]["SubnetId"]
        for n, zone in enumerate("ab")
    ]
    balancer = elbv2.create_load_balancer(Name=PREFIX, Subnets=subnets)["LoadBalancers"][0]["LoadBalancerArn"]
    listeners = {
        name: elbv2.create_listener(
            LoadBalancerArn=balancer,
            Protocol="HTTP",
            Port=port,
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
        )["Listeners"][0]["ListenerArn"]
        for name, port in (("production", 80), ("test", 8080))
    }
    return {"vpc": vpc, "subnets": subnets, "listeners": listeners}


def _service(network: dict[str, Any], name: str, priority: int) -> dict[str, Any]:
    elbv2, ecs = arranging("elbv2"), arranging("ecs")
    groups = {
        colour: elbv2.create_target_group(
            Name=f"{PREFIX}-{name}-{colour}", VpcId=network["vpc"], Protocol="HTTP", Port=80, TargetType="ip"
        )["TargetGroups"][0]["TargetGroupArn"]
        for colour in COLOURS
    }
    rules = {
        listener: elbv2.create_rule(
            ListenerArn=arn,
            Priority=priority,
            Conditions=[{"Field": "path-pattern", "Values": [f"/{name}/*"]}],
            Actions=[
                {
                    "Type": "forward",
                    "ForwardConfig": {
                        "TargetGroups": [
                            {"TargetGroupArn": groups["blue"], "Weight": blue},
                            {"TargetGroupArn": groups["green"], "Weight": 100 - blue},
                        ],
                        "TargetGroupStickinessConfig": {"Enabled": True, "DurationSeconds": 123},
                    },
                }
            ],
        )["Rules"][0]["RuleArn"]
        for (listener, arn), blue in zip(network["listeners"].items(), (100, 0), strict=True)
    }
    for colour in COLOURS:
        family = f"{PREFIX}-{name}-{colour}"
        ecs.register_task_definition(
            family=family, containerDefinitions=[{"name": name, "image": image("a"), "memory": 512}]
        )
        ecs.create_service(
            cluster=PREFIX, serviceName=family, taskDefinition=family, desiredCount=2, launchType="FARGATE"
        )
        for watch in ("error-rate", "latency-p99", "unhealthy-hosts"):
            _alarm(f"{family}-{watch}")
    return {
        "production_rule": rules["production"],
        "test_rule": rules["test"],
        "target_groups": groups,
        "ecs_services": {colour: f"{PREFIX}-{name}-{colour}" for colour in COLOURS},
        "alarms": {
            colour: [
                f"{PREFIX}-{name}-{colour}-{watch}"
                for watch in ("error-rate", "latency-p99", "unhealthy-hosts")
            ]
            for colour in COLOURS
        },
    }


def _alarm(name: str) -> None:
    arranging("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="Test",
        MetricName="m",
        ComparisonOperator="GreaterThanThreshold",
        EvaluationPeriods=1,
        Period=60,
        Statistic="Sum",
        Threshold=1,
    )


Respond = Callable[[AWSPreparedRequest], AWSResponse]


class _Raw:
    """A body as urllib3 has it."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._body

    def read(self, *_: Any, **__: Any) -> bytes:
        return self._body


def answer(status: int, code: str) -> Respond:
    """An error as AWS sends it, in the protocol of the request."""

    def respond(request: AWSPreparedRequest) -> AWSResponse:
        asked = str(request.headers.get("Content-Type", ""))
        if "json" in asked:
            body = f'{{"__type": "{code}", "message": "planted"}}'
        elif "cbor" in asked:
            raise AssertionError("an answer in CBOR is not planted; use a failure of the connection")
        else:
            body = (
                f"<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>planted</Message>"
                "</Error><RequestId>r</RequestId></ErrorResponse>"
            )
        return AWSResponse(request.url, status, HTTPHeaders(), _Raw(body.encode()))

    return respond


def failing(error: type[Exception]) -> Respond:
    """A connection that breaks."""

    def respond(request: AWSPreparedRequest) -> AWSResponse:
        raise error(endpoint_url=request.url, error="planted")  # type: ignore[call-arg]

    return respond


def garbage(request: AWSPreparedRequest) -> AWSResponse:
    """Status 200 and half an answer."""
    return AWSResponse(request.url, 200, HTTPHeaders(), _Raw(b'<DescribeRulesResponse><Desc{"serv'))


FAULTS: dict[str, Respond] = {
    "throttled": answer(400, "Throttling"),
    "throttled-json": answer(400, "ThrottlingException"),
    "internal-error": answer(500, "InternalFailure"),
    "unavailable": answer(503, "ServiceUnavailable"),
    "connect-timeout": failing(ConnectTimeoutError),
    "read-timeout": failing(ReadTimeoutError),
    "reset": failing(ConnectionClosedError),
}


@dataclass
class Fault:
    """What is in the way of the calls of one operation.

    times: of how many calls; the first ones.
    after: the call is carried out first, and only its answer is lost.
    """

    respond: Respond
    times: int
    after: bool = False
    met: int = 0

    def __call__(self, request: AWSPreparedRequest, event_name: str, **_: Any) -> AWSResponse | None:
        """Before a request is sent."""
        if self.met >= self.times:
            return None
        self.met += 1
        if self.after:
            botocore_stubber(event_name, request)
        return self.respond(request)


@contextmanager
def in_the_way(client: Any, operation: str, fault: Fault) -> Iterator[Fault]:
    """Puts the fault in the way of an operation of the client, such as DescribeRules."""
    event = f"before-send.{client.meta.service_model.service_id.hyphenize()}.{operation}"
    client.meta.events.register_first(event, fault)
    try:
        yield fault
    finally:
        client.meta.events.unregister(event, fault)


# More often than any call is tried.
ALWAYS = 10 * ATTEMPTS
