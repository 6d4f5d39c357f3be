"""Known secrets, planted wherever a stack may hold one, are in nothing that the report says or keeps."""

import base64
import io
import json
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pulumi.automation as auto
import pytest
import yaml
from rich.console import Console

from release.store import Store, this_process
from review import known_secrets, markdown, terminal
from review.apply import up
from review.errors import ReviewError
from review.plans import FolderPlans
from review.policy_findings import PolicyFinding
from review.preview import Judgement, options, preview
from review.report import Report
from switchyard import up_summary
from switchyard.up import Author, Up
from switchyard.up_record import Outcome, UpdateRecord
from tests.release.tables import DictTable
from tests.review.conftest import Project

PLAIN_CONFIG, NESTED_CONFIG = "pl4in-config-s3cret", "n3sted config/s3cret"
SECRET_INPUT, NAMED_INPUT, ENVIRONMENT = "s3cret-input-v4lue", "n4med-input-v4lue", "env1ronment-cred3ntial"
PLANTED = (PLAIN_CONFIG, NESTED_CONFIG, SECRET_INPUT, NAMED_INPUT, ENVIRONMENT)


def formats(report: Report, folder: Path) -> str:
    """All that leaves the report, in one text."""
    shown = io.StringIO()
    terminal.render(report, Console(file=shown, width=400))
    texts = [markdown.render(report), json.dumps(report.to_json()), shown.getvalue(), repr(report)]
    if report.plan:
        texts.append(FolderPlans(folder).save(report.plan).read_text())
    return "\n".join(texts)


def recorded(project: Project) -> str:
    """All that `switchyard up` says and keeps of a failed update: its record, summary and lines."""
    table, lines = DictTable(), list[str]()
    ended = Up(
        request=project.request(),
        author=Author(actor="ada"),
        say=lines.append,
        tell=lines.append,
        record=UpdateRecord(table),
        releases=Store(table, this_process(), lambda: datetime.now(UTC)),
    ).run()
    assert ended.outcome is Outcome.FAILED
    (update,) = UpdateRecord(table).updates()
    assert "refused [secret]" in update.reason, "why it failed is on record"
    summary = up_summary.markdown("test", ended, Author(actor="ada"))
    return "\n".join([*lines, ended.reason, summary, *table.items.values()])


def leaks(text: str) -> list[str]:
    """Which of the planted secrets are in the text, in any of their forms."""
    return [
        form
        for secret in PLANTED
        for form in (
            secret,
            quote(secret, safe=""),
            base64.b64encode(secret.encode()).decode().rstrip("="),
            json.dumps(secret)[1:-1],
        )
        if form in text
    ]


@pytest.mark.cloud
def test_planted_secrets_are_in_no_format(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_API_TOKEN", ENVIRONMENT)
    stack = auto.create_stack("test", work_dir=str(project.folder), opts=options(project.engine))
    stack.set_config("review:plain", auto.ConfigValue(PLAIN_CONFIG, secret=True))
    stack.set_config("review:tree.deep.value", auto.ConfigValue(NESTED_CONFIG, secret=True), path=True)
    stack.set_config("review:tree.open", auto.ConfigValue("visible-value"), path=True)

    def declared(suffix: str) -> None:
        properties = {
            "marked": SECRET_INPUT + suffix,
            "masterPassword": NAMED_INPUT + suffix,
            "text": f"postgres://shop:{quote(PLAIN_CONFIG)}@db{suffix}/{ENVIRONMENT}",
            "document": json.dumps([{"name": "APP", "value": f"{NESTED_CONFIG} {suffix}"}]),
            "encoded": base64.b64encode(f"user:{PLAIN_CONFIG}".encode()).decode() + suffix,
            "visible": f"visible-value{suffix}",
        }
        about = {"secret": ["marked"], "config": {"fromConfig": "plain"}}
        project.declares(main={"type": "aws:ecs/service:Service", "properties": properties, **about})

    declared("")
    finding = PolicyFinding(
        id="X", severity="low", resource="main", message=f"is {SECRET_INPUT}", remedy=PLAIN_CONFIG
    )
    request = project.request(secrets=[SECRET_INPUT], judge=lambda _: Judgement(findings=(finding,)))
    first = preview(request, print)
    assert leaks(formats(first, tmp_path)) == []
    up(project.request(), print)
    declared("-2")
    text = formats(preview(project.request(), print), tmp_path)
    assert leaks(text) == []
    assert "visible-value-2" in text, "what is no secret is still told"
    assert "masterPassword" in text, "that it changes is no secret"
    (id_,) = project.provider.things
    project.provider.things[id_] |= {"text": f"by hand {NESTED_CONFIG}", "masterPassword": f"{NAMED_INPUT}!"}
    assert leaks(formats(preview(project.request(refresh=True), print), tmp_path)) == []
    project.provider.refused["Diff"] = f"can't log in with {PLAIN_CONFIG} and {NESTED_CONFIG}"
    failed = preview(project.request(), print)
    assert leaks(formats(failed, tmp_path)) == []
    assert "can't log in with [secret] and [secret]" in failed.reading.errors[0]
    project.provider.refused = {"Update": f"refused {PLAIN_CONFIG}"}
    with pytest.raises(ReviewError) as failure:
        up(project.request(), print)
    assert leaks(str(failure.value)) == []
    assert leaks(recorded(project)) == []
    assert not list(Path(tmp_path).rglob("plan.json")), "the engine's own plan is gone"


def test_only_the_encrypted_leaves_of_a_structure_are_secret() -> None:
    file = yaml.safe_load(
        """
        a:plain: {secure: v1:xyz}
        a:open: readable
        a:tree: {deep: [{secure: v1:abc}, readable], number: {secure: v1:n}}
        """
    )
    decrypted = {
        "a:plain": auto.ConfigValue("one", secret=True),
        "a:open": auto.ConfigValue("readable"),
        "a:tree": auto.ConfigValue('{"deep": ["two", "readable"], "number": 5}', secret=True),
        "a:elsewhere": auto.ConfigValue("three", secret=True),
    }
    assert sorted(known_secrets.of_configuration(file, decrypted)) == ["5", "one", "three", "two"]


def test_a_credential_of_this_process_is_a_secret_and_a_switch_is_none() -> None:
    environment = {
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG",
        "PULUMI_CONFIG_PASSPHRASE": "pass",
        "AWS_SECRET_ACCESS_KEY_OF_TESTS": "embedded",
        "GITHUB_TOKEN_ENABLED": "true-true-true-true",
        "HOME": "/home/somebody-with-a-name",
    }
    assert list(known_secrets.of_environment(environment)) == ["wJalrXUtnFEMI/K7MDENG", "pass"]
