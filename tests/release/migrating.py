"""What the tests of migrations share: a service on the embedded ECS whose image is a small program."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import boto3

from components.colours import Colour
from infra.settings import MigrationSettings
from release.aws.one_off import OneOffTasks
from release.aws.outputs import StackParts, parts
from release.aws.session import bounded
from release.migrations import TaskMigrator
from tests.unit.task_world import REGION, World

PLAN = {"current": None, "target": "0001", "floor": None, "revisions": [{"id": "0001", "kind": "expand"}]}
# Prints a plan, as the command it was asked for.
PROGRAM = """
import os, sys
print("starting")
print(PLAN)
"""


class RealClock:
    """Time as it is."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class OneImage:
    """Both colours run one image."""

    def __init__(self, image: str) -> None:
        self.image = image

    def read(self, service: str) -> Mapping[Colour, str]:
        assert service == "api"
        return {"blue": self.image, "green": self.image}

    def write(self, *_: str) -> None:
        raise AssertionError("a migration writes no image")


def the_parts() -> StackParts:
    by_colour = {"blue": "api", "green": "api"}
    api = {
        "production_rule": "arn:aws:elasticloadbalancing:eu-west-1:123456789012:rule",
        "test_rule": "arn",
        "target_groups": by_colour,
        "ecs_services": by_colour,
        "alarms": {"blue": [], "green": []},
    }
    plain = dict.fromkeys(
        ("region", "production_url", "test_url", "cluster", "release_table", "images_path", "alerts_topic"),
        "main",
    )
    return parts(plain | {"databases": {}, "services": {"api": api}})


class Setup:
    """A migrator, and what it runs on."""

    def __init__(self, cloud: World, image: str, *, timeout_seconds: int = 30, **settings: Any) -> None:
        self.cloud = cloud
        self.ecs = boto3.client("ecs", REGION, config=bounded())
        self.logs = boto3.client("logs", REGION, config=bounded())
        commands = {"command": ["python", "app.py", "up"], "plan_command": ["python", "app.py", "plan"]}
        self.tasks = OneOffTasks(
            ecs=self.ecs,
            logs=self.logs,
            images=OneImage(image),
            parts=the_parts(),
            clock=RealClock(),
            poll_seconds=0.1,
        )
        given = MigrationSettings(**(commands | {"timeout_seconds": timeout_seconds} | settings))
        self.migrator = TaskMigrator(tasks=self.tasks, settings={"api": given, "web": None})

    def one_offs(self) -> list[dict[str, Any]]:
        """The tasks that were ever run."""
        arns = [
            arn
            for status in ("RUNNING", "STOPPED")
            for arn in self.cloud.ecs.list_tasks(cluster="main", desiredStatus=status)["taskArns"]
        ]
        return list(self.cloud.ecs.describe_tasks(cluster="main", tasks=arns)["tasks"]) if arns else []


def migrating(cloud: World, program: str, version: str = "1", **settings: Any) -> Setup:
    """A service with no task, whose image is the program."""
    image = cloud.image(version, program)
    cloud.serve(cloud.define(image), 0)
    return Setup(cloud, image, **settings)


def printing(plan: Mapping[str, Any] = PLAN) -> str:
    return PROGRAM.replace("PLAN", repr(json.dumps(plan)))
