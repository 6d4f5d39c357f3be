"""A stack `local` that is released to with the real command, in a checkout of its own, under load."""

import fcntl
import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, TypeVar

from examples.variants import variant
from localcloud.dataplane import images
from localcloud.paths import IMAGES, PROJECT, WORKSPACE
from tests.cloud import killed_release, rounds, state_elsewhere
from tests.cloud.commands import COMMAND_SECONDS, Command, Said
from tests.cloud.stack import StackUnderTest, copy_code

STACK = "local"
SERVICE: Literal["api"] = "api"
COLOURS = ("blue", "green")
# What every version here knows of the database, and the next revision.
SCHEMA, NEXT_SCHEMA = "0001", "0002"
# What is waited for comes within seconds, or a minute on a busy machine; this is far beyond that.
WAIT_SECONDS = 240
LOOK_SECONDS = 0.25
# Requests per second from which on another one of its kind would make a request fail for want of a core.
MUCH_LOAD = 100

COMPLETED, FAILED, REFUSED, ROLLED_BACK, NEEDS_PERSON, INTERRUPTED = 0, 1, 3, 4, 5, 130

T = TypeVar("T")


@dataclass
class Checkout:
    """The stack and the command that releases to it.

    The command knows a stack by the settings of its own checkout: this is one, with the project's code, the
    test's settings and an account of its own on the cloud that all tests share.
    """

    stack: StackUnderTest
    versions: int = 0
    running: list[Command] = field(default_factory=list)

    @classmethod
    def create(cls, folder: Path, account: str, edit: Callable[[dict[str, Any]], None]) -> "Checkout":
        """A checkout whose stack is up; nothing was released to it."""
        folder.mkdir(parents=True)
        # The stack under test has its own way to the program.
        copy_code(folder, but=("infra",))
        checkout = cls(StackUnderTest.create(folder, STACK, account))
        checkout.stack.change(edit)
        said = checkout.switchyard("cloud", "up", "--stack", STACK)
        assert said.status == 0, said.text
        return checkout

    # Commands.

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self.stack.folder

    @cached_property
    def environment(self) -> Mapping[str, str]:
        """A shell that knows of no cloud, with this checkout's code before any other."""
        # Coverage is of the project's files; it would look for these copies when they are gone.
        shell = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
        return {**shell, "PYTHONPATH": str(self.folder), "SWITCHYARD_HOME": str(WORKSPACE)}

    def begin(self, *arguments: str) -> Command:
        """Starts `switchyard …` and does not wait for it."""
        program = [sys.executable, "-c", "from switchyard.cli import main; main()"]
        return self._run([*program, *arguments])

    def switchyard(self, *arguments: str) -> Said:
        """Runs `switchyard …`."""
        return self.begin(*arguments).end()

    def release(self, command: str, *arguments: str) -> Said:
        """Runs `switchyard release COMMAND … --stack local`."""
        return self.switchyard("release", command, *arguments, "--stack", STACK)

    def start(self, image: str, *flags: str, state_by: str = "") -> Command:
        """Begins a release of the image. state_by: where its engine finds S3, if not in the cloud itself."""
        arguments = ["--stack", STACK, "--service", SERVICE, "--image", image, "--yes", "--json", *flags]
        if state_by:
            return self._run(
                [sys.executable, state_elsewhere.__file__, state_by, "release", "start", *arguments]
            )
        return self.begin("release", "start", *arguments)

    def released(self, image: str, *flags: str) -> Said:
        """Releases the image, to its end."""
        return self.start(image, *flags).end()

    def start_and_die(self, image: str, state: str, **request: object) -> None:
        """Begins a release whose process dies by SIGKILL once it has kept that state."""
        asked = json.dumps({"images": {SERVICE: image}, **request})
        said = self._run([sys.executable, killed_release.__file__, state, asked]).end()
        assert said.status == -9, f"its process was to die at {state}: {said.text}"

    def rounds(self, images: Sequence[str]) -> list[Any]:
        """Releases one after the other and has each taken back in its bake; how they ended."""
        said = self._run([sys.executable, rounds.__file__, *images]).end(
            seconds=len(images) * COMMAND_SECONDS
        )
        assert said.status == 0, said.text
        return [json.loads(line) for line in said.out.splitlines()]

    def _run(self, arguments: Sequence[str]) -> Command:
        command = Command(arguments, folder=self.folder, environment=self.environment)
        self.running.append(command)
        return command

    def close(self) -> None:
        """Ends what a failed test has left running, and its release, so that the next test can begin."""
        for command in self.running:
            command.kill()
        self.running.clear()
        if self.current() is not None:
            self.release("abort", "--reason", "its test has failed")

    def set_healthy_timeout(self, seconds: int) -> None:
        """For the releases that begin from now on."""
        self.stack.change(
            lambda found: found["switchyard:release"].update({"healthy_timeout_seconds": seconds})
        )

    # What there is to release.

    def image(self, schema: str = SCHEMA, **behaviour: object) -> tuple[str, str]:
        """Publishes the next version of the example; its version and its address by digest."""
        self.versions += 1
        version = f"v{self.versions}"
        built = variant(self.folder / "build", SERVICE, version, schema=schema, **behaviour)
        repository = f"switchyard-{STACK}/{SERVICE}"
        return version, images.publish(built, repository, version, self.stack.aws("ecr"), IMAGES).reference

    # What can be seen from outside.

    @cached_property
    def outputs(self) -> Any:
        """The stack's outputs."""
        return self.stack.outputs()

    @property
    def api(self) -> str:
        """The example's address on the production listener."""
        return f"{self.outputs['production_url']}/api/"

    def weights(self, listener: str = "production") -> dict[str, int]:
        """The live weights of a rule, by colour."""
        parts = self.outputs["services"][SERVICE]
        rule = self.stack.aws("elbv2").describe_rules(RuleArns=[parts[f"{listener}_rule"]])["Rules"][0]
        by_arn = {
            group["TargetGroupArn"]: group["Weight"]
            for group in rule["Actions"][0]["ForwardConfig"]["TargetGroups"]
        }
        return {colour: by_arn[parts["target_groups"][colour]] for colour in COLOURS}

    def move(self, weights: Mapping[str, int]) -> None:
        """Moves production traffic by hand, as a person with the AWS CLI would."""
        parts = self.outputs["services"][SERVICE]
        balancer, rule = self.stack.aws("elbv2"), parts["production_rule"]
        actions = balancer.describe_rules(RuleArns=[rule])["Rules"][0]["Actions"]
        by_arn = {parts["target_groups"][colour]: weights[colour] for colour in COLOURS}
        for group in actions[0]["ForwardConfig"]["TargetGroups"]:
            group["Weight"] = by_arn[group["TargetGroupArn"]]
        balancer.modify_rule(RuleArn=rule, Actions=actions)

    def desired(self) -> dict[str, int]:
        """The desired counts, by colour."""
        names = self.outputs["services"][SERVICE]["ecs_services"]
        found = self.stack.aws("ecs").describe_services(
            cluster=self.outputs["cluster"], services=[names[colour] for colour in COLOURS]
        )["services"]
        by_name = {one["serviceName"]: one["desiredCount"] for one in found}
        return {colour: by_name[names[colour]] for colour in COLOURS}

    def suspended(self) -> dict[str, dict[str, bool]]:
        """What is suspended of the colours' scaling."""
        names = self.outputs["services"][SERVICE]["ecs_services"]
        targets = self.stack.aws("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")
        by_name = {one["ResourceId"].rsplit("/", 1)[-1]: one for one in targets["ScalableTargets"]}
        return {colour: by_name[names[colour]]["SuspendedState"] for colour in COLOURS}

    def item(self, pk: str, sk: str) -> Any:
        """An item of the release table, in DynamoDB's own types; None where there is none."""
        key = {"pk": {"S": pk}, "sk": {"S": sk}}
        table = self.outputs["release_table"]
        return self.stack.aws("dynamodb").get_item(TableName=table, Key=key, ConsistentRead=True).get("Item")

    @contextmanager
    def tampered(self, number: int, seq: int, field: str, text: str) -> Iterator[None]:
        """Writes over a part of a release's record, past the engine, and puts it back afterwards."""
        honest = self.item("record", f"{number:08d}/{seq:06d}")
        changed = json.dumps({**json.loads(honest["entry"]["S"]), field: text})
        table, dynamodb = self.outputs["release_table"], self.stack.aws("dynamodb")
        dynamodb.put_item(TableName=table, Item={**honest, "entry": {"S": changed}})
        try:
            yield
        finally:
            dynamodb.put_item(TableName=table, Item=honest)

    def current(self) -> Any:
        """The release in progress as it is kept, or None."""
        item = self.item("current", "release")
        return None if item is None else json.loads(item["release"]["S"])

    def wait_for_phase(self, phase: str, command: Command) -> Any:
        """The release in progress, once it is in that phase; the command is the one that it runs in."""

        def there() -> Any:
            if command.is_over:
                raise AssertionError(f"it was to reach {phase}, and it ended: {command.end().text}")
            found = self.current()
            return found if found and found["phase"] == phase else None

        return wait_for(there, f"the release reaches {phase}")

    def wait_for_quiet_alarms(self) -> None:
        """Waits until no alarm of the service fires: a bad version's goes on for some periods after it."""
        alarms = self.outputs["services"][SERVICE]["alarms"]
        names = [name for colour in COLOURS for name in alarms[colour]]
        cloudwatch = self.stack.aws("cloudwatch")

        def quiet() -> bool | None:
            found = cloudwatch.describe_alarms(AlarmNames=names)["MetricAlarms"]
            return None if any(alarm["StateValue"] == "ALARM" for alarm in found) else True

        wait_for(quiet, "the alarms of the version before are over")

    def wait_for_the_lease(self) -> None:
        """Waits until the lease of a process that has died is over."""
        item = self.item("lock", "stack")
        until = datetime.fromisoformat(item["until"]["S"])
        time.sleep(max(0.0, (until - datetime.now(UTC)).total_seconds()) + LOOK_SECONDS)

    def end_the_lease(self) -> None:
        """As if the lock's lease had gone by: its holder has died, and nobody waits for a minute."""
        self.stack.aws("dynamodb").update_item(
            TableName=self.outputs["release_table"],
            Key={"pk": {"S": "lock"}, "sk": {"S": "stack"}},
            UpdateExpression="SET #until = :now",
            ExpressionAttributeNames={"#until": "until"},
            ExpressionAttributeValues={":now": {"S": datetime.now(UTC).isoformat()}},
        )

    def stored(self, number: int) -> Any:
        """The entries of a record, as they are in the table; nothing verifies them."""
        found = self.stack.aws("dynamodb").query(
            TableName=self.outputs["release_table"],
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk AND begins_with(sk, :sk)",
            ExpressionAttributeValues={":pk": {"S": "record"}, ":sk": {"S": f"{number:08d}/"}},
        )["Items"]
        return {"entries": [json.loads(item["entry"]["S"]) for item in found]}

    def shown(self, number: int) -> Any:
        """`show --json`, which verifies the record."""
        said = self.release("show", str(number), "--json")
        assert said.status == 0, said.text
        return said.json

    @contextmanager
    def load(self, rate: float, *, slow_share: float = 0.0) -> Iterator["Traffic"]:
        """Sends requests from another process meanwhile; its figures are there after the block.

        Of much load there is one at a time in a run, whatever the number of its workers.
        """
        with much_load() if rate >= MUCH_LOAD else nullcontext(), self._sending(rate, slow_share) as traffic:
            yield traffic

    @contextmanager
    def _sending(self, rate: float, slow_share: float) -> Iterator["Traffic"]:
        traffic = Traffic()
        arguments = [self.api, "--rate", f"{rate:g}", "--slow-share", f"{slow_share:g}"]
        command = Command(
            [sys.executable, "-m", "tests.cloud.sending", *arguments, "--slow-path", "/slow?seconds=2"],
            folder=PROJECT,
            environment=os.environ,
        )
        self.running.append(command)
        assert command.line() == "sending\n"
        try:
            yield traffic
        except BaseException:
            command.kill()
            raise
        said = command.end()
        assert said.status == 0, said.text
        traffic.figures = said.json


@dataclass
class Traffic:
    """What came of a load."""

    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lost(self) -> Mapping[str, Any]:
        """Everything that failed: empty if nothing did."""
        failed: Mapping[str, Any] = self.figures["failed"]
        about = {name: self.figures[name] for name in ("samples", "late_seconds")}
        return {**failed, **about} if failed else {}


@contextmanager
def much_load() -> Iterator[None]:
    """Waits until no other test of the run sends much load. A process that dies lets it go."""
    with (WORKSPACE / "load.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def wait_for(look: Callable[[], T | None], what: str) -> T:
    """What the look finds at last."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        found = look()
        if found is not None:
            return found
        time.sleep(LOOK_SECONDS)
    raise AssertionError(f"{what}: not within {WAIT_SECONDS} s")


def shares(shown: Any, colour: str) -> list[int]:
    """The percentages of traffic that a colour had during a release, by its record."""
    return [entry["weights"][SERVICE][colour] for entry in shown["entries"] if entry["weights"]]


def phases(shown: Any) -> list[str]:
    """The phases that a release went through, by its record."""
    found: list[str] = []
    for entry in shown["entries"]:
        if not found or found[-1] != entry["phase"]:
            found.append(entry["phase"])
    return found
