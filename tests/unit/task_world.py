"""What the tests of running tasks share: a cloud in this process with a service to run, and patience."""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import boto3
from moto import mock_aws
from moto.elbv2.models import elbv2_backends

from localcloud.aws import elbv2, install
from localcloud.dataplane.images import publish
from localcloud.dataplane.tasks import TaskPlane

ACCOUNT, REGION = "123456789012", "eu-west-1"
WAIT_SECONDS = 30

# Answers every request with its version; ends well on SIGTERM.
SERVER = """
import http.server, os, signal, sys

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = os.environ["VERSION"].encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("serving", os.environ["PORT"])
http.server.ThreadingHTTPServer((os.environ["HOST"], int(os.environ["PORT"])), Answer).serve_forever()
"""


def eventually(seen: Callable[[], Any], what: str) -> Any:
    """What `seen` returns once that is true; fails with `what` otherwise."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if found := seen():
            return found
        time.sleep(0.05)
    raise AssertionError(f"never happened: {what}")


def client(name: str) -> Any:
    """A client of a service in the tests' region."""
    make: Any = boto3.client
    return make(name, region_name=REGION)


class World:
    """A cluster, a repository, a log group and a target group, with the plane that runs tasks in it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.ecs, self.ecr, self.elbv2, self.logs = map(client, ("ecs", "ecr", "elbv2", "logs"))
        self.ecs.create_cluster(clusterName="main")
        self.ecr.create_repository(repositoryName="shop/api", imageTagMutability="IMMUTABLE")
        self.logs.create_log_group(logGroupName="/shop/api")
        self.plane = TaskPlane(directory / "store", endpoint="http://127.0.0.1:9")

    def image(self, version: str, program: str = SERVER, dockerfile: str = "") -> str:
        """Publishes a Python program and returns its reference."""
        folder = self.directory / f"image-{version}"
        folder.mkdir()
        lines = ["FROM python", f"ENV VERSION={version}", "WORKDIR /app", "COPY . .", dockerfile]
        (folder / "Dockerfile").write_text("\n".join([*lines, 'CMD ["python", "app.py"]']))
        (folder / "app.py").write_text(program)
        return publish(folder, "api", version, self.ecr, self.directory / "store").reference

    def define(self, image: str, definition: Mapping[str, Any] | None = None, **container: Any) -> str:
        """Registers the next revision of a task definition and returns its ARN."""
        registered = self.ecs.register_task_definition(
            family="api",
            networkMode="awsvpc",
            requiresCompatibilities=["FARGATE"],
            cpu="256",
            memory="512",
            containerDefinitions=[
                {
                    "name": "api",
                    "image": image,
                    "portMappings": [{"containerPort": 8080}],
                    "stopTimeout": 5,
                    "logConfiguration": {
                        "logDriver": "awslogs",
                        "options": {
                            "awslogs-group": "/shop/api",
                            "awslogs-region": REGION,
                            "awslogs-stream-prefix": "api",
                        },
                    },
                    **container,
                }
            ],
            **(definition or {}),
        )
        arn: str = registered["taskDefinition"]["taskDefinitionArn"]
        return arn

    def target_group(self) -> str:
        """A new target group, with a deregistration delay of 30 s."""
        vpc = client("ec2").create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        (group,) = self.elbv2.create_target_group(
            Name="api", Protocol="HTTP", Port=8080, VpcId=vpc, TargetType="ip"
        )["TargetGroups"]
        arn: str = group["TargetGroupArn"]
        self.elbv2.modify_target_group_attributes(
            TargetGroupArn=arn, Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": "30"}]
        )
        return arn

    def serve(self, definition: str, count: int, group: str | None = None, **settings: Any) -> None:
        """Makes the service `api`."""
        balancers = [{"targetGroupArn": group, "containerName": "api", "containerPort": 8080}]
        self.ecs.create_service(
            cluster="main",
            serviceName="api",
            taskDefinition=definition,
            desiredCount=count,
            launchType="FARGATE",
            loadBalancers=balancers if group else [],
            **settings,
        )

    def service(self) -> dict[str, Any]:
        """The service `api` as the API describes it."""
        (found,) = self.ecs.describe_services(cluster="main", services=["api"])["services"]
        return dict(found)

    def tasks(self, status: str = "RUNNING") -> list[dict[str, Any]]:
        """The service's tasks of that desired status."""
        arns = self.ecs.list_tasks(cluster="main", serviceName="api", desiredStatus=status)["taskArns"]
        found = self.ecs.describe_tasks(cluster="main", tasks=arns)["tasks"] if arns else []
        return [dict(task) for task in found]

    def running(self) -> list[dict[str, Any]]:
        """The service's tasks that run."""
        return [task for task in self.tasks() if task["lastStatus"] == "RUNNING"]

    def steady(self, count: int) -> list[dict[str, Any]]:
        """Waits until so many tasks run and the deployment is completed; returns the tasks."""

        def done() -> bool:
            service = self.service()
            (first, *others) = service["deployments"]
            told = service["runningCount"], first["rolloutState"], others
            # The counts are a moment behind the tasks themselves.
            return told == (count, "COMPLETED", []) and len(self.running()) == count

        eventually(done, f"{count} tasks run, and nothing else")
        return self.running()

    def lines(self, task: Mapping[str, Any]) -> list[str]:
        """What the task wrote; nothing before it has a stream."""
        stream = f"api/api/{task['taskArn'].split('/')[-1]}"
        try:
            answer = self.logs.get_log_events(logGroupName="/shop/api", logStreamName=stream)
        except self.logs.exceptions.ResourceNotFoundException:
            return []
        return [event["message"] for event in answer["events"]]

    def set_health(self, group: str, state: str, ports: list[int], drained: list[int] | None = None) -> None:
        """What the load balancer finds of the targets at these ports; and which ones have drained."""
        elbv2.set_health(
            elbv2_backends[ACCOUNT][REGION].target_groups[group],
            {f"127.0.0.1:{port}": elbv2.Health(state=state) for port in ports},
            [f"127.0.0.1:{port}" for port in drained or []],
        )


@contextmanager
def world(directory: Path) -> Iterator[World]:
    """A world whose plane runs, and which leaves nothing behind."""
    install()
    elbv2.add()
    with mock_aws():
        made = World(directory)
        made.plane.start()
        try:
            yield made
        finally:
            made.plane.stop()


def port_of(task: Mapping[str, Any]) -> int:
    """Where the task listens."""
    port: int = task["containers"][0]["networkBindings"][0]["hostPort"]
    return port
