import json
from dataclasses import replace

import pulumi
import pytest

from components.container_definition import container_definitions
from components.container_service import ContainerService, ContainerServiceArgs
from tests.unit.harness import ACCOUNT, REGION, Deployment, deploy, value_of

TASK = "aws:ecs/taskDefinition:TaskDefinition"
SERVICE = "aws:ecs/service:Service"
TARGET = "aws:appautoscaling/target:Target"
SCALING = "aws:appautoscaling/policy:Policy"
ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/rolePolicy:RolePolicy"
BLUE = "registry.example.com/api@sha256:" + "b" * 64
GREEN = "registry.example.com/api@sha256:" + "c" * 64
ARGS = ContainerServiceArgs(
    service_name="api",
    physical_prefix="switchyard-test",
    account_id=ACCOUNT,
    region=REGION,
    cluster_arn="arn:cluster",
    cluster_name="switchyard-test",
    subnet_ids=["subnet-a", "subnet-b"],
    security_group_id="sg-tasks",
    images={"blue": BLUE, "green": GREEN},
    initial_desired_counts={"blue": 2, "green": 0},
    autoscaled_colours=["blue", "green"],
    container_port=8080,
    cpu=256,
    memory_mib=512,
    architecture="ARM64",
    minimum_tasks=2,
    maximum_tasks=10,
    cpu_target_percent=60,
    requests_per_target=1000,
    load_balancer_arn_suffix="app/edge/1",
    target_group_arns={"blue": "arn:blue", "green": "arn:green"},
    target_group_arn_suffixes={"blue": "targetgroup/blue/1", "green": "targetgroup/green/1"},
    environment={"LOG_LEVEL": "info"},
    secrets={"PASSWORD": "arn:secret:password::"},
    secret_arns=["arn:secret"],
    secret_kms_key_arns=["arn:key"],
    repository_arn="arn:repository",
    log_group_name="/switchyard-test/api",
    log_group_arn="arn:logs",
    stop_timeout_seconds=30,
    health_check_grace_period_seconds=60,
    writable_paths=["/cache"],
    user="10001",
    role_path="/switchyard/test/",
    permissions_boundary_arn="arn:boundary",
)
SESSIONS = replace(
    ARGS, execute_command=True, session_log_group_arn="arn:sessions", session_kms_key_arn="arn:key"
)


def service(args: ContainerServiceArgs = ARGS) -> Deployment:
    return deploy(lambda: ContainerService("api", args))


def test_a_task_definition_is_exactly_this() -> None:
    container = container_definitions(
        name="api",
        image=BLUE,
        port=8080,
        user="10001",
        stop_timeout_seconds=30,
        environment={"LOG_LEVEL": "info"},
        secrets={"PASSWORD": "arn:secret:password::"},
        mounts={"writable-0": "/cache"},
        log_group_name="/switchyard-test/api",
        region=REGION,
    )
    assert service().one(TASK, "api-blue").inputs == {
        "family": "switchyard-test-api-blue",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "runtimePlatform": {"operatingSystemFamily": "LINUX", "cpuArchitecture": "ARM64"},
        "executionRoleArn": f"arn:aws:Role:{REGION}:{ACCOUNT}:api-roles-execution",
        "taskRoleArn": f"arn:aws:Role:{REGION}:{ACCOUNT}:api-roles-task",
        "volumes": [{"name": "writable-0"}],
        "containerDefinitions": json.dumps(container, sort_keys=True),
        "skipDestroy": True,
    }, "no host namespace (ECS.3), and a revision that ECS can still go back to"


def test_an_ecs_service_is_exactly_this() -> None:
    assert service().one(SERVICE, "api-blue").inputs == {
        "name": "switchyard-test-api-blue",
        "cluster": "arn:cluster",
        "taskDefinition": f"arn:aws:TaskDefinition:{REGION}:{ACCOUNT}:api-blue",
        "desiredCount": 2,
        "launchType": "FARGATE",
        "platformVersion": "LATEST",
        "networkConfiguration": {
            "subnets": ["subnet-a", "subnet-b"],
            "securityGroups": ["sg-tasks"],
            "assignPublicIp": False,
        },
        "loadBalancers": [{"targetGroupArn": "arn:blue", "containerName": "api", "containerPort": 8080}],
        "healthCheckGracePeriodSeconds": 60,
        "deploymentMinimumHealthyPercent": 100,
        "deploymentMaximumPercent": 200,
        "deploymentCircuitBreaker": {"enable": True, "rollback": True},
        "availabilityZoneRebalancing": "ENABLED",
        "enableEcsManagedTags": True,
        "propagateTags": "SERVICE",
        "enableExecuteCommand": False,
        "waitForSteadyState": False,
    }, "ECS.2, ECS.10, no sessions by default, and health is judged by the release engine"


def test_the_colours_differ_only_in_image_target_group_and_name() -> None:
    deployment = service(replace(ARGS, initial_desired_counts={"blue": 1, "green": 1}))
    differences = {}
    for type_, suffix in ((TASK, ""), (SERVICE, ""), (TARGET, "-scaling"), (SCALING, "-cpu")):
        blue = deployment.one(type_, f"api-blue{suffix}").inputs
        green = deployment.one(type_, f"api-green{suffix}").inputs
        differences[type_] = {key for key in {*blue, *green} if blue.get(key) != green.get(key)}
    assert differences == {
        TASK: {"family", "containerDefinitions"},
        SERVICE: {"name", "taskDefinition", "loadBalancers"},
        TARGET: {"resourceId"},
        SCALING: {"resourceId"},
    }, "anything else would make a release change more than the code"
    green_service = deployment.one(SERVICE, "api-green").inputs
    assert green_service["loadBalancers"] == [
        {"targetGroupArn": "arn:green", "containerName": "api", "containerPort": 8080}
    ]


def test_a_container_can_not_tell_its_colour() -> None:
    deployment = service()
    (blue,) = json.loads(deployment.one(TASK, "api-blue").inputs["containerDefinitions"])
    (green,) = json.loads(deployment.one(TASK, "api-green").inputs["containerDefinitions"])
    assert {key for key in {*blue, *green} if blue.get(key) != green.get(key)} == {"image"}
    assert (blue["image"], green["image"]) == (BLUE, GREEN), "each colour runs its own release"


def test_the_number_of_tasks_is_written_once_and_nothing_wider_is_ignored() -> None:
    services = service().of(SERVICE)
    assert {s.name: s.inputs["desiredCount"] for s in services} == {"api-blue": 2, "api-green": 0}
    assert {s.ignore_changes for s in services} == {("desiredCount",)}, (
        "an update must not undo autoscaling; ignoring the task definition would freeze its settings"
    )


def test_no_other_resource_ignores_anything_but_the_suspension() -> None:
    ignored = {(r.type, r.ignore_changes) for r in service().resources if r.ignore_changes}
    assert ignored == {(SERVICE, ("desiredCount",)), (TARGET, ("suspendedState",))}


def test_tasks_start_after_their_roles_may_do_something() -> None:
    needed = {"api-roles-execution", "api-roles-task"}
    for ecs_service in service().of(SERVICE):
        assert needed <= set(ecs_service.dependencies), "a task without its policy fails to pull its image"


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_each_colour_scales_by_itself_and_starts_suspended(colour: str) -> None:
    target = service().one(TARGET, f"api-{colour}-scaling")
    assert target.inputs == {
        "serviceNamespace": "ecs",
        "scalableDimension": "ecs:service:DesiredCount",
        "resourceId": f"service/switchyard-test/switchyard-test-api-{colour}",
        "minCapacity": 2,
        "maxCapacity": 10,
        "suspendedState": {
            "dynamicScalingInSuspended": True,
            "dynamicScalingOutSuspended": True,
            "scheduledScalingSuspended": True,
        },
    }, "the release engine resumes the live colour; the limits are the same for both"
    assert target.ignore_changes == ("suspendedState",), "the limits stay Pulumi's"


@pytest.mark.parametrize("colour", ["blue", "green"])
def test_each_colour_follows_its_cpu_and_its_own_requests(colour: str) -> None:
    deployment = service()
    common = {
        "policyType": "TargetTrackingScaling",
        "serviceNamespace": "ecs",
        "scalableDimension": "ecs:service:DesiredCount",
        "resourceId": f"service/switchyard-test/switchyard-test-api-{colour}",
    }
    assert deployment.one(SCALING, f"api-{colour}-cpu").inputs == {
        **common,
        "targetTrackingScalingPolicyConfiguration": {
            "predefinedMetricSpecification": {"predefinedMetricType": "ECSServiceAverageCPUUtilization"},
            "targetValue": 60,
            "scaleOutCooldown": 60,
            "scaleInCooldown": 300,
        },
    }
    assert deployment.one(SCALING, f"api-{colour}-requests").inputs == {
        **common,
        "targetTrackingScalingPolicyConfiguration": {
            "predefinedMetricSpecification": {
                "predefinedMetricType": "ALBRequestCountPerTarget",
                "resourceLabel": f"app/edge/1/targetgroup/{colour}/1",
            },
            "targetValue": 1000,
            "scaleOutCooldown": 60,
            "scaleInCooldown": 300,
        },
    }, "a label of the other colour would scale the live one by the idle one's traffic"


def test_a_service_is_two_colours_and_one_pair_of_roles() -> None:
    deployment = service()
    assert deployment.count() == {TASK: 2, SERVICE: 2, TARGET: 2, SCALING: 4, ROLE: 2, POLICY: 1}
    assert {(r.parent, r.type) for r in deployment.resources if r.type.startswith("aws:")} == {
        *(("api", type_) for type_ in (TASK, SERVICE, TARGET, SCALING)),
        ("api-roles", ROLE),
        ("api-roles", POLICY),
    }


def test_the_execution_role_may_read_what_this_service_names() -> None:
    (policy,) = service().of(POLICY)
    allowed = {s["Sid"]: s["Resource"] for s in json.loads(policy.inputs["policy"])["Statement"]}
    assert allowed == {
        "WriteLogs": ["arn:logs:*"],
        "LogInToRegistry": ["*"],
        "PullImage": ["arn:repository"],
        "ReadSecrets": ["arn:secret"],
        "DecryptSecrets": ["arn:key"],
    }, "a secret of another service stays shut"


def test_the_application_gets_its_own_policy_when_it_has_one() -> None:
    deployment = service(replace(ARGS, task_policy_json="{}"))
    assert deployment.one(POLICY, "api-roles-task").inputs == {"role": "api-roles-task", "policy": "{}"}


def test_sessions_open_the_service_the_role_and_the_directories_of_their_agent() -> None:
    deployment = service(SESSIONS)
    assert deployment.one(SERVICE, "api-green").inputs["enableExecuteCommand"] is True
    assert [p.name for p in deployment.of(POLICY)] == ["api-roles-execution", "api-roles-sessions"]
    task = deployment.one(TASK, "api-green").inputs
    (container,) = json.loads(task["containerDefinitions"])
    assert task["volumes"] == [{"name": f"writable-{index}"} for index in range(4)]
    assert [m["sourceVolume"] for m in container["mountPoints"]] == [v["name"] for v in task["volumes"]]
    assert container["readonlyRootFilesystem"] is True, "ECS.5 holds with sessions too"


def test_a_closed_service_does_not_get_the_permissions_of_sessions() -> None:
    deployment = service(replace(SESSIONS, execute_command=False))
    assert [p.name for p in deployment.of(POLICY)] == ["api-roles-execution"], (
        "naming the log group of sessions must not open them"
    )


@pytest.mark.parametrize(
    "args", [replace(SESSIONS, session_log_group_arn=None), replace(SESSIONS, session_kms_key_arn=None)]
)
def test_sessions_without_a_record_are_refused(args: ContainerServiceArgs) -> None:
    with pytest.raises(ValueError, match="sessions are encrypted and on record"):
        service(args)


@pytest.mark.parametrize("colours", [["blue"], ["blue", "green", "red"]])
def test_every_mapping_names_both_colours_and_no_other(colours: list[str]) -> None:
    for field, args in {
        "images": replace(ARGS, images=dict.fromkeys(colours, BLUE)),
        "initial_desired_counts": replace(ARGS, initial_desired_counts=dict.fromkeys(colours, 1)),
        "target_group_arns": replace(ARGS, target_group_arns=dict.fromkeys(colours, "arn")),
        "target_group_arn_suffixes": replace(ARGS, target_group_arn_suffixes=dict.fromkeys(colours, "tg")),
    }.items():
        with pytest.raises(ValueError, match=f"{field} of api has .*: give blue and green"):
            service(args)


def test_a_tag_is_refused() -> None:
    with pytest.raises(ValueError, match="is not pinned"):
        service(replace(ARGS, images={"blue": BLUE, "green": "api:latest"}))


def test_a_tag_that_is_known_late_stops_the_update() -> None:
    def program() -> None:
        images: dict[str, pulumi.Input[str]] = {"blue": BLUE, "green": pulumi.Output.from_input("api:latest")}
        ContainerService("api", replace(ARGS, images=images))

    with pytest.raises(ValueError, match="'api:latest' is not pinned"):
        deploy(program)


def test_callers_get_names_and_arns_by_colour() -> None:
    made = service().result
    assert {c: value_of(v) for c, v in made.service_names.items()} == {
        "blue": "switchyard-test-api-blue",
        "green": "switchyard-test-api-green",
    }
    arn = f"arn:aws:Service:{REGION}:{ACCOUNT}:api"
    assert {c: value_of(v) for c, v in made.service_arns.items()} == {
        "blue": f"{arn}-blue",
        "green": f"{arn}-green",
    }
    task = f"arn:aws:TaskDefinition:{REGION}:{ACCOUNT}:api"
    assert {c: value_of(v) for c, v in made.task_definition_arns.items()} == {
        "blue": f"{task}-blue",
        "green": f"{task}-green",
    }
    assert value_of(made.execution_role_arn) == f"arn:aws:Role:{REGION}:{ACCOUNT}:api-roles-execution"
    assert value_of(made.task_role_arn) == f"arn:aws:Role:{REGION}:{ACCOUNT}:api-roles-task"


def test_types_and_names_are_state_and_stay_as_they_are() -> None:
    components = [r for r in service().resources if not r.type.startswith("aws:")]
    assert {(r.type, r.name) for r in components} == {
        ("switchyard:compute:ContainerService", "api"),
        ("switchyard:compute:TaskRoles", "api-roles"),
    }, "another name makes Pulumi delete and create; rename with an alias only"
    assert [r.parent for r in components if r.name == "api-roles"] == ["api"]


def test_a_colour_that_nothing_was_released_to_is_not_scaled() -> None:
    deployment = service(replace(ARGS, autoscaled_colours=["green"]))
    targets = deployment.of("aws:appautoscaling/target:Target")
    assert [target.name for target in targets] == ["api-green-scaling"], (
        "registering a target makes AWS start tasks, and there is no image to start"
    )
    assert len(deployment.of("aws:appautoscaling/policy:Policy")) == 2
