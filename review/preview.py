"""Previews by Pulumi's Automation API: the report of a stack, or of several at once.

Nothing is written: not the state, not the stack's file, and a stack that does not exist yet is previewed in
a state of its own that is thrown away.
"""

import os
import secrets
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
from review.sealing import is_sealed, provider_of
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
            with _selected(request) as (stack, file):
                configuration = configuration_of(request.file)
                masker = masker_of(request, stack)
                deployment = stack.export_stack().deployment or {}
                reading, events = _previewed(stack, file, request, masker, secret_key(deployment))
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
    engine = stack.workspace if stack else request.engine
    known = [*request.secrets, *known_secrets.of_environment(os.environ, engine.env_vars)]
    if stack:
        known += known_secrets.of_configuration(configuration_of(request.file), stack.get_all_config())
    return Masker(known)


def worst(reports: Sequence[Report]) -> int:
    """The exit status of several reports: 0 if all passed, and there was one."""
    return max((report.status for report in reports), default=1)


def _previewed(
    stack: auto.Stack, file: Path | None, request: Request, masker: Masker, key: bytes | None
) -> tuple[Reading, list[EngineEvent]]:
    events: list[EngineEvent] = []
    keyed = masker.keyed(key) if key else None
    try:
        stack.preview(
            on_event=events.append,
            refresh=request.refresh or None,
            policy_packs=[str(pack) for pack in request.policy_packs] or None,
            plan=str(request.save_plan) if request.save_plan else None,
            config_file=str(file) if file else None,
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


def settings_in(file: Path) -> dict[str, Any]:
    """The stack's settings file as it is, empty if there is none. Raises OSError or yaml.YAMLError."""
    if not file.exists():
        return {}
    with file.open("rb") as text:
        found = yaml.safe_load(text)
    return found if isinstance(found, dict) else {}


def configuration_of(file: Path) -> dict[str, Any]:
    """The `config:` block as it is in the file, secrets encrypted."""
    block: dict[str, Any] = settings_in(file).get("config") or {}
    return block


def options(
    engine: auto.LocalWorkspace, *, secrets_provider: str | None = None, **variables: str
) -> auto.LocalWorkspaceOptions:
    """The engine's own environment and command, with more variables. secrets_provider: of a new stack."""
    return auto.LocalWorkspaceOptions(
        env_vars={**engine.env_vars, **variables},
        secrets_provider=secrets_provider,
        pulumi_command=engine.pulumi_command,
    )


@contextmanager
def _selected(request: Request) -> Iterator[tuple[auto.Stack, Path | None]]:
    """The stack, and the settings file to preview it with if that is not the stack's own.

    One that does not exist yet is in a state that is gone afterwards, and so are its settings.
    """
    folder = request.engine.work_dir
    try:
        found = auto.select_stack(request.stack, work_dir=folder, opts=options(request.engine))
    except auto.StackNotFoundError:
        found = None
    if found:
        yield found, None
        return
    with tempfile.TemporaryDirectory(prefix="preview-") as state:
        file, variables = _made(request, Path(state))
        opts = options(request.engine, **variables)
        yield auto.select_stack(request.stack, work_dir=folder, opts=opts), file


def _made(request: Request, folder: Path) -> tuple[Path, dict[str, str]]:
    """Makes the stack in the folder. Returns its settings file there, and what leads the engine to its state.

    Whoever may only read has to be able to: a key is used for what has to be decrypted, and for nothing else.
    Raises auto.CommandError, OSError or yaml.YAMLError.
    """
    settings, engine = settings_in(request.file), request.engine
    command = ["stack", "init", request.stack, "--no-select"]
    variables = {"PULUMI_BACKEND_URL": f"file://{folder}"}
    if not is_sealed(settings):
        variables["PULUMI_CONFIG_PASSPHRASE"] = secrets.token_hex(32)
    elif provider := provider_of(settings):
        command += ["--secrets-provider", provider]
    # The engine changes the settings that are beside the project's file, so neither is the checkout's.
    (folder / "Pulumi.yaml").write_text(yaml.safe_dump({"name": _project(request), "runtime": "python"}))
    file = folder / request.file.name
    file.write_bytes(request.file.read_bytes() if request.file.exists() else b"")
    engine.pulumi_command.run(command, str(folder), {**engine.env_vars, **variables})
    return file, variables
