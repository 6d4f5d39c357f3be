import json
from typing import Any

from components.flow_log import FlowLog, FlowLogArgs
from tests.unit.harness import Deployment, deploy, value_of

GROUP = "aws:cloudwatch/logGroup:LogGroup"
ROLE = "aws:iam/role:Role"
POLICY = "aws:iam/rolePolicy:RolePolicy"
LOG = "aws:ec2/flowLog:FlowLog"

KEY = "arn:aws:kms:eu-west-1:123456789012:key/k"
GROUP_ARN = "arn:aws:LogGroup:eu-west-1:123456789012:flow-group"


def flow_log(made: list[FlowLog] | None = None) -> Deployment:
    args = FlowLogArgs(
        vpc_id="vpc-1",
        log_group_name="/test/flow",
        retention_days=30,
        kms_key_arn=KEY,
        account_id="123456789012",
        region="eu-west-1",
        role_path="/switchyard/test/",
        permissions_boundary_arn="arn:boundary",
    )
    return deploy(lambda: [FlowLog("flow", args)] if made is None else made.append(FlowLog("flow", args)))


def policy(text: str) -> Any:
    assert text == json.dumps(json.loads(text), sort_keys=True), "an unstable key order is a change each time"
    return json.loads(text)


def test_all_traffic_is_logged_accepted_and_rejected() -> None:
    assert flow_log().one(LOG).inputs == {
        "vpcId": "vpc-1",
        "trafficType": "ALL",
        "logDestinationType": "cloud-watch-logs",
        "logDestination": GROUP_ARN,
        "iamRoleArn": "arn:aws:Role:eu-west-1:123456789012:flow-role",
    }, "EC2.6: an intruder is seen in what was rejected and in what was not"


def test_the_log_waits_for_its_permission() -> None:
    assert flow_log().one(LOG).dependencies == ("flow-group", "flow-role", "flow-write"), (
        "a log that can't write at first is reported as failing for a while"
    )


def test_records_are_encrypted_and_kept_for_the_days_asked_for() -> None:
    assert flow_log().one(GROUP).inputs == {
        "name": "/test/flow",
        "retentionInDays": 30,
        "kmsKeyId": KEY,
    }


def test_only_flow_logs_of_this_account_and_region_take_the_role() -> None:
    role = flow_log().one(ROLE).inputs
    assert {key: value for key, value in role.items() if key != "assumeRolePolicy"} == {
        "path": "/switchyard/test/",
        "permissionsBoundary": "arn:boundary",
        "description": "Lets VPC flow logs write to their log group",
    }, "permissions come from the one policy only"
    assert policy(role["assumeRolePolicy"]) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "FlowLogsOfThisAccount",
                "Effect": "Allow",
                "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": "123456789012"},
                    "ArnLike": {"aws:SourceArn": "arn:aws:ec2:eu-west-1:123456789012:vpc-flow-log/*"},
                },
            }
        ],
    }, "without the conditions another account's flow log could write here"


def test_the_role_writes_to_its_own_group_only() -> None:
    granted = flow_log().one(POLICY).inputs
    assert granted["role"] == "flow-role-id"
    assert policy(granted["policy"]) == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "WriteRecords",
                "Effect": "Allow",
                "Action": ["logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                "Resource": f"{GROUP_ARN}:*",
            },
            {
                "Sid": "FindLogGroup",
                "Effect": "Allow",
                "Action": "logs:DescribeLogGroups",
                "Resource": "arn:aws:logs:eu-west-1:123456789012:log-group:*",
            },
        ],
    }, "a right to create groups would let the service make one without encryption"


def test_a_flow_log_creates_nothing_else_and_owns_all_of_it() -> None:
    made = flow_log()
    assert made.count() == {GROUP: 1, ROLE: 1, POLICY: 1, LOG: 1}
    assert {resource.name for resource in made.resources} == {
        "flow",
        "flow-group",
        "flow-role",
        "flow-write",
        "flow-log",
    }, "a logical name is state: another one replaces the resource"
    assert {resource.parent for resource in made.resources if resource.name != "flow"} == {"flow"}
    assert made.one("switchyard:network:FlowLog").name == "flow", "a type token is state for ever"


def test_the_group_is_named_for_whoever_reads_it() -> None:
    made: list[FlowLog] = []
    flow_log(made)
    assert value_of(made[0].log_group_name) == "/test/flow"
