"""What the adapters read and write, on moto."""

from collections.abc import Iterator
from typing import Any

import pytest
from moto import mock_aws
from moto.elbv2.models import FakeHealthStatus, FakeTargetGroup

from components.colours import COLOURS
from infra.arguments import Stack as ProgramStack
from release.aws.alarms import StackAlarms, database_alarm_names
from release.aws.backups import newest_backup
from release.aws.balancer import RuleBalancer
from release.aws.fleet import EcsFleet
from release.aws.images import ParameterImages
from release.aws.outputs import parts
from release.aws.registry import EcrRegistry, EcrRepository, ecr_repository, repository_of
from release.errors import NeedsPerson, Refused, Unavailable
from release.ports import Balancer, Fleet, Images
from tests.release.aws_stack import ACCOUNT, PREFIX, REGION, REPOSITORY, Stack, build, image
from tests.unit.stacks import platform
from tests.unit.stacks import stack as program_stack

MANIFEST = '{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}'
API, WEB = f"{PREFIX}-api", f"{PREFIX}-web"


@pytest.fixture
def stack() -> Iterator[Stack]:
    with mock_aws():
        yield build()


def balancer(stack: Stack) -> Balancer:
    return RuleBalancer(stack.clients.elbv2, stack.parts.services)


def images(stack: Stack) -> Images:
    return ParameterImages(stack.clients.ssm, stack.parts.images_path)


def fleet(stack: Stack) -> Fleet:
    clients = stack.clients
    return EcsFleet(
        ecs=clients.ecs,
        elbv2=clients.elbv2,
        autoscaling=clients.autoscaling,
        images=images(stack),
        parts=stack.parts,
        minimums={"api": 2, "web": 3},
    )


def rules(stack: Stack) -> dict[str, Any]:
    """Every rule of the two services, without its weights, and the weights by rule."""
    arns = [
        service[rule]
        for service in stack.outputs["services"].values()
        for rule in ("production_rule", "test_rule")
    ]
    return {rule["RuleArn"]: rule for rule in stack.client("elbv2").describe_rules(RuleArns=arns)["Rules"]}


def groups(rule: Any) -> list[Any]:
    found: list[Any] = rule["Actions"][0]["ForwardConfig"]["TargetGroups"]
    return found


class TestBalancer:
    def test_the_live_weights_of_both_rules_are_read(self, stack: Stack) -> None:
        routing = balancer(stack).read("web")
        assert routing.production == {"blue": 100, "green": 0}
        assert routing.test == {"blue": 0, "green": 100}

    @pytest.mark.parametrize("listener", ["production", "test"])
    def test_a_write_changes_the_weights_of_one_rule_and_nothing_else(
        self, stack: Stack, listener: Any
    ) -> None:
        before = rules(stack)
        balancer(stack).write("api", listener, {"blue": 64, "green": 36})
        after = rules(stack)
        arn = stack.outputs["services"]["api"][f"{listener}_rule"]
        target_groups = stack.outputs["services"]["api"]["target_groups"]
        assert {group["TargetGroupArn"]: group["Weight"] for group in groups(after[arn])} == {
            target_groups["blue"]: 64,
            target_groups["green"]: 36,
        }
        sticky = after[arn]["Actions"][0]["ForwardConfig"]["TargetGroupStickinessConfig"]
        assert (sticky["Enabled"], int(sticky["DurationSeconds"])) == (True, 123)
        for group, old in zip(groups(after[arn]), groups(before[arn]), strict=True):
            group["Weight"] = old["Weight"]
        assert after == before

    def test_both_colours_stay_on_the_rule_when_one_has_everything(self, stack: Stack) -> None:
        balancer(stack).write("api", "production", {"blue": 0, "green": 100})
        rule = rules(stack)[stack.outputs["services"]["api"]["production_rule"]]
        assert [group["Weight"] for group in groups(rule)] == [0, 100]

    def test_what_stands_before_the_forward_is_sent_back_with_it(self, stack: Stack) -> None:
        arn = stack.outputs["services"]["api"]["production_rule"]
        forward = rules(stack)[arn]["Actions"][0]
        login = {
            "Type": "authenticate-oidc",
            "Order": 1,
            "AuthenticateOidcConfig": {
                "Issuer": "https://id.example.com",
                "AuthorizationEndpoint": "https://id.example.com/a",
                "TokenEndpoint": "https://id.example.com/t",
                "UserInfoEndpoint": "https://id.example.com/u",
                "ClientId": "shop",
                "ClientSecret": "planted",
                "OnUnauthenticatedRequest": "deny",
            },
        }
        stack.client("elbv2").modify_rule(RuleArn=arn, Actions=[login, {**forward, "Order": 2}])
        sent: list[Any] = []
        stack.clients.elbv2.meta.events.register(
            "provide-client-params.elastic-load-balancing-v2.ModifyRule",
            lambda params, **_: sent.append(params),
        )
        balancer(stack).write("api", "production", {"blue": 1, "green": 99})
        ((first, second),) = [params["Actions"] for params in sent]
        assert first["AuthenticateOidcConfig"]["UseExistingClientSecret"] is True
        assert first["AuthenticateOidcConfig"]["OnUnauthenticatedRequest"] == "deny"
        assert [group["Weight"] for group in second["ForwardConfig"]["TargetGroups"]] == [1, 99]

    @pytest.mark.parametrize(
        "weights",
        [{"blue": 100}, {"blue": 60, "green": 60}, {"blue": 110, "green": -10}, {"blue": 0, "green": 0}, {}],
    )
    def test_weights_that_are_not_100_of_both_colours_are_never_written(
        self, stack: Stack, weights: Any
    ) -> None:
        before = rules(stack)
        with pytest.raises(ValueError, match="give both colours, 100 together"):
            balancer(stack).write("api", "production", weights)
        assert rules(stack) == before

    def test_a_rule_that_is_gone_needs_a_person(self, stack: Stack) -> None:
        stack.client("elbv2").delete_rule(RuleArn=stack.outputs["services"]["api"]["test_rule"])
        with pytest.raises(NeedsPerson, match="listener-rule"):
            balancer(stack).read("api")

    def test_a_rule_to_other_target_groups_needs_a_person_and_is_not_written_over(self, stack: Stack) -> None:
        arn = stack.outputs["services"]["api"]["production_rule"]
        web = stack.outputs["services"]["web"]["target_groups"]["blue"]
        blue = stack.outputs["services"]["api"]["target_groups"]["blue"]
        forward = {
            "Type": "forward",
            "ForwardConfig": {
                "TargetGroups": [
                    {"TargetGroupArn": blue, "Weight": 50},
                    {"TargetGroupArn": web, "Weight": 50},
                ]
            },
        }
        stack.client("elbv2").modify_rule(RuleArn=arn, Actions=[forward])
        before = rules(stack)
        for act in (
            lambda: balancer(stack).read("api"),
            lambda: balancer(stack).write("api", "production", {"blue": 100, "green": 0}),
        ):
            with pytest.raises(NeedsPerson, match="not to exactly"):
                act()
        assert rules(stack) == before

    def test_a_service_that_the_stack_does_not_have_is_refused_with_those_it_has(self, stack: Stack) -> None:
        with pytest.raises(Refused, match="no service shop; it has: api, web"):
            balancer(stack).read("shop")


class TestImages:
    def test_a_new_stack_runs_none(self, stack: Stack) -> None:
        assert images(stack).read("api") == {}

    def test_what_was_written_for_a_colour_is_read_for_that_colour(self, stack: Stack) -> None:
        images(stack).write("api", "blue", image("a"))
        images(stack).write("api", "green", image("b"))
        images(stack).write("api", "green", image("c"))
        assert images(stack).read("api") == {"blue": image("a"), "green": image("c")}
        assert images(stack).read("web") == {}
        found = stack.client("ssm").get_parameter(Name="/shop/test/images/api/green")["Parameter"]
        assert (found["Type"], found["Value"]) == ("String", image("c"))

    @pytest.mark.parametrize(
        "value",
        [
            "api:2",
            "api",
            "api@sha256:abc",
            f"api@sha256:{'a' * 65}",
            f"{image('a')}\n",
            f"API@sha256:{'a' * 64}",
            "",
        ],
    )
    def test_what_is_no_digest_is_never_written(self, stack: Stack, value: str) -> None:
        with pytest.raises(Refused, match="a tag may mean another image tomorrow"):
            images(stack).write("api", "blue", value)
        assert images(stack).read("api") == {}

    def test_what_somebody_else_wrote_and_is_no_digest_needs_a_person(self, stack: Stack) -> None:
        stack.client("ssm").put_parameter(
            Name="/shop/test/images/api/green", Value="api:latest", Type="String"
        )
        with pytest.raises(NeedsPerson, match="/shop/test/images/api/green holds 'api:latest'"):
            images(stack).read("api")


class TestFleet:
    def test_targets_are_counted_by_what_the_load_balancer_says_of_them(
        self, stack: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        told = iter(["healthy", "healthy", "initial", "unhealthy", "draining", "unused", "unavailable"])
        monkeypatch.setattr(
            FakeTargetGroup,
            "health_for",
            lambda _, target, __: FakeHealthStatus(target["Id"], "80", "80", next(told)),
        )
        stack.client("elbv2").register_targets(
            TargetGroupArn=stack.outputs["services"]["api"]["target_groups"]["green"],
            Targets=[{"Id": f"10.0.0.{n}", "Port": 80} for n in range(7)],
        )
        state = fleet(stack).state("api", "green")
        assert (state.healthy, state.unhealthy) == (2, 4), "draining is in neither, new is unhealthy"

    def test_a_colour_without_targets_has_no_healthy_one(self, stack: Stack) -> None:
        state = fleet(stack).state("web", "blue")
        assert (state.desired, state.healthy, state.unhealthy, state.rollout_failed) == (2, 0, 0, None)

    def test_only_the_count_of_the_colour_is_set(self, stack: Stack) -> None:
        fleet(stack).scale("api", "green", 7)
        found = stack.client("ecs").describe_services(
            cluster=PREFIX, services=[f"{name}-{colour}" for name in (API, WEB) for colour in COLOURS]
        )["services"]
        counts = {service["serviceName"]: service["desiredCount"] for service in found}
        assert counts == {f"{API}-blue": 2, f"{API}-green": 7, f"{WEB}-blue": 2, f"{WEB}-green": 2}

    def test_a_colour_that_wakes_gets_a_deployment_that_the_circuit_breaker_watches(
        self, stack: Stack
    ) -> None:
        sent: list[bool] = []
        engine = fleet(stack)
        vars(engine)["_ecs"].meta.events.register(
            "provide-client-params.ecs.UpdateService",
            lambda params, **_: sent.append(params["forceNewDeployment"]),
        )
        for count in (0, 3, 5, 0):
            engine.scale("api", "green", count)
        assert sent == [False, True, False, False], "a running deployment must not be rolled over"

    def test_fewer_than_no_tasks_is_a_mistake(self, stack: Stack) -> None:
        with pytest.raises(ValueError, match="can't have -1 tasks"):
            fleet(stack).scale("api", "green", -1)

    def test_the_minimum_is_the_settings(self, stack: Stack) -> None:
        assert (fleet(stack).minimum("api"), fleet(stack).minimum("web")) == (2, 3)

    def test_a_deleted_service_needs_a_person(self, stack: Stack) -> None:
        stack.client("ecs").delete_service(cluster=PREFIX, service=f"{API}-blue", force=True)
        with pytest.raises(NeedsPerson, match="no active service shop-test-api-blue"):
            fleet(stack).state("api", "blue")

    @pytest.mark.parametrize(
        ("deployments", "why"),
        [
            (
                [
                    {
                        "status": "PRIMARY",
                        "rolloutState": "FAILED",
                        "rolloutStateReason": "tasks failed to start",
                    }
                ],
                "tasks failed to start",
            ),
            (
                [
                    {"status": "PRIMARY", "rolloutState": "IN_PROGRESS"},
                    {"status": "ACTIVE", "rolloutState": "FAILED", "rolloutStateReason": "circuit breaker"},
                ],
                "circuit breaker",
            ),
            (
                [
                    {
                        "status": "PRIMARY",
                        "rolloutState": "IN_PROGRESS",
                        "rolloutStateReason": "ECS deployment circuit breaker: rolling back to ecs-svc/1",
                    }
                ],
                "rolling back to ecs-svc/1",
            ),
            (
                [{"status": "PRIMARY", "rolloutState": "IN_PROGRESS", "rolloutStateReason": "in progress"}],
                None,
            ),
            ([{"status": "PRIMARY", "rolloutState": "COMPLETED"}], None),
        ],
    )
    def test_ecs_that_gave_up_says_why_whichever_deployment_is_the_primary_one_by_then(
        self, stack: Stack, deployments: list[dict[str, Any]], why: str | None
    ) -> None:
        def told(parsed: dict[str, Any], **_: Any) -> None:
            definition = parsed["services"][0]["taskDefinition"]
            parsed["services"][0]["deployments"] = [
                {**one, "taskDefinition": definition} for one in deployments
            ]

        stack.clients.ecs.meta.events.register("after-call.ecs.DescribeServices", told)
        found = fleet(stack).state("api", "green").rollout_failed
        assert found is None if why is None else why in str(found)

    def test_a_colour_that_went_back_to_an_older_version_is_not_taken_for_the_new_one(
        self, stack: Stack
    ) -> None:
        images(stack).write("api", "green", image("b"))
        found = fleet(stack).state("api", "green").rollout_failed
        assert found is not None
        assert image("a") in found
        assert f"not {image('b')}" in found

    def test_a_colour_that_runs_what_was_released_to_it_has_not_failed(self, stack: Stack) -> None:
        images(stack).write("api", "green", image("a"))
        assert fleet(stack).state("api", "green").rollout_failed is None

    def test_an_ecs_that_does_not_tell_is_unavailable_and_not_a_service_that_is_gone(
        self, stack: Stack
    ) -> None:
        def told(parsed: dict[str, Any], **_: Any) -> None:
            parsed["services"] = []
            parsed["failures"] = [{"arn": "a", "reason": "INTERNAL"}]

        stack.clients.ecs.meta.events.register("after-call.ecs.DescribeServices", told)
        with pytest.raises(Unavailable, match="INTERNAL"):
            fleet(stack).state("api", "green")


class TestScaling:
    @pytest.fixture
    def target(self, stack: Stack) -> dict[str, Any]:
        given = {
            "ServiceNamespace": "ecs",
            "ResourceId": f"service/{PREFIX}/{API}-blue",
            "ScalableDimension": "ecs:service:DesiredCount",
        }
        stack.client("application-autoscaling").register_scalable_target(
            **given, MinCapacity=2, MaxCapacity=9
        )
        return given

    @pytest.mark.parametrize(
        ("what", "scaling_in", "out", "scheduled"),
        [("in", True, False, True), ("all", True, True, True), ("none", False, False, False)],
    )
    def test_what_is_suspended_is_exactly_what_was_asked_for_and_the_limits_stay(
        self, stack: Stack, target: dict[str, Any], what: Any, scaling_in: bool, out: bool, scheduled: bool
    ) -> None:
        for before in ("all", "none", "in"):
            fleet(stack).suspend("api", "blue", before)
            fleet(stack).suspend("api", "blue", what)
            (found,) = stack.client("application-autoscaling").describe_scalable_targets(
                ServiceNamespace="ecs"
            )["ScalableTargets"]
            assert found["SuspendedState"] == {
                "DynamicScalingInSuspended": scaling_in,
                "DynamicScalingOutSuspended": out,
                "ScheduledScalingSuspended": scheduled,
            }
            assert (found["MinCapacity"], found["MaxCapacity"]) == (2, 9)
            assert found["ResourceId"] == target["ResourceId"]

    def test_limits_that_somebody_changes_meanwhile_are_not_put_back(
        self, stack: Stack, target: dict[str, Any]
    ) -> None:
        sent: list[Any] = []
        stack.clients.autoscaling.meta.events.register(
            "provide-client-params.application-auto-scaling.RegisterScalableTarget",
            lambda params, **_: sent.append(params),
        )
        fleet(stack).suspend("api", "blue", "all")
        assert [sorted(params) for params in sent] == [sorted([*target, "SuspendedState"])]

    def test_a_colour_without_a_target_is_left_alone(self, stack: Stack) -> None:
        fleet(stack).suspend("api", "green", "all")
        found = stack.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")
        assert found["ScalableTargets"] == []


class TestAlarms:
    def set(self, stack: Stack, name: str, value: str) -> None:
        stack.client("cloudwatch").set_alarm_state(AlarmName=name, StateValue=value, StateReason="planted")

    def alarms(self, stack: Stack) -> StackAlarms:
        return StackAlarms(stack.clients.cloudwatch, stack.parts)

    def test_nothing_fires_on_a_quiet_stack(self, stack: Stack) -> None:
        assert list(self.alarms(stack).firing("api", "green")) == []
        assert list(self.alarms(stack).firing_before(["api", "web"])) == []

    def test_a_colours_own_alarms_and_the_databases_fire_and_those_of_others_do_not(
        self, stack: Stack
    ) -> None:
        for name in (f"{API}-green-latency-p99", f"{API}-blue-error-rate", f"{WEB}-green-error-rate"):
            self.set(stack, name, "ALARM")
        self.set(stack, f"{PREFIX}-main-connections", "ALARM")
        assert list(self.alarms(stack).firing("api", "green")) == [
            f"{API}-green-latency-p99: planted",
            f"{PREFIX}-main-connections: planted",
        ]
        assert list(self.alarms(stack).firing_before(["api"])) == [
            f"{API}-blue-error-rate: planted",
            f"{API}-green-latency-p99: planted",
            f"{PREFIX}-main-connections: planted",
        ], "before a start both colours count, those of other services do not"

    def test_an_alarm_without_data_is_quiet(self, stack: Stack) -> None:
        self.set(stack, f"{API}-green-error-rate", "INSUFFICIENT_DATA")
        assert list(self.alarms(stack).firing("api", "green")) == []

    def test_an_alarm_that_is_gone_is_never_a_quiet_one(self, stack: Stack) -> None:
        stack.client("cloudwatch").delete_alarms(AlarmNames=[f"{API}-green-error-rate"])
        with pytest.raises(Unavailable, match="no alarm shop-test-api-green-error-rate"):
            self.alarms(stack).firing("api", "green")

    def test_alarms_past_the_first_hundred_are_asked_for_too(self, stack: Stack) -> None:
        many = [f"many-{number}" for number in range(205)]
        for name in many:
            stack.client("cloudwatch").put_metric_alarm(
                AlarmName=name,
                Namespace="Test",
                MetricName="m",
                ComparisonOperator="GreaterThanThreshold",
                EvaluationPeriods=1,
                Period=60,
                Statistic="Sum",
                Threshold=1,
            )
        stack.outputs["services"]["api"]["alarms"]["green"] = many
        asked: list[int] = []
        stack.clients.cloudwatch.meta.events.register(
            "provide-client-params.cloudwatch.DescribeAlarms",
            lambda params, **_: asked.append(len(params["AlarmNames"])),
        )
        self.set(stack, many[-1], "ALARM")
        assert list(self.alarms(stack).firing("api", "green")) == ["many-204: planted"]
        assert asked == [100, 100, 8], "CloudWatch takes no more names at a time"

    def test_the_databases_alarms_are_the_ones_that_the_program_makes(self) -> None:
        program: ProgramStack = program_stack("prod")
        made = platform("prod")
        outputs = {**_outputs_of(program), "databases": {"main": "id"}}
        names = {found.inputs["name"] for found in made.of("aws:cloudwatch/metricAlarm:MetricAlarm")}
        wanted = database_alarm_names(parts(outputs))
        assert len(wanted) == 3
        assert set(wanted) <= names


class TestRegistry:
    def put(self, stack: Stack) -> str:
        ecr = stack.client("ecr")
        ecr.create_repository(repositoryName=f"{PREFIX}/api")
        digest: str = ecr.put_image(repositoryName=f"{PREFIX}/api", imageManifest=MANIFEST, imageTag="1")[
            "image"
        ]["imageId"]["imageDigest"]
        return f"{REPOSITORY}@{digest}"

    def test_an_image_that_is_there_by_its_digest_is_not_missing(self, stack: Stack) -> None:
        assert EcrRegistry(stack.clients.ecr).missing(self.put(stack)) is None

    def test_another_digest_and_another_repository_are_missing(self, stack: Stack) -> None:
        there = self.put(stack)
        registry = EcrRegistry(stack.clients.ecr)
        assert registry.missing(image("b")) == f"{REPOSITORY} has no image sha256:{'b' * 64}"
        elsewhere = there.replace("/api@", "/web@")
        assert str(registry.missing(elsewhere)).startswith(f"{REPOSITORY[:-3]}web has no image")

    def test_an_image_elsewhere_is_asked_for_in_its_own_account_and_region(self, stack: Stack) -> None:
        asked: list[Any] = []

        def client(region: str) -> Any:
            found = stack.clients.ecr(region)
            found.meta.events.register(
                "provide-client-params.ecr.DescribeImages",
                lambda params, **_: asked.append((region, params["registryId"], params["repositoryName"])),
            )
            return found

        EcrRegistry(client).missing(f"222222222222.dkr.ecr.eu-central-1.amazonaws.com/a/b@sha256:{'a' * 64}")
        assert asked == [("eu-central-1", "222222222222", "a/b")]

    @pytest.mark.parametrize("address", ["docker.io/library/busybox", "localhost:5000/api", "api"])
    def test_a_registry_that_nobody_can_ask_is_refused(self, address: str) -> None:
        with pytest.raises(Refused, match="is not on ECR"):
            ecr_repository(address)

    def test_an_address_tells_where_the_repository_is(self) -> None:
        assert ecr_repository(REPOSITORY) == EcrRepository(
            account=ACCOUNT, region=REGION, name=f"{PREFIX}/api"
        )

    def test_a_services_repository_is_the_stacks_own_or_the_address_that_was_given(
        self, stack: Stack
    ) -> None:
        assert repository_of("api", stack.parts) == REPOSITORY
        assert repository_of("ghcr.io/shop/api", stack.parts) == "ghcr.io/shop/api"


class TestBackups:
    def test_a_database_without_a_snapshot_has_no_backup(self, stack: Stack) -> None:
        assert newest_backup(stack.clients.rds, "nothing") is None

    def test_the_newest_finished_snapshot_of_any_kind_counts(self, stack: Stack) -> None:
        rds = stack.client("rds")
        rds.create_db_instance(DBInstanceIdentifier="d", DBInstanceClass="db.t4g.medium", Engine="postgres")
        first = newest_backup(stack.clients.rds, "d")
        rds.create_db_snapshot(DBInstanceIdentifier="d", DBSnapshotIdentifier="mine")
        made = newest_backup(stack.clients.rds, "d")
        assert first is not None
        assert made is not None
        assert made > first, "moto makes an automated one with the instance; mine is younger"

        asked: list[str] = []
        stack.clients.rds.meta.events.register(
            "provide-client-params.rds.DescribeDBSnapshots",
            lambda params, **_: asked.append(params["SnapshotType"]),
        )

        def unfinished(parsed: Any, **_: Any) -> None:
            for one in parsed["DBSnapshots"]:
                one["Status"] = "creating"

        stack.clients.rds.meta.events.register("after-call.rds.DescribeDBSnapshots", unfinished)
        assert newest_backup(stack.clients.rds, "d") is None, "one that is being made can't be restored yet"
        assert asked == ["automated", "awsbackup", "manual"]


class TestOutputs:
    @pytest.mark.parametrize("missing", ["services", "cluster", "images_path", "databases"])
    def test_a_stack_that_is_not_up_is_refused_with_what_to_do(self, stack: Stack, missing: str) -> None:
        outputs = {key: value for key, value in stack.outputs.items() if key != missing}
        with pytest.raises(Refused, match=rf"'{missing}'.*run `pulumi up` first"):
            parts(outputs)

    def test_a_service_without_its_rule_is_refused(self, stack: Stack) -> None:
        del stack.outputs["services"]["web"]["test_rule"]
        with pytest.raises(Refused, match="'test_rule'"):
            parts(stack.outputs)

    def test_what_the_program_exports_is_what_the_engine_takes(self) -> None:
        exported = _outputs_of(program_stack("prod"))
        assert set(exported) >= {"services", "databases"}
        found = parts(exported)
        assert (found.name_prefix, found.region) == ("switchyard-prod", "eu-west-1")


def _outputs_of(program: ProgramStack) -> dict[str, Any]:
    """Outputs with the names that the program gives, as far as they matter here."""
    arn = f"arn:aws:elasticloadbalancing:{program.settings.region}:{program.account_id}:listener-rule/app/x/1"
    return {
        "region": program.settings.region,
        "production_url": "https://production",
        "test_url": "https://test",
        "cluster": program.prefix,
        "release_table": f"{program.prefix}-releases",
        "images_path": program.images_path,
        "alerts_topic": "arn",
        "databases": {name: f"{program.prefix}-{name}" for name in program.settings.databases},
        "services": {
            name: {
                "production_rule": arn,
                "test_rule": arn,
                "target_groups": dict.fromkeys(COLOURS, "arn"),
                "ecs_services": dict.fromkeys(COLOURS, name),
                "alarms": {colour: [f"{program.prefix}-{name}-{colour}-error-rate"] for colour in COLOURS},
            }
            for name in program.settings.services
        },
    }
