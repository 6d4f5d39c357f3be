"""The channels that a release is told of by. Each sends in bounded time or raises NotSent."""

import json
import threading
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from release.checks import web
from release.errors import ReleaseError
from release.masking import masked

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient

# For one HTTP request; a channel makes at most three for a message.
TIMEOUT_SECONDS = 5.0
# SNS takes subjects of printable ASCII, below 100 characters; they become the subject of an email.
SUBJECT_CHARACTERS = 99
# Longer texts are cut by Slack itself, in the middle of a word.
TEXT_CHARACTERS = 3000
# GitHub refuses a longer description of a status.
DESCRIPTION_CHARACTERS = 140
EXCERPT_CHARACTERS = 200


class NotSent(ReleaseError):
    """A message was not delivered; why."""


class SnsTopic:
    """An SNS topic, such as the one that alarms go to. sns: with bounded retries."""

    name = "the SNS topic"

    def __init__(self, sns: "SNSClient", topic_arn: str) -> None:
        self._sns = sns
        self._topic_arn = topic_arn

    def send(self, title: str, text: str, *, bad: bool) -> None:
        """Publishes with the title as the subject. Raises NotSent."""
        try:
            self._sns.publish(
                TopicArn=self._topic_arn,
                Subject=subject(title),
                Message=f"{title}\n\n{text}" if text else title,
                # For subscriptions that want the bad news only.
                MessageAttributes={
                    "bad": {"DataType": "String", "StringValue": "true" if bad else "false"},
                },
            )
        except (BotoCoreError, ClientError) as error:
            raise NotSent(str(error)) from error


def subject(title: str) -> str:
    """The title as SNS takes it: printable ASCII, without line breaks, not too long, not empty."""
    text = " ".join(title.encode("ascii", "replace").decode().split())
    text = "".join(character for character in text if character.isprintable())
    return text[:SUBJECT_CHARACTERS] or "Release"


class SlackWebhook:
    """An incoming webhook of Slack, or of what understands the same (Mattermost, Rocket.Chat).

    The URL is a secret: it is read from Secrets Manager when it is first needed, and never shown. The
    secret's value is the URL, or a JSON object with the key `url`.
    """

    name = "the webhook"

    def __init__(self, secrets: "SecretsManagerClient", secret_id: str) -> None:
        self._secrets = secrets
        self._secret_id = secret_id
        self._lock = threading.Lock()
        self._known: str | None = None

    def send(self, title: str, text: str, *, bad: bool) -> None:
        """Posts it. Raises NotSent."""
        url = self._url()
        body = slack_body(title, text, bad=bad)
        request = web.Request(
            url=url,
            method="POST",
            headers={"Content-Type": "application/json"},
            body=json.dumps(body).encode(),
            timeout_seconds=TIMEOUT_SECONDS,
            proxied=True,
        )
        answer = _asked(request)
        if not 200 <= answer.status < 300:
            # Someone may answer with what was asked, the path included.
            said = masked(answer.text, [url, url.partition("://")[2].partition("/")[2]])
            raise NotSent(f"it answered {answer.status}: {_excerpt(said)}")

    def _url(self) -> str:
        with self._lock:
            if self._known is None:
                self._known = self._read()
            return self._known

    def _read(self) -> str:
        try:
            value = self._secrets.get_secret_value(SecretId=self._secret_id).get("SecretString", "")
        except (BotoCoreError, ClientError) as error:
            raise NotSent(f"its secret {self._secret_id} can't be read: {error}") from error
        url = _url_in(value)
        if url is None:
            raise NotSent(
                f"the secret {self._secret_id} holds no URL: put in the webhook's address, or a JSON object "
                "with the key url"
            )
        return url


def _url_in(value: str) -> str | None:
    text = value.strip()
    if text.startswith("{"):
        try:
            found = json.loads(text).get("url")
        except ValueError:
            return None
        text = found if isinstance(found, str) else ""
    return text if text.startswith(("https://", "http://")) else None


def slack_body(title: str, text: str, *, bad: bool) -> dict[str, Any]:
    """A message with a coloured edge. `&`, `<` and `>` are Slack's markup, so they are escaped."""
    plain = _escaped(title)
    attachment = {
        "color": "danger" if bad else "good",
        "fallback": plain,
        "title": plain,
        "text": _escaped(text if len(text) <= TEXT_CHARACTERS else text[: TEXT_CHARACTERS - 1] + "…"),
    }
    return {"attachments": [attachment]}


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


class GithubDeployments:
    """A deployment on GitHub, with a status for each turn of the release.

    https://docs.github.com/en/rest/deployments. Nothing of GitHub's own is asked for (no merge of the base
    branch, no required checks): the release has its own gates.

    repository: `owner/name`. commit: what is released. environment: the stack. api: URL of the REST API.
    """

    def __init__(self, *, repository: str, token: str, commit: str, environment: str, api: str) -> None:
        self._deployments = f"{api.rstrip('/')}/repos/{repository}/deployments"
        self._token = token
        self._commit = commit
        self._environment = environment
        self._found: dict[int, int] = {}
        self._last: dict[int, tuple[str, str]] = {}

    def set(self, release: int, state: str, reason: str) -> None:
        """Sets the deployment's status, making the deployment first if need be. Raises NotSent.

        A release that goes on in another process finds the deployment that it has.
        """
        description = reason if len(reason) <= DESCRIPTION_CHARACTERS else reason[:139] + "…"
        if self._last.get(release) == (state, description):
            return
        if release not in self._found:
            self._found[release] = self._existing(release) or self._created(release)
        self._call(
            "POST",
            f"{self._deployments}/{self._found[release]}/statuses",
            {
                "state": state,
                "description": description,
                "environment": self._environment,
                "auto_inactive": state == "success",
            },
        )
        self._last[release] = (state, description)

    def _existing(self, release: int) -> int | None:
        query = f"?sha={self._commit}&environment={self._environment}&task=release&per_page=100"
        found = self._call("GET", self._deployments + query, None)
        for deployment in found if isinstance(found, list) else []:
            if (deployment.get("payload") or {}).get("release") == release:
                return int(deployment["id"])
        return None

    def _created(self, release: int) -> int:
        made = self._call(
            "POST",
            self._deployments,
            {
                "ref": self._commit,
                "environment": self._environment,
                "task": "release",
                "payload": {"release": release},
                "description": f"Release {self._environment}-{release}",
                "auto_merge": False,
                "required_contexts": [],
            },
        )
        if not isinstance(made, dict) or "id" not in made:
            raise NotSent("it made a deployment and did not tell its id")
        return int(made["id"])

    def _call(self, method: str, url: str, body: Any) -> Any:
        request = web.Request(
            url=url,
            method=method,
            headers={
                "Authorization": f"Bearer {self._token}",
                "Accept": "application/vnd.github+json",
                "X-GitHub-Api-Version": "2022-11-28",
                "Content-Type": "application/json",
            },
            body=None if body is None else json.dumps(body).encode(),
            timeout_seconds=TIMEOUT_SECONDS,
            proxied=True,
        )
        answer = _asked(request)
        said = masked(answer.text, [self._token])
        if not 200 <= answer.status < 300:
            raise NotSent(f"it answered {answer.status}: {_excerpt(said)}")
        try:
            return json.loads(answer.text)
        except ValueError:
            raise NotSent(f"its answer is no JSON: {_excerpt(said)}") from None


def _asked(request: web.Request) -> web.Answer:
    try:
        return web.ask(request)
    except web.NoAnswer as error:
        raise NotSent(str(error)) from error


def _excerpt(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= EXCERPT_CHARACTERS else line[: EXCERPT_CHARACTERS - 1] + "…"
