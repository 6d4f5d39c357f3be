import json
from collections.abc import Sequence

import pulumi

from components.task_roles import TaskRoles, TaskRolesArgs, execution_policy, session_policy, trust_policy
from tests.unit.harness import ACCOUNT, REGION, Deployment, deploy, value_of

ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/rolePolicy:RolePolicy"
LOGS = "arn:aws:logs:eu-west-1:123456789012:log-group:/test/api"
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Action": "sts:AssumeRole",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Condition": {
                "StringEquals": {"aws:SourceAccount": ACCOUNT},
                "ArnLike": {"aws:SourceArn": f"arn:aws:ecs:{REGION}:{ACCOUNT}:*"},
            },
        }
    ],
}


def roles(
    *,
    repository_arn: str | None = None,
    secret_arns: Sequence[str] = (),
    secret_kms_key_arns: Sequence[str] = (),
    task_policy_json: str | None = None,
    session_log_group_arn: str | None = None,
    session_kms_key_arn: str | None = None,
    permissions_boundary_arn: str | None = "arn:boundary",
) -> Deployment:
    return deploy(
        lambda: TaskRoles(
            "api",
            TaskRolesArgs(
                service_name="api",
                account_id=ACCOUNT,
                region=pulumi.Output.from_input(REGION),
                log_group_arn=pulumi.Output.from_input(LOGS),
                repository_arn=repository_arn,
                secret_arns=secret_arns,
                secret_kms_key_arns=secret_kms_key_arns,
                task_policy_json=task_policy_json,
                role_path="/switchyard/test/",
                permissions_boundary_arn=permissions_boundary_arn,
                session_log_group_arn=session_log_group_arn,
                session_kms_key_arn=session_kms_key_arn,
            ),
        )
    )


def logs_statement(arn: str = f"{LOGS}:*") -> dict[str, object]:
    return {
        "Sid": "WriteLogs",
        "Effect": "Allow",
        "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
        "Resource": [arn],
    }


def test_only_tasks_of_this_account_may_assume_a_role() -> None:
    assert trust_policy(account_id=ACCOUNT, tasks_arn=f"arn:aws:ecs:{REGION}:{ACCOUNT}:*") == TRUST, (
        "without the source, ECS could be talked into it by another account"
    )


def test_both_roles_trust_nobody_but_tasks() -> None:
    both = {
        "path": "/switchyard/test/",
        "permissionsBoundary": "arn:boundary",
        "assumeRolePolicy": json.dumps(TRUST, sort_keys=True),
    }
    assert {r.name: r.inputs for r in roles().of(ROLE)} == {
        "api-execution": {"description": "Starts the tasks of api", **both},
        "api-task": {"description": "What api itself may do", **both},
    }, "names are left to Pulumi, so that a role can be replaced"


def test_an_account_without_a_boundary_has_roles_without_one() -> None:
    made = roles(permissions_boundary_arn=None).of(ROLE)
    assert [sorted(role.inputs) for role in made] == [["assumeRolePolicy", "description", "path"]] * 2


def test_a_service_that_asks_for_nothing_may_only_write_its_logs() -> None:
    deployment = roles()
    assert deployment.count() == {ROLE: 2, POLICY: 1}, "the task role starts empty"
    assert deployment.one(POLICY).inputs == {
        "role": "api-execution",
        "policy": json.dumps({"Version": "2012-10-17", "Statement": [logs_statement()]}, sort_keys=True),
    }, "closed by default"


def test_the_execution_role_gets_exactly_what_starting_a_task_takes() -> None:
    deployment = roles(
        repository_arn="arn:repository", secret_arns=["arn:secret"], secret_kms_key_arns=["arn:key"]
    )
    expected = execution_policy(
        log_streams_arn=f"{LOGS}:*",
        repository_arn="arn:repository",
        secret_arns=["arn:secret"],
        secret_kms_key_arns=["arn:key"],
        secrets_endpoint="secretsmanager.eu-west-1.amazonaws.com",
    )
    assert deployment.one(POLICY, "api-execution").inputs == {
        "role": "api-execution",
        "policy": json.dumps(expected, sort_keys=True),
    }, "the component adds nothing to the document"


def test_pulling_reading_and_decrypting_are_bound_to_what_was_named() -> None:
    document = execution_policy(
        log_streams_arn="arn:streams",
        repository_arn="arn:repository",
        secret_arns=["arn:one", "arn:two"],
        secret_kms_key_arns=["arn:key"],
        secrets_endpoint="secretsmanager.eu-west-1.amazonaws.com",
    )
    assert document == {
        "Version": "2012-10-17",
        "Statement": [
            logs_statement("arn:streams"),
            {
                "Sid": "LogInToRegistry",
                "Effect": "Allow",
                "Action": ["ecr:GetAuthorizationToken"],
                "Resource": ["*"],
            },
            {
                "Sid": "PullImage",
                "Effect": "Allow",
                "Action": [
                    "ecr:BatchCheckLayerAvailability",
                    "ecr:BatchGetImage",
                    "ecr:GetDownloadUrlForLayer",
                ],
                "Resource": ["arn:repository"],
            },
            {
                "Sid": "ReadSecrets",
                "Effect": "Allow",
                "Action": ["secretsmanager:GetSecretValue"],
                "Resource": ["arn:one", "arn:two"],
            },
            {
                "Sid": "DecryptSecrets",
                "Effect": "Allow",
                "Action": ["kms:Decrypt"],
                "Resource": ["arn:key"],
                "Condition": {"StringEquals": {"kms:ViaService": "secretsmanager.eu-west-1.amazonaws.com"}},
            },
        ],
    }, "only the token of a registry has no resource; keys decrypt secrets and nothing else"


def test_a_public_image_needs_no_registry_login() -> None:
    document = execution_policy(
        log_streams_arn="arn:streams",
        repository_arn=None,
        secret_arns=[],
        secret_kms_key_arns=[],
        secrets_endpoint="unused",
    )
    assert document == {"Version": "2012-10-17", "Statement": [logs_statement("arn:streams")]}


def test_the_application_may_do_what_its_policy_says() -> None:
    deployment = roles(task_policy_json='{"Version":"2012-10-17","Statement":[]}')
    assert deployment.count() == {ROLE: 2, POLICY: 2}
    assert deployment.one(POLICY, "api-task").inputs == {
        "role": "api-task",
        "policy": '{"Version":"2012-10-17","Statement":[]}',
    }, "the document is the caller's, unchanged, and never lands on the execution role"


def test_sessions_are_logged_to_one_group_and_decrypted_with_one_key() -> None:
    deployment = roles(session_log_group_arn="arn:sessions", session_kms_key_arn="arn:key")
    assert deployment.count() == {ROLE: 2, POLICY: 2}
    document = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "OpenSession",
                "Effect": "Allow",
                "Action": [
                    "ssmmessages:CreateControlChannel",
                    "ssmmessages:CreateDataChannel",
                    "ssmmessages:OpenControlChannel",
                    "ssmmessages:OpenDataChannel",
                ],
                "Resource": ["*"],
            },
            {
                "Sid": "FindSessionLog",
                "Effect": "Allow",
                "Action": ["logs:DescribeLogGroups"],
                "Resource": ["*"],
            },
            {
                "Sid": "ListSessionLog",
                "Effect": "Allow",
                "Action": ["logs:DescribeLogStreams"],
                "Resource": ["arn:sessions"],
            },
            {
                "Sid": "WriteSessionLog",
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
                "Resource": ["arn:sessions:*"],
            },
            {
                "Sid": "DecryptSession",
                "Effect": "Allow",
                "Action": ["kms:Decrypt"],
                "Resource": ["arn:key"],
            },
        ],
    }
    assert deployment.one(POLICY, "api-sessions").inputs == {
        "role": "api-task",
        "policy": json.dumps(document, sort_keys=True),
    }, "ssmmessages has no resources; everything else is one resource"
    assert document == session_policy(
        log_group_arn="arn:sessions", log_streams_arn="arn:sessions:*", kms_key_arn="arn:key"
    )


def test_no_action_is_a_wildcard() -> None:
    deployment = roles(
        repository_arn="arn:repository",
        secret_arns=["arn:secret"],
        secret_kms_key_arns=["arn:key"],
        session_log_group_arn="arn:sessions",
        session_kms_key_arn="arn:key",
    )
    documents = [json.loads(p.inputs["policy"]) for p in deployment.of(POLICY)]
    statements = [s for document in documents for s in document["Statement"]]
    assert len(statements) == 10
    actions = [action for statement in statements for action in statement["Action"]]
    assert not [action for action in actions if "*" in action]
    assert sorted(s["Sid"] for s in statements if s["Resource"] == ["*"]) == [
        "FindSessionLog",
        "LogInToRegistry",
        "OpenSession",
    ], "a new statement on everything needs a reason here"


def test_callers_get_both_roles_and_the_roles_belong_to_the_component() -> None:
    deployment = roles(task_policy_json="{}")
    assert value_of(deployment.result.execution_role_arn) == f"arn:aws:Role:{REGION}:{ACCOUNT}:api-execution"
    assert value_of(deployment.result.task_role_arn) == f"arn:aws:Role:{REGION}:{ACCOUNT}:api-task"
    assert {r.parent for r in deployment.resources if r.type.startswith("aws:")} == {"api"}


def test_the_type_is_state_and_stays_as_it_is() -> None:
    (component,) = [r for r in roles().resources if not r.type.startswith("aws:")]
    assert (component.type, component.name) == ("switchyard:compute:TaskRoles", "api")


def test_half_a_session_is_no_session() -> None:
    for deployment in (roles(session_log_group_arn="arn:sessions"), roles(session_kms_key_arn="arn:key")):
        assert deployment.count() == {ROLE: 2, POLICY: 1}, "a session is encrypted and on record, or refused"
