import json

from components.monitoring import Monitoring, MonitoringArgs, topic_policy
from tests.unit.harness import ACCOUNT, Deployment, deploy, value_of

TOPIC = "aws:sns/topic:Topic"
POLICY = "aws:sns/topicPolicy:TopicPolicy"
SUBSCRIPTION = "aws:sns/topicSubscription:TopicSubscription"
LOG_GROUP = "aws:cloudwatch/logGroup:LogGroup"
KEY = "arn:aws:kms:eu-west-1:123456789012:key/k"
TOPIC_ARN = "arn:aws:Topic:eu-west-1:123456789012:watch-topic"


def monitoring(*, emails: tuple[str, ...] = (), log_groups: tuple[str, ...] = ()) -> Deployment:
    return deploy(
        lambda: Monitoring(
            "watch",
            MonitoringArgs(
                name_prefix="switchyard-test",
                log_groups=log_groups,
                log_retention_days=30,
                kms_key_arn=KEY,
                emails=emails,
                account_id=ACCOUNT,
            ),
        )
    )


def test_a_topic_is_encrypted_with_the_stack_key() -> None:
    assert monitoring().one(TOPIC).inputs == {
        "name": "switchyard-test-alerts",
        "kmsMasterKeyId": KEY,
    }, "SNS.1; the AWS managed key would keep alarms from publishing"


def test_only_services_of_this_account_publish_and_only_over_tls() -> None:
    assert topic_policy(topic_arn="arn:topic", account_id="111122223333") == {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Sid": "PublishFromThisAccount",
                "Effect": "Allow",
                "Principal": {
                    "Service": [
                        "backup.amazonaws.com",
                        "cloudwatch.amazonaws.com",
                        "events.rds.amazonaws.com",
                    ]
                },
                "Action": "sns:Publish",
                "Resource": "arn:topic",
                "Condition": {"StringEquals": {"aws:SourceAccount": "111122223333"}},
            },
            {
                "Sid": "RefusePlainText",
                "Effect": "Deny",
                "Principal": "*",
                "Action": "sns:Publish",
                "Resource": "arn:topic",
                "Condition": {"Bool": {"aws:SecureTransport": "false"}},
            },
        ],
    }, "SNS.4, and nobody else's services may publish"


def test_the_policy_guards_the_topic_that_was_made() -> None:
    policy = monitoring().one(POLICY).inputs
    assert policy == {
        "arn": TOPIC_ARN,
        "policy": json.dumps(topic_policy(topic_arn=TOPIC_ARN, account_id=ACCOUNT), sort_keys=True),
    }, "keys in a stable order, or every preview would show a change"


def test_every_address_gets_a_subscription() -> None:
    deployment = monitoring(emails=("a@example.com", "b@example.com"))
    assert [s.inputs for s in deployment.of(SUBSCRIPTION)] == [
        {"topic": TOPIC_ARN, "protocol": "email", "endpoint": "a@example.com"},
        {"topic": TOPIC_ARN, "protocol": "email", "endpoint": "b@example.com"},
    ], "an address that is left out sleeps through the night"


def test_every_log_group_is_encrypted_and_ends_some_day() -> None:
    deployment = monitoring(log_groups=("api", "web"))
    assert [g.inputs for g in deployment.of(LOG_GROUP)] == [
        {"name": "/switchyard-test/api", "retentionInDays": 30, "kmsKeyId": KEY},
        {"name": "/switchyard-test/web", "retentionInDays": 30, "kmsKeyId": KEY},
    ], "logs without an end are a bill and a liability"


def test_nobody_is_subscribed_and_nothing_logged_unless_it_is_asked_for() -> None:
    assert monitoring().count() == {TOPIC: 1, POLICY: 1}, "a topic and its policy are the least"


def test_everything_belongs_to_the_component() -> None:
    deployment = monitoring(emails=("a@example.com",), log_groups=("api",))
    assert deployment.count() == {TOPIC: 1, POLICY: 1, SUBSCRIPTION: 1, LOG_GROUP: 1}
    assert {r.parent for r in deployment.resources if r.type.startswith("aws:")} == {"watch"}


def test_callers_find_log_groups_by_their_short_names() -> None:
    made = monitoring(log_groups=("api", "web")).result
    assert value_of(made.topic_arn) == TOPIC_ARN
    assert {short: value_of(name) for short, name in made.log_group_names.items()} == {
        "api": "/switchyard-test/api",
        "web": "/switchyard-test/web",
    }
    assert {short: value_of(arn) for short, arn in made.log_group_arns.items()} == {
        "api": "arn:aws:LogGroup:eu-west-1:123456789012:watch-api",
        "web": "arn:aws:LogGroup:eu-west-1:123456789012:watch-web",
    }


def test_type_and_names_are_state_and_stay_as_they_are() -> None:
    deployment = monitoring(emails=("a@example.com",), log_groups=("api",))
    assert {r.type: r.name for r in deployment.resources} == {
        "switchyard:monitoring:Monitoring": "watch",
        TOPIC: "watch-topic",
        POLICY: "watch-topic",
        SUBSCRIPTION: "watch-a@example.com",
        LOG_GROUP: "watch-api",
    }, "another name makes Pulumi delete and create; rename with an alias only"
