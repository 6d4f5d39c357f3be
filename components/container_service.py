"""A service that can be released blue/green.

Creates, for each of the two colours: a Fargate task definition, an ECS service behind the colour's target
group, a scalable target and two target-tracking policies (CPU, requests per task). Creates once: the
execution role and the task role that both colours share.

One writer for every fact: this program writes everything but the number of running tasks and whether a
colour's autoscaling is suspended. Both are written here once, at creation; after that autoscaling and the
release engine write them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import appautoscaling, ecs

from components.colours import COLOURS, Colour, owned_by
from components.container_definition import container_definitions, volumes
from components.task_roles import TaskRoles, TaskRolesArgs


@dataclass(frozen=True, kw_only=True)
class ContainerServiceArgs:
    """What a container service is made from. "By colour" is a mapping with exactly `blue` and `green`.

    service_name: short name; the container carries it too.
    physical_prefix: `<project>-<stack>`; services and families are `<prefix>-<service>-<colour>`.
    account_id, region: where the service runs.
    cluster_arn, cluster_name: the cluster that it runs in.
    subnet_ids: private subnets, one per zone.
    security_group_id: who may reach the tasks, and what they may reach.
    images: by colour, `repository@sha256:<digest>`; a tag is refused.
    initial_desired_counts: by colour, tasks at creation and never again.
    autoscaled_colours: colours that something has been released to. Registering a scalable target makes AWS
        lift the count up to `minimum_tasks`, suspended or not: a colour that has nothing to run gets none.
    container_port: port that the application listens on.
    cpu, memory_mib: size of a task, in CPU units (1024 is one vCPU) and MiB, of Fargate's combinations.
    architecture: `X86_64` or `ARM64`, as the image was built.
    minimum_tasks, maximum_tasks: limits of autoscaling, for either colour.
    cpu_target_percent: average CPU utilisation that autoscaling aims at.
    requests_per_target: requests per task and minute that autoscaling aims at.
    load_balancer_arn_suffix: `app/<name>/<id>`, for the request metric.
    target_group_arns, target_group_arn_suffixes: by colour. The target group has to be in use by a
        listener before the ECS service is created: let these outputs depend on the listener's rule.
    environment: plain settings by name, the same for both colours.
    secrets: Secrets Manager `valueFrom` by environment name: an ARN, or `<arn>:<json key>::`.
    secret_arns, secret_kms_key_arns: exactly what the execution role may read and decrypt with.
    repository_arn: ECR repository of the image; `None` for a public image.
    log_group_name, log_group_arn: where the containers log to.
    stop_timeout_seconds: time between SIGTERM and SIGKILL, 2 to 120 (Fargate's limit); at least as long
        as the longest request.
    health_check_grace_period_seconds: time that a new task's failing health checks are ignored.
    writable_paths: directories with an empty volume each; everything else is read-only. Fargate mounts
        them for root: the image has to own the directory as `user` and declare it as VOLUME.
    user: user (and group) that the container runs as, `10001` or `10001:10001`; never root.
    role_path: IAM path of the tasks' roles, such as `/switchyard/prod/`.
    permissions_boundary_arn: policy that the tasks' roles can never go beyond; `None` for none.
    task_policy_json: policy document of what the application may do. Default: nothing.
    execute_command: allow interactive sessions in the containers. Default: they are refused.
    session_log_group_arn, session_kms_key_arn: the cluster's, required with `execute_command`.
    """

    service_name: str
    physical_prefix: str
    account_id: pulumi.Input[str]
    region: pulumi.Input[str]
    cluster_arn: pulumi.Input[str]
    cluster_name: pulumi.Input[str]
    subnet_ids: pulumi.Input[Sequence[pulumi.Input[str]]]
    security_group_id: pulumi.Input[str]
    images: Mapping[str, pulumi.Input[str]]
    initial_desired_counts: Mapping[str, int]
    autoscaled_colours: Sequence[str]
    container_port: int
    cpu: int
    memory_mib: int
    architecture: str
    minimum_tasks: int
    maximum_tasks: int
    cpu_target_percent: float
    requests_per_target: float
    load_balancer_arn_suffix: pulumi.Input[str]
    target_group_arns: Mapping[str, pulumi.Input[str]]
    target_group_arn_suffixes: Mapping[str, pulumi.Input[str]]
    environment: Mapping[str, pulumi.Input[str]]
    secrets: Mapping[str, pulumi.Input[str]]
    secret_arns: Sequence[pulumi.Input[str]]
    secret_kms_key_arns: Sequence[pulumi.Input[str]]
    repository_arn: pulumi.Input[str] | None
    log_group_name: pulumi.Input[str]
    log_group_arn: pulumi.Input[str]
    stop_timeout_seconds: int
    health_check_grace_period_seconds: int
    writable_paths: Sequence[str]
    user: str
    role_path: str
    permissions_boundary_arn: str | None
    task_policy_json: pulumi.Input[str] | None = None
    execute_command: bool = False
    session_log_group_arn: pulumi.Input[str] | None = None
    session_kms_key_arn: pulumi.Input[str] | None = None


def check(args: ContainerServiceArgs) -> None:
    """Raises ValueError for settings that don't fit together."""
    by_colour = {
        "images": args.images,
        "initial_desired_counts": args.initial_desired_counts,
        "target_group_arns": args.target_group_arns,
        "target_group_arn_suffixes": args.target_group_arn_suffixes,
    }
    for field, values in by_colour.items():
        if set(values) != set(COLOURS):
            raise ValueError(f"{field} of {args.service_name} has {sorted(values)}: give blue and green")
    if args.execute_command and (args.session_log_group_arn is None or args.session_kms_key_arn is None):
        raise ValueError(
            f"execute_command of {args.service_name} is on without session_log_group_arn and "
            "session_kms_key_arn: sessions are encrypted and on record, give those of the cluster"
        )


class ContainerService(pulumi.ComponentResource):
    """Two colours of one service that differ in nothing but their image and their target group.

    Autoscaling survives a swap of the colours because each colour has its own scalable target, with the
    same limits and policies. All are created suspended. The release engine resumes the live colour and
    suspends the idle one; limits and policies stay as they are. Only this state is ignored here, so it
    is nobody's drift. One catch: the provider sends the state that it last saw along with new limits, so
    change limits with a refresh (`pulumi up --refresh`), and never during a release.
    """

    service_names: dict[str, pulumi.Output[str]]
    service_arns: dict[str, pulumi.Output[str]]
    task_definition_arns: dict[str, pulumi.Output[str]]
    execution_role_arn: pulumi.Output[str]
    task_role_arn: pulumi.Output[str]

    def __init__(
        self, name: str, args: ContainerServiceArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        check(args)
        super().__init__("switchyard:compute:ContainerService", name, None, opts)
        roles = TaskRoles(
            f"{name}-roles",
            TaskRolesArgs(
                service_name=args.service_name,
                account_id=args.account_id,
                region=args.region,
                log_group_arn=args.log_group_arn,
                repository_arn=args.repository_arn,
                secret_arns=args.secret_arns,
                secret_kms_key_arns=args.secret_kms_key_arns,
                task_policy_json=args.task_policy_json,
                role_path=args.role_path,
                permissions_boundary_arn=args.permissions_boundary_arn,
                session_log_group_arn=args.session_log_group_arn if args.execute_command else None,
                session_kms_key_arn=args.session_kms_key_arn if args.execute_command else None,
            ),
            opts=pulumi.ResourceOptions(parent=self),
        )
        tasks = {colour: self._task_definition(name, colour, args, roles) for colour in COLOURS}
        services = {colour: self._service(name, colour, args, tasks[colour], roles) for colour in COLOURS}
        for colour in COLOURS:
            if colour in args.autoscaled_colours:
                self._autoscaling(owned_by(name, colour), colour, args, services[colour])
        self.service_names = {colour: service.name for colour, service in services.items()}
        self.service_arns = {colour: service.arn for colour, service in services.items()}
        self.task_definition_arns = {colour: task.arn for colour, task in tasks.items()}
        self.execution_role_arn = roles.execution_role_arn
        self.task_role_arn = roles.task_role_arn
        self.register_outputs(
            {
                "service_names": self.service_names,
                "service_arns": self.service_arns,
                "task_definition_arns": self.task_definition_arns,
                "execution_role_arn": self.execution_role_arn,
                "task_role_arn": self.task_role_arn,
            }
        )

    def _task_definition(
        self, name: str, colour: Colour, args: ContainerServiceArgs, roles: TaskRoles
    ) -> ecs.TaskDefinition:
        mounts = volumes(args.writable_paths, execute_command=args.execute_command)
        definitions = container_definitions(
            name=args.service_name,
            image=args.images[colour],
            port=args.container_port,
            user=args.user,
            stop_timeout_seconds=args.stop_timeout_seconds,
            environment=args.environment,
            secrets=args.secrets,
            mounts=mounts,
            log_group_name=args.log_group_name,
            region=args.region,
        )
        return ecs.TaskDefinition(
            owned_by(name, colour),
            family=f"{args.physical_prefix}-{args.service_name}-{colour}",
            requires_compatibilities=["FARGATE"],
            network_mode="awsvpc",
            cpu=str(args.cpu),
            memory=str(args.memory_mib),
            runtime_platform={"operating_system_family": "LINUX", "cpu_architecture": args.architecture},
            execution_role_arn=roles.execution_role_arn,
            task_role_arn=roles.task_role_arn,
            volumes=[{"name": volume} for volume in mounts],
            container_definitions=pulumi.Output.json_dumps(definitions, sort_keys=True),
            # ECS can't go back to a deregistered revision, and its circuit breaker has to.
            skip_destroy=True,
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _service(
        self,
        name: str,
        colour: Colour,
        args: ContainerServiceArgs,
        task: ecs.TaskDefinition,
        roles: TaskRoles,
    ) -> ecs.Service:
        return ecs.Service(
            owned_by(name, colour),
            name=f"{args.physical_prefix}-{args.service_name}-{colour}",
            cluster=args.cluster_arn,
            task_definition=task.arn,
            desired_count=args.initial_desired_counts[colour],
            launch_type="FARGATE",
            platform_version="LATEST",  # ECS.10
            network_configuration={
                "subnets": args.subnet_ids,
                "security_groups": [args.security_group_id],
                "assign_public_ip": False,  # ECS.2
            },
            load_balancers=[
                {
                    "target_group_arn": args.target_group_arns[colour],
                    "container_name": args.service_name,
                    "container_port": args.container_port,
                }
            ],
            health_check_grace_period_seconds=args.health_check_grace_period_seconds,
            deployment_minimum_healthy_percent=100,
            deployment_maximum_percent=200,
            deployment_circuit_breaker={"enable": True, "rollback": True},
            availability_zone_rebalancing="ENABLED",
            enable_ecs_managed_tags=True,
            propagate_tags="SERVICE",
            enable_execute_command=args.execute_command,
            # The release engine judges health; an update of the stack must not wait for a broken colour.
            wait_for_steady_state=False,
            # The first tasks need the roles' policies. Nothing wider than the count is ignored: ignoring
            # the task definition would freeze CPU, environment and secrets (pulumi-aws#3821).
            opts=pulumi.ResourceOptions(parent=self, depends_on=[roles], ignore_changes=["desiredCount"]),
        )

    def _autoscaling(
        self, name: str, colour: Colour, args: ContainerServiceArgs, service: ecs.Service
    ) -> None:
        target = appautoscaling.Target(
            f"{name}-scaling",
            service_namespace="ecs",
            scalable_dimension="ecs:service:DesiredCount",
            resource_id=pulumi.Output.concat("service/", args.cluster_name, "/", service.name),
            min_capacity=args.minimum_tasks,
            max_capacity=args.maximum_tasks,
            suspended_state={
                "dynamic_scaling_in_suspended": True,
                "dynamic_scaling_out_suspended": True,
                "scheduled_scaling_suspended": True,
            },
            opts=pulumi.ResourceOptions(parent=self, ignore_changes=["suspendedState"]),
        )
        label = pulumi.Output.concat(
            args.load_balancer_arn_suffix, "/", args.target_group_arn_suffixes[colour]
        )
        self._track(f"{name}-cpu", target, "ECSServiceAverageCPUUtilization", args.cpu_target_percent)
        self._track(f"{name}-requests", target, "ALBRequestCountPerTarget", args.requests_per_target, label)

    def _track(
        self,
        name: str,
        target: appautoscaling.Target,
        metric_type: str,
        target_value: float,
        resource_label: pulumi.Output[str] | None = None,
    ) -> None:
        appautoscaling.Policy(
            name,
            policy_type="TargetTrackingScaling",
            service_namespace=target.service_namespace,
            scalable_dimension=target.scalable_dimension,
            resource_id=target.resource_id,
            target_tracking_scaling_policy_configuration={
                "predefined_metric_specification": {
                    "predefined_metric_type": metric_type,
                    "resource_label": resource_label,
                },
                "target_value": target_value,
                # Out fast, in slowly; AWS's default for both is 300 seconds.
                "scale_out_cooldown": 60,
                "scale_in_cooldown": 300,
            },
            opts=pulumi.ResourceOptions(parent=self),
        )
