"""Previews by Pulumi's Automation API: the report of a stack, or of several at once.

Nothing is written: not the state, not the stack's file, and a stack that does not exist yet is previewed in
a state of its own that is thrown away.
"""

import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pulumi.automation as auto
import yaml
from pulumi.automation import EngineEvent

from infra.settings_file import kept
from review import known_secrets
from review.changes import Reading
from review.digest import configuration_version, plan_of, secret_key, state_version
from review.events import read
from review.masking import Masker
from review.policy_findings import PolicyFinding
from review.report import CostDelta, Report, compose
from review.stateful import Allowance

Say = Callable[[str], None]
# Each preview is an engine, a program and a provider.
AT_ONCE = 3


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What others say of a preview."""

    findings: tuple[PolicyFinding, ...] = ()
    costs: tuple[CostDelta, ...] = ()


# Gets the engine's events, in which the engine has masked what it knows to be secret.
Judge = Callable[[Sequence[EngineEvent]], Judgement]


@dataclass(frozen=True, kw_only=True)
class Request:
    """A stack to preview.

    engine: Pulumi's view of the project, in the stack's environment.
    refresh: read AWS first, which shows what was changed outside the program.
    allowances: what the stack's settings let a plan delete or replace.
    policy_packs: folders of policy packs that the engine runs.
    judge: adds policy findings and cost deltas; none: there are none.
    secrets: more values that no output may show.
    save_plan: where the engine writes its own plan, for an update that keeps to it.
    """

    stack: str
    engine: auto.LocalWorkspace
    refresh: bool = False
    allowances: Sequence[Allowance] = ()
    policy_packs: Sequence[Path] = ()
    judge: Judge | None = None
    secrets: Sequence[str] = ()
    save_plan: Path | None = None

    @property
    def file(self) -> Path:
        """The stack's settings file."""
        return Path(self.engine.work_dir) / f"Pulumi.{self.stack}.yaml"


def preview(request: Request, say: Say, today: date | None = None) -> Report:
    """Previews the stack. A preview that fails is a report that says so, never an exception."""
    say(f"Previewing {request.stack}" + (", reading AWS first" if request.refresh else ""))
    masker = masker_of(request)
    project, plan, judgement = _project(request), None, Judgement()
    with kept(request.file):
        try:
            with _selected(request) as stack:
                configuration = configuration_of(request.file)
                masker = masker_of(request, stack)
                deployment = stack.export_stack().deployment or {}
                reading, events = _previewed(stack, request, masker, secret_key(deployment))
        except (auto.CommandError, yaml.YAMLError, OSError) as error:
            reading = Reading(errors=(masker.text(words_of(error)),))
    if reading.finished and not reading.errors:
        plan = plan_of(
            reading.changes,
            project=project,
            stack=request.stack,
            state=state_version(deployment),
            configuration=configuration_version(configuration),
            refreshed=request.refresh,
        )
        judgement = _masked(request.judge(events), masker) if request.judge else judgement
    report = compose(
        reading,
        project=project,
        stack=request.stack,
        plan=plan,
        today=today or datetime.now(UTC).date(),
        allowances=request.allowances,
        findings=judgement.findings,
        costs=judgement.costs,
        refreshed=request.refresh,
    )
    say(f"Previewed {request.stack}: {report.headline}")
    return report


def preview_all(requests: Sequence[Request], say: Say, today: date | None = None) -> list[Report]:
    """Previews several stacks at once; the reports are in the order of the requests."""
    lock = threading.Lock()

    def say_whole(line: str) -> None:
        with lock:
            say(line)

    with ThreadPoolExecutor(max_workers=AT_ONCE, thread_name_prefix="preview") as pool:
        return list(pool.map(lambda request: preview(request, say_whole, today), requests))


def _masked(judgement: Judgement, masker: Masker) -> Judgement:
    """What is said of a property may quote its value."""
    findings = (
        replace(each, message=masker.text(each.message), remedy=masker.text(each.remedy))
        for each in judgement.findings
    )
    return replace(judgement, findings=tuple(findings))


def failed(stack: str, project: str, words: str, today: date) -> Report:
    """The report of a stack that could not even be previewed, such as one with a mistake in its settings."""
    return compose(Reading(errors=(words,)), project=project, stack=stack, plan=None, today=today)


def masker_of(request: Request, stack: auto.Stack | None = None) -> Masker:
    """Knows this process's credentials and, given the stack, the secrets of its configuration."""
    known = [*request.secrets, *known_secrets.of_environment(os.environ, request.engine.env_vars)]
    if stack:
        known += known_secrets.of_configuration(configuration_of(request.file), stack.get_all_config())
    return Masker(known)


def worst(reports: Sequence[Report]) -> int:
    """The exit status of several reports: 0 if all passed, and there was one."""
    return max((report.status for report in reports), default=1)


def _previewed(
    stack: auto.Stack, request: Request, masker: Masker, key: bytes | None
) -> tuple[Reading, list[EngineEvent]]:
    events: list[EngineEvent] = []
    keyed = masker.keyed(key) if key else None
    try:
        stack.preview(
            on_event=events.append,
            refresh=request.refresh or None,
            policy_packs=[str(pack) for pack in request.policy_packs] or None,
            plan=str(request.save_plan) if request.save_plan else None,
            suppress_outputs=True,
        )
    except auto.CommandError as error:
        reading = read(events, masker, keyed=keyed)
        failed = [finding for finding in reading.findings if finding.mandatory]
        # A policy that says no ends the preview, too; then the plan is known all the same.
        if failed and reading.finished and not reading.errors:
            return reading, events
        return replace(reading, errors=reading.errors or (masker.text(words_of(error)),)), events
    return read(events, masker, keyed=keyed), events


def words_of(error: Exception) -> str:
    """What a failed command said, without the command's own frame."""
    text = str(error)
    if isinstance(error, auto.CommandError) and "stderr:" in text:
        text = text.split("stderr:", 1)[1]
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return "\n".join(lines[-30:]) or type(error).__name__


def _project(request: Request) -> str:
    found: str = request.engine.project_settings().name
    return found


def configuration_of(file: Path) -> dict[str, Any]:
    """The `config:` block as it is in the file, secrets encrypted."""
    found = yaml.safe_load(file.read_text()) if file.exists() else {}
    block: dict[str, Any] = (found or {}).get("config") or {}
    return block


def options(engine: auto.LocalWorkspace, **variables: str) -> auto.LocalWorkspaceOptions:
    """The engine's own environment and command, with more variables."""
    return auto.LocalWorkspaceOptions(
        env_vars={**engine.env_vars, **variables}, pulumi_command=engine.pulumi_command
    )


@contextmanager
def _selected(request: Request) -> Iterator[auto.Stack]:
    """The stack; one that does not exist yet in a state that is gone afterwards."""
    folder = request.engine.work_dir
    try:
        found = auto.select_stack(request.stack, work_dir=folder, opts=options(request.engine))
    except auto.StackNotFoundError:
        found = None
    if found:
        yield found
        return
    with tempfile.TemporaryDirectory(prefix="preview-") as state:
        opts = options(request.engine, PULUMI_BACKEND_URL=f"file://{state}")
        yield auto.create_stack(request.stack, work_dir=folder, opts=opts)
