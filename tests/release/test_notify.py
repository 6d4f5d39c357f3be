"""Notifications against real servers: what arrives, and that nothing that goes wrong reaches the release."""

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.exceptions import ReadTimeoutError
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.sns.models import sns_backends

from infra.settings import NotificationSettings
from release import channels
from release.aws.outputs import StackParts
from release.channels import GithubDeployments, NotSent, SlackWebhook, SnsTopic, slack_body, subject
from release.masking import masked, secrets_of
from release.notify import Notifications, github_state, herald_of, secret_id
from tests.release.faulty import Behaviour, Fault, Seen, Server, Told, free_port, serving

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient

PATH = "/services/T000/B000/verysecretpart"
TOKEN = "a-token-of-nobody"  # noqa: S105 - of nobody
COMMIT = "0" * 40


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[boto3.Session]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        yield boto3.Session(region_name="eu-west-1")


@pytest.fixture
def sns(aws: boto3.Session) -> "SNSClient":
    return aws.client("sns")


@pytest.fixture
def secrets(aws: boto3.Session) -> "SecretsManagerClient":
    return aws.client("secretsmanager")


@pytest.fixture
def topic(sns: "SNSClient") -> str:
    return sns.create_topic(Name="alerts")["TopicArn"]


def published(topic: str) -> Sequence[Any]:
    """What the topic got: (id, message, subject, attributes, group)."""
    found: Sequence[Any] = sns_backends[DEFAULT_ACCOUNT_ID]["eu-west-1"].topics[topic].sent_notifications
    return found


def webhook(secrets: "SecretsManagerClient", value: str) -> SlackWebhook:
    secrets.create_secret(Name="shop-local/slack", SecretString=value)
    return SlackWebhook(secrets, "shop-local/slack")


def told(channel: Any, *, title: str = "Release prod-7 completed", text: str = "all well") -> list[str]:
    """Tells one channel, waits for it, and returns the warnings."""
    warnings: list[str] = []
    with Notifications([channel], warn=warnings.append) as herald:
        herald.tell(title, text, bad=False)
    return warnings


# --- what arrives


def test_a_topic_gets_the_title_as_subject_and_all_of_the_text(sns: "SNSClient", topic: str) -> None:
    with Notifications([SnsTopic(sns, topic)]) as herald:
        herald.tell("Release prod-7 rolled back", "p99 rose", bad=True)
    [(_, message, about, attributes, _)] = published(topic)
    assert about == "Release prod-7 rolled back"
    assert message == "Release prod-7 rolled back\n\np99 rose"
    assert attributes["bad"]["Value"] == "true"


@pytest.mark.parametrize(
    ("title", "expected"),
    [
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("größer", "gr??er"),
        ("x" * 200, "x" * 99),
        ("", "Release"),
    ],
)
def test_a_subject_is_one_that_sns_takes(sns: "SNSClient", topic: str, title: str, expected: str) -> None:
    assert subject(title) == expected
    assert told(SnsTopic(sns, topic), title=title) == []


def test_a_webhook_gets_the_message_with_its_markup_escaped(secrets: "SecretsManagerClient") -> None:
    with serving(Told()) as server:
        assert told(webhook(secrets, server.url + PATH), text="5 < 6 & 7 > 6") == []
        [seen] = server.seen
    assert (seen.method, seen.path) == ("POST", PATH)
    assert seen.headers["content-type"] == "application/json"
    assert json.loads(seen.body) == {
        "attachments": [
            {
                "color": "good",
                "fallback": "Release prod-7 completed",
                "title": "Release prod-7 completed",
                "text": "5 &lt; 6 &amp; 7 &gt; 6",
            }
        ]
    }


def test_bad_news_and_long_ones_look_so() -> None:
    [attachment] = slack_body("t", "x" * 5000, bad=True)["attachments"]
    assert attachment["color"] == "danger"
    assert len(attachment["text"]) == 3000


def test_the_webhooks_secret_may_be_a_json_object(secrets: "SecretsManagerClient") -> None:
    with serving(Told()) as server:
        assert told(webhook(secrets, json.dumps({"url": server.url + PATH}))) == []
        assert len(server.seen) == 1


def test_messages_arrive_in_the_order_in_which_they_were_sent(secrets: "SecretsManagerClient") -> None:
    with serving(Told()) as server:
        with Notifications([webhook(secrets, server.url + PATH)]) as herald:
            for number in range(20):
                herald.tell(f"title {number}", "", bad=False)
        titles = [json.loads(seen.body)["attachments"][0]["title"] for seen in server.seen]
    assert titles == [f"title {number}" for number in range(20)]


def test_secrets_are_taken_out_of_what_is_told(
    sns: "SNSClient", topic: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_PASSWORD", "pa55-word-of-shop")
    told(SnsTopic(sns, topic), title="with pa55-word-of-shop", text="postgres://shop:hunter22@db/shop")
    [(_, message, about, *_)] = published(topic)
    assert about == "with ***"
    assert message == "with ***\n\npostgres://***@db/shop"


# --- what goes wrong


def answers(status: int) -> Told:
    # As a careless server would, it says what it was asked for.
    return Told(status=status, body=f"invalid_token for {PATH}")


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        (answers(500), "it answered 500: invalid_token"),
        (answers(403), "it answered 403: invalid_token"),
        (Told(status=302, headers={"Location": "http://elsewhere"}), "it answered 302"),
        ("hang", "no whole answer in 0.5 s"),
        ("drip", "no whole answer in 0.5 s"),
        ("reset", "the connection was cut off"),
        ("garbage", "not HTTP"),
    ],
    ids=["500", "403", "redirect", "hang", "drip", "reset", "garbage"],
)
def test_a_webhook_that_fails_is_one_warning_without_its_url(
    secrets: "SecretsManagerClient",
    monkeypatch: pytest.MonkeyPatch,
    behaviour: Told | Fault,
    cause: str,
) -> None:
    monkeypatch.setattr(channels, "TIMEOUT_SECONDS", 0.5)
    with serving(behaviour) as server:
        warnings = told(webhook(secrets, server.url + PATH))
    [warning] = warnings
    assert warning.startswith("could not tell the webhook of the release: ")
    assert cause in warning
    assert "\n" not in warning
    assert "verysecretpart" not in warning
    assert server.url not in warning


@pytest.mark.parametrize(
    ("value", "cause"),
    [
        ("", "holds no URL"),
        ("not a url with verysecretpart", "holds no URL"),
        ('{"link": "https://verysecretpart"}', "holds no URL"),
        ('{"url": 7}', "holds no URL"),
        ("{verysecretpart", "holds no URL"),
        ("http://verysecretpart:port/x", "URL is not valid"),
        ("http://", "URL is not valid"),
    ],
)
def test_a_secret_that_is_no_url_is_said_and_not_shown(
    secrets: "SecretsManagerClient", value: str, cause: str
) -> None:
    secrets.create_secret(Name="shop-local/slack")
    if value:
        secrets.put_secret_value(SecretId="shop-local/slack", SecretString=value)
    [warning] = told(SlackWebhook(secrets, "shop-local/slack"))
    assert cause in warning or "can't be read" in warning
    assert "verysecretpart" not in warning


def test_a_secret_that_is_not_there_is_named(secrets: "SecretsManagerClient") -> None:
    [warning] = told(SlackWebhook(secrets, "shop-local/slack"))
    assert "its secret shop-local/slack can't be read" in warning
    assert "ResourceNotFoundException" in warning


def test_nobody_listening_is_a_warning(secrets: "SecretsManagerClient") -> None:
    [warning] = told(webhook(secrets, f"http://127.0.0.1:{free_port()}{PATH}"))
    assert "could not connect: Connection refused" in warning


def test_a_topic_that_is_gone_is_a_warning(sns: "SNSClient", topic: str) -> None:
    sns.delete_topic(TopicArn=topic)
    [warning] = told(SnsTopic(sns, topic))
    assert "could not tell the SNS topic of the release" in warning
    assert "NotFound" in warning


def test_a_topic_that_does_not_answer_is_a_warning(sns: "SNSClient", topic: str) -> None:
    def silent(**_: Any) -> None:
        raise ReadTimeoutError(endpoint_url="https://sns")

    sns.meta.events.register_first("before-send.sns.Publish", silent)
    [warning] = told(SnsTopic(sns, topic))
    assert "Read timeout" in warning


def test_one_channel_that_hangs_delays_neither_the_release_nor_the_others(
    sns: "SNSClient", topic: str, secrets: "SecretsManagerClient", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "TIMEOUT_SECONDS", 30)
    warnings: list[str] = []
    with serving("hang") as server:
        herald = Notifications(
            [webhook(secrets, server.url + PATH), SnsTopic(sns, topic)], warn=warnings.append
        )
        # More than may wait: the release goes on, and it is said what is lost.
        for number in range(110):
            herald.tell(f"title {number}", "", bad=False)
        herald.close(seconds=1)
    assert len(published(topic)) > 0
    assert any("messages wait already" in warning for warning in warnings)
    assert any("could not tell the webhook of the release: no end in sight" in w for w in warnings)


def test_whatever_a_channel_raises_stays_in_its_thread() -> None:
    class Broken:
        name = "the broken one"

        def send(self, title: str, text: str, *, bad: bool) -> None:
            raise ZeroDivisionError(f"{title}{text}{bad}")

    assert told(Broken(), title="a", text="b") == [
        "could not tell the broken one of the release: ZeroDivisionError: abFalse"
    ]


def test_a_channel_goes_on_after_a_failure(secrets: "SecretsManagerClient") -> None:
    asked: list[Seen] = []

    def behave(seen: Seen) -> Told:
        asked.append(seen)
        return Told(status=500 if len(asked) == 1 else 200)

    warnings: list[str] = []
    with serving(behave) as server:
        with Notifications([webhook(secrets, server.url + PATH)], warn=warnings.append) as herald:
            herald.tell("first", "", bad=False)
            herald.tell("second", "", bad=False)
        assert len(server.seen) == 2
    assert len(warnings) == 1


def test_no_thread_is_left_behind(sns: "SNSClient", topic: str) -> None:
    before = set(threading.enumerate())
    told(SnsTopic(sns, topic))
    ours = [thread.name for thread in set(threading.enumerate()) - before if thread.name.startswith("tell")]
    assert ours == []


# --- GitHub


class Hub:
    """As much of GitHub's API as a deployment needs, over real HTTP."""

    def __init__(self) -> None:
        self.deployments: list[dict[str, Any]] = []
        self.statuses: list[tuple[int, dict[str, Any]]] = []

    def __call__(self, seen: Seen) -> Told:
        if seen.headers.get("authorization") != f"Bearer {TOKEN}":
            return Told(status=401, body='{"message": "Bad credentials"}')
        path, _, _ = seen.path.partition("?")
        if path == "/repos/acme/shop/deployments" and seen.method == "GET":
            return Told(body=json.dumps(self.deployments))
        body = json.loads(seen.body)
        if path == "/repos/acme/shop/deployments":
            self.deployments.append({**body, "id": 40 + len(self.deployments)})
            return Told(status=201, body=json.dumps(self.deployments[-1]))
        number = int(path.removeprefix("/repos/acme/shop/deployments/").removesuffix("/statuses"))
        self.statuses.append((number, body))
        return Told(status=201, body="{}")


def github(server: Server) -> GithubDeployments:
    return GithubDeployments(
        repository="acme/shop", token=TOKEN, commit=COMMIT, environment="prod", api=server.url
    )


EVENTS: list[dict[str, Any]] = [
    {"kind": "phase", "phase": "PLANNED", "number": 7, "reason": "asked for"},
    {"kind": "weights", "number": 7, "weights": {"blue": 90, "green": 10}},
    {"kind": "phase", "phase": "SHIFTING", "number": 7, "reason": "verified"},
    {"kind": "held", "number": 7, "reason": "too little traffic"},
    {"kind": "phase", "phase": "ROLLED_BACK", "number": 7, "reason": "p99 rose"},
    {"kind": "ended", "outcome": "ROLLED_BACK", "number": 7, "reason": "p99 rose"},
]


def test_a_release_is_one_deployment_and_its_turns_are_statuses() -> None:
    hub = Hub()
    with serving(hub) as server, Notifications([], github=github(server)) as herald:
        for event in EVENTS:
            herald.observe(event)
        herald.close()
    [deployment] = hub.deployments
    assert (deployment["ref"], deployment["environment"]) == (COMMIT, "prod")
    assert (deployment["auto_merge"], deployment["required_contexts"]) == (False, [])
    said = [(number, status["state"], status["description"]) for number, status in hub.statuses]
    assert said == [
        (40, "in_progress", "asked for"),
        (40, "in_progress", "verified"),
        (40, "pending", "too little traffic"),
        (40, "failure", "p99 rose"),
    ]


def test_a_release_that_another_process_goes_on_with_keeps_its_deployment() -> None:
    hub = Hub()
    with serving(hub) as server:
        github(server).set(6, "in_progress", "another release of the same commit")
        github(server).set(7, "in_progress", "begun")
        github(server).set(7, "success", "resumed")
    assert [deployment["payload"] for deployment in hub.deployments] == [{"release": 6}, {"release": 7}]
    assert [number for number, _ in hub.statuses] == [40, 41, 41]


def test_a_description_is_no_longer_than_github_takes() -> None:
    hub = Hub()
    with serving(hub) as server:
        github(server).set(7, "failure", "x" * 500)
    assert len(hub.statuses[0][1]["description"]) == 140


@pytest.mark.parametrize(
    ("event", "state"),
    [
        ({"kind": "ended", "outcome": "COMPLETED"}, "success"),
        ({"kind": "ended", "outcome": "FAILED"}, "failure"),
        ({"kind": "ended", "outcome": "NEEDS_PERSON"}, "error"),
        ({"kind": "ended", "outcome": "INTERRUPTED"}, None),
        ({"kind": "ended", "outcome": "REFUSED"}, None),
        ({"kind": "counts"}, None),
        ({}, None),
    ],
)
def test_only_what_is_over_has_a_final_status(event: dict[str, Any], state: str | None) -> None:
    assert github_state(event) == state


@pytest.mark.parametrize(
    ("behaviour", "cause"),
    [
        (lambda seen: Told(status=401, body=f"bad {seen.headers['authorization']}"), "it answered 401: bad"),
        (Told(status=201, body="{}"), "did not tell its id"),
        (Told(body="<html>"), "is no JSON"),
        ("reset", "cut off"),
        ("hang", "no whole answer"),
    ],
    ids=["401", "no id", "no JSON", "reset", "hang"],
)
def test_a_github_that_fails_is_a_warning_without_the_token(
    behaviour: Behaviour | Told | Fault, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channels, "TIMEOUT_SECONDS", 0.5)
    warnings: list[str] = []
    with (
        serving(behaviour) as server,
        Notifications([], github=github(server), warn=warnings.append) as herald,
    ):
        herald.observe(EVENTS[0])
        herald.close()
    [warning] = warnings
    assert warning.startswith("could not tell GitHub of the release: ")
    assert cause in warning
    assert TOKEN not in warning


# --- out of the settings


@dataclass(frozen=True)
class Clients:
    sns: "SNSClient"
    secretsmanager: "SecretsManagerClient"


def made(
    aws: boto3.Session, settings: dict[str, Any], environment: dict[str, str]
) -> tuple[Notifications, list[str]]:
    warnings: list[str] = []
    clients = Clients(aws.client("sns"), aws.client("secretsmanager"))
    parts = StackParts(
        region="eu-west-1",
        production_url="http://p",
        test_url="http://t",
        cluster="shop-prod",
        release_table="shop-prod-releases",
        images_path="/shop/prod/images",
        alerts_topic=clients.sns.create_topic(Name="alerts")["TopicArn"],
        databases={},
        services={},
    )
    found = herald_of(
        NotificationSettings.model_validate(settings),
        clients,
        parts,
        stack="prod",
        environment=environment,
        warn=warnings.append,
    )
    return found, warnings


def test_the_settings_name_the_channels(aws: boto3.Session) -> None:
    hub = Hub()
    with serving(hub) as api, serving(Told()) as slack:
        aws.client("secretsmanager").create_secret(Name="shop-prod/chat", SecretString=slack.url + PATH)
        settings = {"slack_webhook_secret": "chat", "github_repository": "acme/shop"}
        herald, warnings = made(
            aws, settings, {"GITHUB_TOKEN": TOKEN, "GITHUB_SHA": COMMIT, "GITHUB_API_URL": api.url}
        )
        with herald:
            herald.tell("title", "text", bad=False)
            herald.observe(EVENTS[0])
        assert len(slack.seen) == 1
    assert len(hub.statuses) == 1
    topic = "arn:aws:sns:eu-west-1:123456789012:alerts"
    assert len(published(topic)) == 1
    assert warnings == []


@pytest.mark.parametrize(
    ("environment", "missing"),
    [
        ({"GITHUB_SHA": COMMIT}, "no GITHUB_TOKEN"),
        ({"GITHUB_TOKEN": TOKEN}, "no commit"),
        ({}, "no GITHUB_TOKEN and no commit"),
    ],
)
def test_what_github_lacks_is_said_once_and_stops_nothing(
    aws: boto3.Session, environment: dict[str, str], missing: str
) -> None:
    herald, warnings = made(aws, {"github_repository": "acme/shop"}, environment)
    with herald:
        for event in EVENTS:
            herald.observe(event)
    assert warnings == [f"no deployment status on GitHub: there is {missing}"]


def test_a_secret_is_found_by_name_or_arn() -> None:
    arn = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:chat-AbCdEf"
    assert secret_id("chat", "shop-prod") == "shop-prod/chat"
    assert secret_id(arn, "shop-prod") == arn


# --- masking


@pytest.mark.parametrize(
    "secret",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_abcdefghijklmnopqrstuvwxyz012345",
        "xoxb-1234567890-abcdef",
        "https://hooks.slack.com/services/T0/B0/xyz",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE\nabc\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_what_looks_like_a_secret_is_masked(secret: str) -> None:
    assert masked(f"before {secret} after") == "before *** after"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://u:p4ss@host/db", "postgres://***@host/db"),
        ("Authorization: Bearer abc.def-ghi", "Authorization: Bearer ***"),
        ("DB_PASSWORD=hunter22 next", "DB_PASSWORD=*** next"),
        ('{"api_key": "12345678"}', '{"api_key": "***"}'),
        ("p99 300 ms against 120 ms", "p99 300 ms against 120 ms"),
        ("https://shop.example/healthz?x=1", "https://shop.example/healthz?x=1"),
    ],
)
def test_only_the_secret_part_of_a_line_is_masked(text: str, expected: str) -> None:
    assert masked(text) == expected


def test_of_two_secrets_that_begin_alike_the_longer_is_wholly_masked() -> None:
    assert masked("value abcdef-ghijkl", ["abcdef", "abcdef-ghijkl"]) == "value ***"


def test_variables_are_secret_by_their_names() -> None:
    environment = {
        "DATABASE_PASSWORD": "one-secret",
        "SLACK_WEBHOOK": "two-secret",
        "PASSWORD_FILE": "/run/a-file",
        "SECRET_ARN": "arn:aws:x",
        "API_TOKEN": "short",
        "HOME": "/home/somebody",
    }
    assert secrets_of(environment) == ["one-secret", "two-secret"]


def test_a_message_that_can_not_be_sent_is_an_error_of_the_engine() -> None:
    check: Callable[[], None] = lambda: GithubDeployments(  # noqa: E731
        repository="a/b",
        token=TOKEN,
        commit=COMMIT,
        environment="prod",
        api=f"http://127.0.0.1:{free_port()}",
    ).set(1, "success", "")
    with pytest.raises(NotSent, match="could not connect"):
        check()
