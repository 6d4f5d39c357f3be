"""`switchyard up` of a stack by its name: its settings, account, engine, plans and record put together."""

import os
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from infra.arguments import Stack
from infra.settings_file import kept
from localcloud.errors import CloudError
from localcloud.paths import PROJECT
from release.aws.session import Clients
from release.clock import SystemClock
from release.errors import ReleaseError
from release.store import Store, this_process
from release.table import DynamoTable
from review.errors import ReviewError
from switchyard import reviews
from switchyard.embedded import Watcher
from switchyard.errors import SwitchyardError
from switchyard.stacks import (
    environment_of,
    guard_account,
    is_embedded,
    project_name,
    session_of,
    settings_of,
)
from switchyard.up import REFUSED, Author, Ended, Say, Up
from switchyard.up_record import Outcome, UpdateRecord
from switchyard.up_summary import markdown


def up(
    stack: str, author: Author, say: Say, tell: Say, *, lock_wait: timedelta, digest: str | None = None
) -> Ended:
    """Applies the stack. What is foreseen to go wrong is in the answer, and in the job's summary."""
    try:
        guard_account(stack)
        with kept(PROJECT / f"Pulumi.{stack}.yaml", only=is_embedded(stack)):
            ended = _up(stack, author, say, tell, lock_wait=lock_wait, digest=digest).run()
    except (SwitchyardError, CloudError, ReleaseError, ReviewError) as error:
        ended = Ended(status=REFUSED, outcome=Outcome.REFUSED, reason=str(error))
    summarize(stack, ended, author, tell, os.environ)
    return ended


def _up(stack: str, author: Author, say: Say, tell: Say, *, lock_wait: timedelta, digest: str | None) -> Up:
    table = table_of(stack)
    return Up(
        request=reviews.request(stack),
        author=author,
        say=say,
        tell=tell,
        record=UpdateRecord(table),
        releases=Store(table, this_process(), SystemClock().now),
        lock_wait=lock_wait,
        digest=digest,
        plans=reviews.PLANS,
        observe=Watcher(say=say, verb=f"Applying to {stack}"),
    )


def table_of(stack: str) -> DynamoTable:
    """The table of the stack's releases and updates; its name is known before it is there."""
    settings, environment = settings_of(stack), environment_of(stack)
    session = session_of(environment, settings.region)
    clients = Clients(session, endpoint=environment.get("AWS_ENDPOINT_URL"))
    named = Stack(project=project_name(), name=stack, account_id=settings.accounts[0], settings=settings)
    return DynamoTable(clients.dynamodb, named.release_table)


def job_of(variables: Mapping[str, str]) -> str | None:
    """Where the CI job that runs this can be looked at."""
    names = ("GITHUB_SERVER_URL", "GITHUB_REPOSITORY", "GITHUB_RUN_ID")
    if all(variables.get(name) for name in names):
        server, repository, run = (variables[name] for name in names)
        return f"{server}/{repository}/actions/runs/{run}"
    return variables.get("CI_JOB_URL")


def summarize(stack: str, ended: Ended, author: Author, tell: Say, variables: Mapping[str, str]) -> None:
    """Adds to the summary of a GitHub job; does nothing elsewhere. A failure to is told, no more."""
    file = variables.get("GITHUB_STEP_SUMMARY")
    if not file:
        return
    try:
        with Path(file).open("a", encoding="utf-8") as summary:
            summary.write(markdown(stack, ended, author))
    except OSError as error:
        tell(f"The job's summary can't be written: {error}")
