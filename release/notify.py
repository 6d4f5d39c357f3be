"""Tells people of a release: an SNS topic, a Slack-compatible webhook, GitHub's deployment statuses.

The release never waits for it and never fails by it. Each channel has a thread of its own, which sends one
message after the other, each in bounded time; what can't be sent is one line of warning.
"""

import atexit
import logging
import os
import queue
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from infra.settings import NotificationSettings
from release.aws.outputs import StackParts
from release.channels import GithubDeployments, NotSent, SlackWebhook, SnsTopic
from release.masking import masked, secrets_of
from release.ports import Say

if TYPE_CHECKING:
    from mypy_boto3_secretsmanager import SecretsManagerClient
    from mypy_boto3_sns import SNSClient

# Messages that wait for a slow channel; a release has some twenty.
WAITING = 100
CLOSE_SECONDS = 15.0
GITHUB_API = "https://api.github.com"

log = logging.getLogger("switchyard.release")


@dataclass(frozen=True, kw_only=True)
class Message:
    """What people are told. bad: something has gone wrong."""

    title: str
    text: str
    bad: bool


class Channel(Protocol):
    """Where messages go. `name` is what a warning calls it."""

    @property
    def name(self) -> str:
        """As in "could not tell <name>"."""

    def send(self, title: str, text: str, *, bad: bool) -> None:
        """Sends in bounded time. Raises NotSent."""


class Notifications:
    """The `Herald` port, and an observer of the release's events for GitHub.

    Use it as a context, or call `close`: at the end of a command the last message is still under way.

    lacking: why a channel that the settings want is not there; said when there is something to tell.
    warn: hears of what could not be sent.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        *,
        github: GithubDeployments | None = None,
        lacking: str | None = None,
        warn: Say = log.warning,
    ) -> None:
        self._lacking = lacking
        self._warn = warn
        self._closed = False
        self._senders = [(channel, _Sender(channel.name, warn)) for channel in channels]
        self._github = (github, _Sender("GitHub", warn)) if github is not None else None
        # Whoever forgets to close still tells what can be told so late.
        atexit.register(self.close)

    def tell(self, title: str, text: str, *, bad: bool) -> None:
        """Sends to every channel, in the background."""
        secrets = secrets_of()
        said = Message(title=masked(title, secrets), text=masked(text, secrets), bad=bad)
        for channel, sender in self._senders:
            sender.put(lambda channel=channel: channel.send(said.title, said.text, bad=said.bad))  # type: ignore[misc]

    def observe(self, event: Mapping[str, Any]) -> None:
        """Sets GitHub's deployment status when the release comes into another phase, is held or ends."""
        if self._lacking is not None:
            self._warn(self._lacking)
            self._lacking = None
        if self._github is None:
            return
        github, sender = self._github
        state = github_state(event)
        if state is not None:
            number, reason = event.get("number"), masked(str(event.get("reason", "")), secrets_of())
            sender.put(lambda: github.set(number if isinstance(number, int) else 0, state, reason))

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Waits for what is under way, at most that long in all; the rest is given up with a warning."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self.close)
        deadline = time.monotonic() + seconds
        senders = [sender for _, sender in self._senders] + ([self._github[1]] if self._github else [])
        for sender in senders:
            sender.finish()
        for sender in senders:
            sender.join(deadline)

    def __enter__(self) -> "Notifications":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


# What an end is on GitHub, by the name of the exit code. An interrupted release goes on later.
_ENDS = {"COMPLETED": "success", "ROLLED_BACK": "failure", "FAILED": "failure", "NEEDS_PERSON": "error"}


def github_state(event: Mapping[str, Any]) -> str | None:
    """The deployment status that an event stands for, None for one that changes none. Pure."""
    match event.get("kind"):
        case "phase" if event.get("phase") not in ("COMPLETED", "ROLLED_BACK", "NEEDS_PERSON"):
            return "in_progress"
        case "held":
            return "pending"
        case "ended":
            return _ENDS.get(str(event.get("outcome")))
        case _:
            return None


class _Sender:
    """One channel's thread: sends in order, warns of what fails, never raises."""

    def __init__(self, name: str, warn: Say) -> None:
        self._name = name
        self._warn = warn
        self._waiting: queue.Queue[Callable[[], None] | None] = queue.Queue(WAITING)
        self._thread = threading.Thread(target=self._run, name=f"tell {name}", daemon=True)
        self._begun = False
        self._beginning = threading.Lock()

    def put(self, send: Callable[[], None]) -> None:
        with self._beginning:
            if not self._begun:
                # Most commands have nothing to tell.
                self._begun = True
                self._thread.start()
        try:
            self._waiting.put_nowait(send)
        except queue.Full:
            self._say(f"{WAITING} messages wait already")

    def finish(self) -> None:
        """What was put before is still sent, if `join` waits for it."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            self._say(f"{WAITING} messages were never sent")

    def join(self, deadline: float) -> None:
        if not self._begun:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            self._say(f"no end in sight, {self._waiting.qsize()} messages still wait")

    def _run(self) -> None:
        while (send := self._waiting.get()) is not None:
            try:
                send()
            except NotSent as error:
                self._say(str(error))
            except Exception as error:  # noqa: BLE001 - a failing notification never fails a release
                self._say(f"{type(error).__name__}: {error}")

    def _say(self, cause: str) -> None:
        line = " ".join(masked(cause, secrets_of()).split())
        self._warn(f"could not tell {self._name} of the release: {line}")


class Clients(Protocol):
    """The AWS clients that notifications go by, with bounded retries."""

    @property
    def sns(self) -> "SNSClient":
        """Simple Notification Service."""

    @property
    def secretsmanager(self) -> "SecretsManagerClient":
        """Secrets Manager."""


def herald_of(
    settings: NotificationSettings,
    clients: Clients,
    parts: StackParts,
    *,
    stack: str,
    commit: str | None = None,
    environment: Mapping[str, str] | None = None,
    warn: Say = log.warning,
) -> Notifications:
    """The channels that the settings name, and the stack's alerts topic.

    A webhook's secret that is named without an ARN is `<name prefix of the stack>/<name>`.

    commit: what is released, for GitHub; default: GITHUB_SHA. Without it, or without GITHUB_TOKEN, there is
        no deployment, which is said once.
    environment: where GITHUB_TOKEN, GITHUB_SHA and GITHUB_API_URL are found; default: of this process.
    """
    found = os.environ if environment is None else environment
    channels: list[Channel] = [SnsTopic(clients.sns, parts.alerts_topic)]
    if settings.slack_webhook_secret is not None:
        secret = secret_id(settings.slack_webhook_secret, parts.name_prefix)
        channels.append(SlackWebhook(clients.secretsmanager, secret))
    github = lacking = None
    if settings.github_repository is not None:
        token, commit = found.get("GITHUB_TOKEN", ""), commit or found.get("GITHUB_SHA", "")
        missing = [name for name, value in (("GITHUB_TOKEN", token), ("commit", commit)) if not value]
        if missing:
            lacking = f"no deployment status on GitHub: there is no {' and no '.join(missing)}"
        else:
            github = GithubDeployments(
                repository=settings.github_repository,
                token=token,
                commit=commit,
                environment=stack,
                api=found.get("GITHUB_API_URL", GITHUB_API),
            )
    return Notifications(channels, github=github, lacking=lacking, warn=warn)


def secret_id(reference: str, name_prefix: str) -> str:
    """What Secrets Manager knows a setting's secret by."""
    return reference if reference.startswith("arn:") else f"{name_prefix}/{reference}"
