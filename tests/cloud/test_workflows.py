"""The workflows' jobs, their commands as they stand, on the embedded cloud: one repository, in order."""

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from examples.variants import variant
from localcloud.cloud import Cloud
from localcloud.dataplane import images
from localcloud.paths import IMAGES
from tests.cloud import looks
from tests.cloud.repository import ACCOUNTS, JOBS, REPOSITORY, Repository
from tests.review.github import GitHub, serving
from tests.workflows import table
from tests.workflows.running import Ran, asked, handed_on

pytestmark = pytest.mark.cloud

PREVIEW, DRIFT = "pull-request/preview", "drift/drift"
STAGING, PROD, SOAK = "release/staging", "release/prod", "release/soak"
EVIDENCE, PROMOTE = "promote/evidence", "promote/prod"
# The workflow that plans for prod, and the jobs that call it.
PLAN, RELEASE_PLAN, PROMOTE_PLAN = "plan/plan", "release/plan", "promote/plan"


def pull_request(fork: bool = False, action: str = "synchronize", **more: Any) -> dict[str, Any]:
    """The event of pull request 12, with the label `review-stack`."""
    about = {
        "number": 12,
        "labels": [{"name": "review-stack"}],
        "head": {"repo": {"full_name": "mallory/platform" if fork else REPOSITORY}},
    }
    repository = {"default_branch": "main"}
    return {"action": action, "pull_request": about, "label": None, "repository": repository, **more}


@pytest.fixture(scope="module")
def repository(
    embedded_cloud: Cloud,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Repository]:
    with serving(GitHub()) as github:
        yield Repository.create(tmp_path_factory.mktemp("workflows") / "platform", github)


def published(repository: Repository, stack: str, version: str) -> str:
    """The same application in that stack's registry; its address by digest."""
    folder = variant(repository.folder / "build", "web", version)
    ecr = repository.stack(stack).aws("ecr")
    return images.publish(folder, f"switchyard-{stack}/web", version, ecr, IMAGES).reference


def running(repository: Repository, stack: str) -> str:
    """The digest with all of the traffic."""
    found = repository.stack(stack)
    services = found.outputs()["services"]["web"]
    weights = looks.weights(found, services["production_rule"])
    colour = ["blue", "green"][weights.index(100)]
    parameters = found.aws("ssm").get_parameters_by_path(Path=f"/switchyard/{stack}/images", Recursive=True)[
        "Parameters"
    ]
    (image,) = [one["Value"] for one in parameters if one["Name"].endswith(f"/web/{colour}")]
    return str(image).partition("@")[2]


def well(ran: Ran) -> Ran:
    assert not ran.skipped
    assert ran.status == 0, ran.text
    return ran


def planned(repository: Repository, caller: str) -> Ran:
    """The workflow that this job calls to plan for prod; its outputs are those that the caller gets."""
    ran = repository.run(PLAN, inputs=asked(JOBS[caller], repository.contexts("push", None, ())))
    if ran.status == 0:
        ran.outputs = handed_on(JOBS[PLAN], ran.outputs)
    return ran


def approved(plan: Ran) -> dict[str, Any]:
    """What the job that waits for prod's approval is given of the plan."""
    return {"plan": {"outputs": plan.outputs}}


@pytest.fixture(scope="module")
def previews(repository: Repository) -> dict[str, Ran]:
    """Of a pull request of ours, before anything is deployed."""
    with ThreadPoolExecutor() as pool:
        begun = {
            stack: pool.submit(
                repository.run, PREVIEW, event="pull_request", payload=pull_request(), entry=entry
            )
            for stack, entry in repository.entries(PREVIEW).items()
        }
    return {stack: future.result() for stack, future in begun.items()}


def test_a_pull_request_gets_a_comment_and_a_plan_for_each_stack(
    repository: Repository, previews: dict[str, Ran]
) -> None:
    for ran in previews.values():
        well(ran)
    said = sorted(comment["body"].splitlines()[0] for comment in repository.github.comments)
    assert said == [f"<!-- switchyard:preview:{stack} -->" for stack in sorted(ACCOUNTS)]
    for stack in ACCOUNTS:
        (body,) = [one["body"] for one in repository.github.comments if f":{stack} " in one["body"]]
        assert re.search(r"\d+ to create", body), body[:2000]
        assert "AWS was read first" in body
        digest = re.findall(r"[0-9a-f]{64}", body)[-1]
        plans = repository.artefacts[f"plans-{stack}"]
        assert f"{digest}.json" in plans, "the plan that the comment names can be applied"
    assert repository.roles[PREVIEW] == {("switchyard-preview", f"repo:{REPOSITORY}:pull_request")}


@pytest.mark.parametrize("why", ["a fork", "no account"])
def test_without_credentials_the_job_says_so_and_tells_the_cost(
    repository: Repository, previews: dict[str, Ran], why: str
) -> None:
    del previews
    unset = ("prod",) if why == "no account" else ()
    before, roles = len(repository.github.calls), dict(repository.roles)
    ran = repository.run(
        PREVIEW,
        event="pull_request",
        payload=pull_request(fork=why == "a fork"),
        entry=repository.entries(PREVIEW, unset)["prod"],
        unset=unset,
    )
    well(ran)
    reason = {
        "a fork": "GitHub gives a pull request from a fork no credentials",
        "no account": "no variable AWS_ACCOUNT_PROD is set (docs/github.md)",
    }[why]
    assert ran.summary.splitlines()[0] == f"### No preview of `prod`: {reason}"
    assert "USD a month" in ran.summary
    assert (len(repository.github.calls), repository.roles) == (before, roles)


@pytest.fixture(scope="module")
def platforms(repository: Repository, previews: dict[str, Ran]) -> dict[str, Ran]:
    """A push to main: the infrastructure of staging; the plan of prod, and behind its approval just that."""
    del previews

    def of_prod() -> tuple[Ran, Ran]:
        plan = well(planned(repository, RELEASE_PLAN))
        return plan, repository.run(PROD, needs=approved(plan))

    with ThreadPoolExecutor() as pool:
        staging, prod = pool.submit(repository.run, STAGING), pool.submit(of_prod)
    plan, applied = prod.result()
    return {STAGING: staging.result(), PLAN: plan, PROD: applied}


def test_a_push_brings_the_infrastructure_up_and_releases_nothing(
    repository: Repository, platforms: dict[str, Ran]
) -> None:
    assert "Release" not in well(platforms[STAGING]).steps
    well(platforms[PROD])
    assert repository.run(SOAK).skipped
    for stack, key in (("staging", STAGING), ("prod", PROD)):
        assert repository.stack(stack).outputs()["services"].keys() == {"web"}
        subject = f"repo:{REPOSITORY}:environment:{stack}"
        assert repository.roles[key] == {(f"switchyard-writer-{stack}", subject)}


def test_who_approves_prod_has_seen_what_is_applied_to_it(
    repository: Repository, platforms: dict[str, Ran]
) -> None:
    plan, prod = platforms[PLAN], well(platforms[PROD])
    digest = plan.outputs["digest"]
    assert plan.summary.startswith("<!-- switchyard:preview:prod -->\n")
    assert "### Preview of `prod`: passed" in plan.summary
    assert f"switchyard up --stack prod --plan {digest}" in plan.summary
    assert f"| Plan | `{digest}` |" in prod.summary
    subject = f"repo:{REPOSITORY}:ref:refs/heads/main"
    assert repository.roles[PLAN] == {("switchyard-preview", subject)}, "before anybody has approved"


def test_an_approval_that_comes_after_another_one_does_nothing_and_says_why(
    repository: Repository, platforms: dict[str, Ran]
) -> None:
    well(platforms[PROD])
    late = repository.run(PROD, needs=approved(platforms[PLAN]))
    assert late.status == 3, late.text
    assert "the state has changed since" in late.text
    assert "planned: create; now: nothing" in late.text, "and the plan was there to compare"
    assert "`prod`: refused, nothing was done" in late.summary
    plan = well(planned(repository, RELEASE_PLAN))
    assert "**No changes.**" in plan.summary
    again = well(repository.run(PROD, needs=approved(plan)))
    assert "prod: nothing to do" in again.text


def test_a_preview_that_fails_is_shown_and_nobody_is_asked(
    repository: Repository, platforms: dict[str, Ran]
) -> None:
    well(platforms[PROD])
    file = repository.folder / "Pulumi.prod.yaml"
    before = file.read_text()
    repository.change("prod", lambda all_: all_["switchyard:network"].update({"cidr": "nonsense"}))
    try:
        ran = planned(repository, RELEASE_PLAN)
    finally:
        file.write_text(before)
    assert ran.status == 1, ran.text
    assert "### Preview of `prod`: failed" in ran.summary
    assert "nonsense" in ran.summary
    assert ran.outputs == {}


@pytest.fixture(scope="module")
def released(repository: Repository, platforms: dict[str, Ran]) -> tuple[str, Ran]:
    """An image that another repository has built is released to staging; its digest."""
    for ran in platforms.values():
        well(ran)
    image = published(repository, "staging", "v1")
    payload = {"client_payload": {"service": "web", "image": image}}
    return image.partition("@")[2], repository.run(STAGING, event="repository_dispatch", payload=payload)


def test_an_image_is_released_to_staging(repository: Repository, released: tuple[str, Ran]) -> None:
    digest, ran = released
    assert well(ran).steps[-3:] == ["Release", "Write the record", "Keep the record"]
    assert running(repository, "staging") == digest
    kept = repository.artefacts["releases-staging"]
    assert isinstance(kept, bytes)
    assert digest in kept.decode()
    payload = {"client_payload": {"service": "web", "image": "x"}}
    well(repository.run(SOAK, event="repository_dispatch", payload=payload))
    ran = repository.run(RELEASE_PLAN, event="repository_dispatch", payload=payload)
    assert ran.skipped, "the promotion brings prod up"


def test_an_image_that_is_refused_fails_the_job_and_the_record_is_kept(
    repository: Repository, released: tuple[str, Ran]
) -> None:
    digest, _ = released
    inputs = {"service": "web", "image": "web:latest; echo hello"}
    ran = repository.run(STAGING, event="workflow_dispatch", inputs=inputs)
    assert ran.status == 3, ran.text
    assert "@sha256:" in ran.text
    assert "\nhello\n" not in ran.text
    assert ran.steps[-1] == "Keep the record"
    assert running(repository, "staging") == digest


def test_before_the_soak_is_over_nothing_is_wrong_and_prod_is_left_out(
    repository: Repository, released: tuple[str, Ran]
) -> None:
    well(released[1])
    ran = well(repository.run(EVIDENCE, event="workflow_call"))
    assert "of the 1 h 00 min that it has to" in ran.text
    assert "::notice title=Nothing promoted::" in ran.text
    assert ran.outputs == {"ready": "false"}
    assert "evidence" not in repository.artefacts
    assert repository.run(PROMOTE_PLAN, needs={"evidence": {"outputs": ran.outputs}}).skipped


def test_every_hour_is_asked_only_where_that_is_wanted(repository: Repository) -> None:
    assert repository.run(EVIDENCE, event="schedule").skipped
    assert repository.run(EVIDENCE, unset=("prod",)).skipped


@pytest.fixture(scope="module")
def promoted(repository: Repository, released: tuple[str, Ran]) -> Ran:
    """After the soak, which is short now; the image was copied to prod's registry."""
    well(released[1])
    assert published(repository, "prod", "v1").partition("@")[2] == released[0], "the very same"
    repository.change("prod", lambda all_: all_["switchyard:release"].update({"soak_seconds": 1}))
    evidence = well(repository.run(EVIDENCE, event="workflow_call"))
    assert evidence.outputs == {"ready": "true"}, evidence.text
    needs = {"evidence": {"outputs": evidence.outputs}}
    assert not repository.run(PROMOTE_PLAN, needs=needs).skipped
    return repository.run(PROMOTE, needs=approved(well(planned(repository, PROMOTE_PLAN))))


def test_after_the_soak_prod_gets_the_very_digest_of_staging(
    repository: Repository, released: tuple[str, Ran], promoted: Ran
) -> None:
    well(promoted)
    assert running(repository, "prod") == released[0]
    assert {role for role, _ in repository.roles[EVIDENCE]} == {"switchyard-writer-staging"}
    assert {role for role, _ in repository.roles[PROMOTE]} == {"switchyard-writer-prod"}


def test_what_runs_in_prod_already_is_not_released_again(repository: Repository, promoted: Ran) -> None:
    well(promoted)
    before = repository.artefacts["releases-prod"]
    needs = approved(well(planned(repository, PROMOTE_PLAN)))
    ran = well(repository.run(PROMOTE, needs=needs, event="workflow_dispatch", inputs={"hotfix": True}))
    assert "prod runs what is proven already: web" in ran.text
    assert repository.artefacts["releases-prod"] == before


def test_drift_opens_an_issue_and_its_end_closes_it(repository: Repository, promoted: Ran) -> None:
    well(promoted)
    logs = repository.stack("staging").aws("logs")
    (found,) = [
        one for one in logs.describe_log_groups()["logGroups"] if one["logGroupName"].endswith("/web")
    ]
    group = found["logGroupName"]
    look = repository.entries(DRIFT)

    def nightly(stack: str) -> Ran:
        return repository.run(DRIFT, event="schedule", entry=look[stack])

    logs.put_retention_policy(logGroupName=group, retentionInDays=1)
    with ThreadPoolExecutor() as pool:
        staging, prod = pool.map(nightly, ["staging", "prod"])
    assert staging.status == 1, staging.text
    assert well(prod).steps[-1] == "Look"
    (issue,) = repository.github.issues
    assert (issue["title"], issue["state"]) == ("Drift in stack staging", "open")
    assert "retentionInDays" in issue["body"]
    logs.put_retention_policy(logGroupName=group, retentionInDays=found["retentionInDays"])
    well(nightly("staging"))
    assert [one["state"] for one in repository.github.issues] == ["closed"]
    entry = repository.entries(DRIFT, unset=("dev",))["dev"]
    ran = well(repository.run(DRIFT, event="schedule", entry=entry, unset=("dev",)))
    assert ran.steps == [], "a stack without an account is left out"


def test_a_label_gives_a_pull_request_a_stack_and_its_close_takes_it_away(repository: Repository) -> None:
    up = well(repository.run("review/up", event="pull_request", payload=pull_request(action="labeled")))
    assert "pr-12 lives until" in up.summary
    reaped = well(repository.run("reap/reap", event="schedule"))
    assert "0 destroyed, 1 kept" in reaped.text
    down = well(repository.run("review/down", event="pull_request", payload=pull_request(action="closed")))
    assert "Destroyed." in down.summary
    assert looks.own_vpcs(repository.stack("dev")) == []
    roles = {role for key in ("review/up", "review/down", "reap/reap") for role, _ in repository.roles[key]}
    assert roles == {"switchyard-writer-review"}


@pytest.mark.parametrize(
    ("job", "event"),
    [
        ("review/up", pull_request(fork=True, action="labeled")),
        ("review/up", pull_request(action="closed")),
        ("review/up", pull_request(action="unlabeled", label={"name": "review-stack"})),
        ("review/down", pull_request(fork=True, action="closed")),
        ("review/down", pull_request(action="synchronize")),
        ("review/down", pull_request(action="unlabeled", label={"name": "other"})),
    ],
)
def test_a_review_stack_is_left_alone(repository: Repository, job: str, event: dict[str, Any]) -> None:
    assert repository.run(job, event="pull_request", payload=event).skipped


def test_every_command_of_every_job_has_run(repository: Repository) -> None:
    """The last one: what the tests above have run is all that there is."""
    wanted = {
        key: {step["name"] for step in JOBS[key].steps if "run" in step}
        | ({"Requirements"} if any("/setup" in step.get("uses", "") for step in JOBS[key].steps) else set())
        for key in table.CLOUD
    }
    assert repository.ran == wanted
