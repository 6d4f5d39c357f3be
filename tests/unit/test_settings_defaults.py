"""What may be left out of the settings, what is reserved, and what a secret may be."""

import pytest
from pydantic import ValidationError

from infra.rules import Problem
from tests.unit.stacks import problems, settings


def test_the_platforms_own_tags_are_its_own() -> None:
    tags = {"team": "x", "stack": "x", "project": "x", "managed-by": "x"}
    assert problems("prod", {"tags": tags}) == [
        Problem(
            key="tags",
            given="a block (not shown)",
            allowed="tags without managed-by, project, stack: the platform sets its own",
        )
    ]


@pytest.mark.parametrize(
    "reference",
    [
        "session-key",
        "team/session_key",
        "arn:aws:secretsmanager:eu-west-1:333333333333:secret:team/session-key-AbCdEf",
        "arn:aws:secretsmanager:eu-west-1:333333333333:secret:database-AbCdEf:username::",
        "arn:aws-us-gov:secretsmanager:us-gov-east-1:333333333333:secret:key",
    ],
)
def test_a_secret_is_a_name_or_an_arn(reference: str) -> None:
    loaded = settings("prod", {"services.api.secrets": {"KEY": reference}})
    assert loaded.services["api"].secrets == {"KEY": reference}


@pytest.mark.parametrize(
    "reference",
    [
        "Session Key",
        "",
        "/leading",
        "k" * 129,
        "arn:aws:ssm:eu-west-1:333333333333:parameter/key",
        "arn:aws:secretsmanager:eu-west-1:333:secret:key",
    ],
)
def test_what_may_be_a_secrets_value_is_refused_and_not_repeated(reference: str) -> None:
    assert problems("prod", {"services.api.secrets": {"KEY": reference}}) == [
        Problem(
            key="services.api.secrets.KEY",
            given="a text (not shown)",
            allowed="the name of a secret that the stack makes, or an ARN; never its value",
        )
    ]


def test_settings_are_frozen_down_to_the_last_block() -> None:
    loaded = settings("prod")
    for block, field in ((loaded, "region"), (loaded.services["api"].count, "minimum")):
        with pytest.raises(ValidationError, match="frozen"):
            setattr(block, field, getattr(block, field))


def test_what_may_be_left_out_is_closed_or_nothing() -> None:
    """Nothing specific to an environment has a default; what has one is the safe choice."""
    loaded = settings("local")
    api, main = loaded.services["web"], loaded.databases["main"]
    assert (api.architecture, api.user, api.execute_command, api.health_check.matcher) == (
        "X86_64",
        "10001",
        False,
        "200",
    )
    assert (api.database, api.environment, api.secrets, api.route.hosts) == (None, {}, {}, [])
    assert (api.slow_start_seconds, api.stickiness_seconds, main.read_replicas) == (0, None, 0)
    assert (loaded.edge.test_ingress_cidrs, loaded.edge.certificate_arn) == ([], None)
    assert (loaded.network.reserved_cidrs, loaded.monitoring.emails) == ([], [])
    assert (loaded.registry.pull_accounts, loaded.backups.copy_region) == ([], None)
    assert loaded.permissions_boundary is None, "it has to be there before the first role is"
    assert loaded.backups.lock.changeable_for_days is None, "a lock for ever has to be written down"
    assert settings("prod").databases["main"].skip_final_snapshot is False
