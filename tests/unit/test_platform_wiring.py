"""What reaches what: images, secrets, the database, providers, tags and outputs."""

import json
from typing import Any

import pytest

from components.blue_green import PRODUCTION_START
from tests.unit.harness import ACCOUNT, REGION, transformed
from tests.unit.stacks import IMAGES, STACKS, platform
from tests.unit.test_platform import (
    BOOTSTRAP,
    COLOURS,
    PROVIDER,
    RELEASED,
    SERVICES,
    TASK,
    container,
    new,
    released,
    resolved,
)

RULE = "aws:lb/listenerRule:ListenerRule"
LIVE = "aws:lb/getListenerRule:getListenerRule"
ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"


# --- images: the release engine writes them, the program reads them


@pytest.mark.parametrize("stack", STACKS)
def test_images_are_looked_up_once_below_the_stacks_own_path(stack: str) -> None:
    assert new(stack).calls == [(IMAGES, {"path": f"/switchyard/{stack}/images", "recursive": True})]
    (provider,) = new(stack).call_providers
    assert provider.endswith("::aws-home::aws-home-id")


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_released_digest_reaches_exactly_its_colour(service: str, colour: str) -> None:
    image = RELEASED[f"/switchyard/prod/images/{service}/{colour}"]
    assert container(released(), f"{service}-{colour}")["image"] == image


def test_a_colour_that_nothing_was_released_to_holds_its_place_with_the_bootstrap_image() -> None:
    api_green = {"/switchyard/prod/images/api/green": f"registry.example.com/api@sha256:{'a' * 64}"}
    others = {
        "/switchyard/prod/images/api/red": f"registry.example.com/api@sha256:{'b' * 64}",
        "/switchyard/prod/images/other/blue": f"registry.example.com/api@sha256:{'c' * 64}",
    }
    some = platform("prod", released={**api_green, **others})
    images = {task.name: container(some, task.name)["image"] for task in some.of(TASK)}
    assert images == {
        "api-blue": BOOTSTRAP,
        "api-green": f"registry.example.com/api@sha256:{'a' * 64}",
        "web-blue": BOOTSTRAP,
        "web-green": BOOTSTRAP,
    }


@pytest.mark.parametrize("service", SERVICES)
def test_blue_and_green_differ_in_nothing_but_their_image_and_family(service: str) -> None:
    blue, green = (released().one(TASK, f"{service}-{colour}").inputs for colour in COLOURS)
    assert {key for key in blue.keys() | green.keys() if blue.get(key) != green.get(key)} == {
        "family",
        "containerDefinitions",
    }
    first, second = (container(released(), f"{service}-{colour}") for colour in COLOURS)
    assert {key for key in first.keys() | second.keys() if first.get(key) != second.get(key)} == {"image"}


def test_nothing_runs_before_the_first_release() -> None:
    counts = {r.name: r.inputs["desiredCount"] for r in new("prod").of("aws:ecs/service:Service")}
    assert counts == {"api-blue": 0, "api-green": 0, "web-blue": 0, "web-green": 0}


# --- weights: the release engine writes them, and an update looks before it writes a rule


def test_live_weights_are_looked_up_by_the_rules_that_the_last_run_exported() -> None:
    last = {"services": {"api": {"production_rule": "arn:rule", "test_rule": "arn:test-rule"}}}
    stack = platform("prod", last_outputs=last)
    ((kind, own),) = stack.reads
    assert kind == "pulumi:pulumi:StackReference"
    assert own.split("/")[1:] == ["switchyard", "prod"], "its own last outputs, in whatever organization"
    gone = {LIVE: Exception("empty result")}
    assert transformed(stack, RULE, "api-production", answers=gone) is None
    assert transformed(stack, RULE, "api-test", answers=gone) is None
    assert transformed(stack, RULE, "web-production", answers=gone) is None
    listener = f"arn:aws:Listener:{REGION}:{ACCOUNT}:edge-production"
    assert stack.calls[1:] == [
        (LIVE, {"arn": "arn:rule"}),
        (LIVE, {"arn": "arn:test-rule"}),
        (LIVE, {"listenerArn": listener, "priority": 20}),
    ], "a service that is new has no rule yet"
    assert len(set(stack.call_providers)) == 1, "all with the stack's own provider"


# --- secrets and the database


def test_each_secret_reaches_exactly_its_variable() -> None:
    arn = f"arn:aws:secretsmanager:{REGION}:333333333333:secret:elsewhere-AbCdEf"
    changes = {
        "services.api.secrets": {"A": "first", "B": "second", "C": f"{arn}:user::", "D": "first"},
        "services.web.secrets": {"A": "second"},
    }
    stack = platform("prod", changes)
    ours = f"arn:aws:Secret:{REGION}:{ACCOUNT}:secrets-"
    database = f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:main"
    assert container(stack, "api-blue")["secrets"] == [
        {"name": "A", "valueFrom": f"{ours}first"},
        {"name": "B", "valueFrom": f"{ours}second"},
        {"name": "C", "valueFrom": f"{arn}:user::"},
        {"name": "D", "valueFrom": f"{ours}first"},
        {"name": "DATABASE_PASSWORD", "valueFrom": f"{database}:password::"},
        {"name": "DATABASE_USERNAME", "valueFrom": f"{database}:username::"},
    ]
    assert container(stack, "web-green")["secrets"] == [{"name": "A", "valueFrom": f"{ours}second"}]
    made = [r.name for r in stack.of("aws:secretsmanager/secret:Secret")]
    assert made == ["secrets-first", "secrets-second"], "one for each name, however many ask for it"
    assert set(allowed(stack, "api")["ReadSecrets"]) == {f"{ours}first", f"{ours}second", arn, database}
    assert allowed(stack, "web")["ReadSecrets"] == [f"{ours}second"]


def allowed(stack: Any, service: str) -> dict[str, list[str]]:
    """The resources of each statement of a service's execution role."""
    policy = json.loads(stack.one(ROLE_POLICY, f"{service}-roles-execution").inputs["policy"])
    return {statement["Sid"]: statement["Resource"] for statement in policy["Statement"]}


def test_database_credentials_reach_a_service_as_secrets_only() -> None:
    api, web = (container(new("prod"), f"{service}-blue") for service in SERVICES)
    assert api["environment"] == [
        {"name": "DATABASE_HOST", "value": "main.rds.example.com"},
        {"name": "DATABASE_NAME", "value": "shop"},
        {"name": "DATABASE_PORT", "value": "5433"},
        {"name": "LOG_LEVEL", "value": "info"},
    ]
    assert {entry["name"] for entry in api["secrets"]} == {
        "DATABASE_USERNAME",
        "DATABASE_PASSWORD",
        "SESSION_KEY",
    }
    assert "environment" not in web, "a service without a database knows nothing of it"
    assert "secrets" not in web


def test_a_service_may_decrypt_with_the_databases_key_only_if_it_has_one() -> None:
    key = f"arn:aws:Key:{REGION}:{ACCOUNT}:"
    assert allowed(new("prod"), "api")["DecryptSecrets"] == [f"{key}stack", f"{key}main-key"]
    assert allowed(new("prod"), "web")["DecryptSecrets"] == [f"{key}stack"]


# --- repositories


def test_a_service_pulls_from_another_accounts_repository_and_none_is_made_for_it() -> None:
    address = "222222222222.dkr.ecr.us-east-1.amazonaws.com/team/api"
    stack = platform("local", {"services.api.image_repository": address})
    assert allowed(stack, "api")["PullImage"] == ["arn:aws:ecr:us-east-1:222222222222:repository/team/api"]
    assert [r.name for r in stack.of("aws:ecr/repository:Repository")] == ["registry-web"]


def test_a_service_pulls_from_another_registry_without_any_right_to_ecr() -> None:
    stack = platform("local", {"services.api.image_repository": "ghcr.io/team/api"})
    assert {"PullImage", "LogInToRegistry"} & allowed(stack, "api").keys() == set()


def test_services_may_share_a_repository() -> None:
    stack = platform("local", {"services.web.image_repository": "api"})
    assert [r.name for r in stack.of("aws:ecr/repository:Repository")] == ["registry-api"]
    assert allowed(stack, "web")["PullImage"] == allowed(stack, "api")["PullImage"]


# --- providers, order and outputs


@pytest.mark.parametrize("stack", STACKS)
def test_every_resource_is_the_home_providers_but_the_copy_vaults(stack: str) -> None:
    by_name = {"aws-home": set(), "aws-copy": set()}  # type: dict[str, set[str]]
    for resource in new(stack).resources:
        if resource.type.startswith("aws:"):
            by_name[resource.provider.split("::")[-2]].add(resource.name)
    copies = {
        "backups-copy-vault",
        "backups-copy-vault-key",
        "backups-copy-vault-key-alias",
        "backups-copy-vault-lock",
    }
    assert by_name["aws-copy"] == (copies if stack == "prod" else set())
    assert len(by_name["aws-home"]) > 80
    assert by_name["aws-home"] & copies == set()


@pytest.mark.parametrize(
    ("stack", "account", "regions"),
    [
        ("local", "123456789012", {"aws-home": "eu-west-1"}),
        ("dev", "111111111111", {"aws-home": "eu-west-1"}),
        ("staging", "222222222222", {"aws-home": "eu-west-1"}),
        ("prod", "333333333333", {"aws-home": "eu-west-1", "aws-copy": "eu-central-1"}),
    ],
)
def test_every_provider_refuses_other_accounts_and_tags_all_that_it_makes(
    stack: str, account: str, regions: dict[str, str]
) -> None:
    providers = {r.name: r.inputs for r in new(stack).of(PROVIDER)}
    assert {name: inputs["region"] for name, inputs in providers.items()} == regions
    for inputs in providers.values():
        assert json.loads(inputs["allowedAccountIds"]) == [account]
        assert json.loads(inputs["defaultTags"]) == {
            "tags": {
                "team": "platform",
                "cost-centre": "shop",
                "project": "switchyard",
                "stack": stack,
                "managed-by": "switchyard",
            }
        }


def test_what_needs_something_else_first_waits_for_it() -> None:
    containers = new("prod").one("switchyard:compute:ContainerService", "api").dependencies
    assert {"api-production", "api-test", "api-blue", "api-green"} <= set(containers), (
        "ECS refuses a target group that no listener uses yet"
    )
    database = new("prod").one("switchyard:data:Database", "main").dependencies
    assert {"monitoring-topic", "monitoring-api"} <= set(database), "events need the topic and its policy"


def test_the_outputs_are_what_the_release_engine_and_people_need() -> None:
    outputs = resolved(new("prod").result)
    arn = f"arn:aws:{{}}:{REGION}:{ACCOUNT}:"
    services = outputs.pop("services")
    assert outputs == {
        "region": "eu-west-1",
        "production_url": "https://edge-lb.example.com",
        "test_url": "https://edge-lb.example.com:8443",
        "vpc": "network-vpc-id",
        "cluster": "switchyard-prod",
        "release_table": "switchyard-prod-releases",
        "images_path": "/switchyard/prod/images",
        "alerts_topic": f"{arn.format('Topic')}monitoring-topic",
        "databases": {"main": "switchyard-prod-main"},
    }
    assert list(services) == ["api", "web"]
    alarms = services["api"].pop("alarms")
    assert services["api"] == {
        "production_rule": f"{arn.format('ListenerRule')}api-production",
        "test_rule": f"{arn.format('ListenerRule')}api-test",
        "target_groups": {colour: f"{arn.format('TargetGroup')}api-{colour}" for colour in COLOURS},
        "ecs_services": {colour: f"switchyard-prod-api-{colour}" for colour in COLOURS},
    }
    assert set(alarms) == set(PRODUCTION_START)
    for colour, names in alarms.items():
        assert names
        assert all(name.startswith(f"switchyard-prod-api-{colour}-") for name in names), colour
