"""What the tasks of one container service may do.

Creates: an execution role (used by ECS to pull the image, read the secrets and write the logs) and a task
role (used by the application, empty unless something is granted), with an inline policy each where there
is something to allow. Both colours of a service share them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_aws import iam

PolicyDocument = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class TaskRolesArgs:
    """What the roles of a service are made from.

    service_name: name of the service, for the roles' descriptions.
    account_id: account that the tasks run in.
    region: region that the tasks run in.
    log_group_arn: log group of the service, without the `:*` at its end.
    repository_arn: ECR repository to pull from; `None` for a public image gives no ECR permission.
    secret_arns: exactly the secrets that ECS may read for the containers.
    secret_kms_key_arns: keys that those secrets are encrypted with; empty for the AWS managed key.
    task_policy_json: policy document with what the application itself may do; `None` allows nothing.
    role_path: IAM path of the roles, such as `/switchyard/prod/`.
    permissions_boundary_arn: policy that the roles can never go beyond; `None` for none.
    session_log_group_arn: log group of execute-command sessions; `None` (default) allows no sessions.
    session_kms_key_arn: key of execute-command sessions, required with `session_log_group_arn`.
    """

    service_name: str
    account_id: pulumi.Input[str]
    region: pulumi.Input[str]
    log_group_arn: pulumi.Input[str]
    repository_arn: pulumi.Input[str] | None
    secret_arns: Sequence[pulumi.Input[str]]
    secret_kms_key_arns: Sequence[pulumi.Input[str]]
    task_policy_json: pulumi.Input[str] | None
    role_path: str
    permissions_boundary_arn: str | None
    session_log_group_arn: pulumi.Input[str] | None = None
    session_kms_key_arn: pulumi.Input[str] | None = None


def trust_policy(*, account_id: pulumi.Input[str], tasks_arn: pulumi.Input[str]) -> PolicyDocument:
    """Lets ECS tasks whose ARN matches `tasks_arn` assume a role, and no other account's tasks."""
    return _document(
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Condition": {
                "StringEquals": {"aws:SourceAccount": account_id},
                "ArnLike": {"aws:SourceArn": tasks_arn},
            },
        }
    )


def execution_policy(
    *,
    log_streams_arn: pulumi.Input[str],
    repository_arn: pulumi.Input[str] | None,
    secret_arns: Sequence[pulumi.Input[str]],
    secret_kms_key_arns: Sequence[pulumi.Input[str]],
    secrets_endpoint: pulumi.Input[str],
) -> PolicyDocument:
    """What ECS needs to start a task: its log streams, its image, its secrets and their keys.

    `log_streams_arn` is the log group's ARN with `:*`: ECS names a stream after each task.
    `secrets_endpoint` is `secretsmanager.<region>.amazonaws.com`: the keys decrypt through it alone.
    """
    statements: list[PolicyDocument] = [
        _allow("WriteLogs", ["logs:CreateLogStream", "logs:PutLogEvents"], [log_streams_arn])
    ]
    if repository_arn is not None:
        # A registry's token is not bound to a repository: AWS offers no resource for this action.
        statements.append(_allow("LogInToRegistry", ["ecr:GetAuthorizationToken"], ["*"]))
        pull = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        statements.append(_allow("PullImage", pull, [repository_arn]))
    if secret_arns:
        statements.append(_allow("ReadSecrets", ["secretsmanager:GetSecretValue"], secret_arns))
    if secret_kms_key_arns:
        decrypt = _allow("DecryptSecrets", ["kms:Decrypt"], secret_kms_key_arns)
        condition = {"StringEquals": {"kms:ViaService": secrets_endpoint}}
        statements.append({**decrypt, "Condition": condition})
    return _document(*statements)


def session_policy(
    *, log_group_arn: pulumi.Input[str], log_streams_arn: pulumi.Input[str], kms_key_arn: pulumi.Input[str]
) -> PolicyDocument:
    """What a task needs for execute-command sessions that are encrypted and logged."""
    channels = [
        "ssmmessages:CreateControlChannel",
        "ssmmessages:CreateDataChannel",
        "ssmmessages:OpenControlChannel",
        "ssmmessages:OpenDataChannel",
    ]
    return _document(
        # The channels of a session have no ARN, and log groups can only be listed as a whole.
        _allow("OpenSession", channels, ["*"]),
        _allow("FindSessionLog", ["logs:DescribeLogGroups"], ["*"]),
        _allow("ListSessionLog", ["logs:DescribeLogStreams"], [log_group_arn]),
        _allow("WriteSessionLog", ["logs:CreateLogStream", "logs:PutLogEvents"], [log_streams_arn]),
        _allow("DecryptSession", ["kms:Decrypt"], [kms_key_arn]),
    )


def _allow(sid: str, actions: Sequence[str], resources: Sequence[pulumi.Input[str]]) -> PolicyDocument:
    return {"Sid": sid, "Effect": "Allow", "Action": list(actions), "Resource": list(resources)}


def _document(*statements: PolicyDocument) -> PolicyDocument:
    return {"Version": "2012-10-17", "Statement": list(statements)}


class TaskRoles(pulumi.ComponentResource):
    """The execution role and the task role of one service, for the tasks of this account and region."""

    execution_role_arn: pulumi.Output[str]
    task_role_arn: pulumi.Output[str]

    def __init__(self, name: str, args: TaskRolesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:compute:TaskRoles", name, None, opts)
        execution = self._role(f"{name}-execution", f"Starts the tasks of {args.service_name}", args)
        task = self._role(f"{name}-task", f"What {args.service_name} itself may do", args)
        self._policy(
            f"{name}-execution",
            execution,
            execution_policy(
                log_streams_arn=pulumi.Output.concat(args.log_group_arn, ":*"),
                repository_arn=args.repository_arn,
                secret_arns=args.secret_arns,
                secret_kms_key_arns=args.secret_kms_key_arns,
                secrets_endpoint=pulumi.Output.concat("secretsmanager.", args.region, ".amazonaws.com"),
            ),
        )
        if args.task_policy_json is not None:
            iam.RolePolicy(
                f"{name}-task",
                role=task.name,
                policy=args.task_policy_json,
                opts=pulumi.ResourceOptions(parent=self),
            )
        if args.session_log_group_arn is not None and args.session_kms_key_arn is not None:
            sessions = session_policy(
                log_group_arn=args.session_log_group_arn,
                log_streams_arn=pulumi.Output.concat(args.session_log_group_arn, ":*"),
                kms_key_arn=args.session_kms_key_arn,
            )
            self._policy(f"{name}-sessions", task, sessions)
        self.execution_role_arn = execution.arn
        self.task_role_arn = task.arn
        self.register_outputs(
            {"execution_role_arn": self.execution_role_arn, "task_role_arn": self.task_role_arn}
        )

    def _role(self, name: str, description: str, args: TaskRolesArgs) -> iam.Role:
        tasks = pulumi.Output.concat("arn:aws:ecs:", args.region, ":", args.account_id, ":*")
        trust = trust_policy(account_id=args.account_id, tasks_arn=tasks)
        return iam.Role(
            name,
            path=args.role_path,
            permissions_boundary=args.permissions_boundary_arn,
            description=description,
            assume_role_policy=pulumi.Output.json_dumps(trust, sort_keys=True),
            opts=pulumi.ResourceOptions(parent=self),
        )

    def _policy(self, name: str, role: iam.Role, document: PolicyDocument) -> None:
        iam.RolePolicy(
            name,
            role=role.name,
            policy=pulumi.Output.json_dumps(document, sort_keys=True),
            opts=pulumi.ResourceOptions(parent=self),
        )
