from components.secrets import Secrets, SecretsArgs
from tests.unit.harness import ACCOUNT, REGION, Deployment, deploy, value_of

SECRET = "aws:secretsmanager/secret:Secret"  # noqa: S105 - a type
ARGS = SecretsArgs(
    names=["session-key", "mail-password"],
    name_prefix="switchyard-test",
    kms_key_arn="arn:key",
    recovery_window_days=30,
)


def secrets(args: SecretsArgs = ARGS) -> Deployment:
    return deploy(lambda: Secrets("secrets", args))


def test_a_secret_is_exactly_this() -> None:
    assert secrets().one(SECRET, "secrets-session-key").inputs == {
        "name": "switchyard-test/session-key",
        "kmsKeyId": "arn:key",
        "recoveryWindowInDays": 30,
    }, "encrypted with the stack's key, and a deleted one can be had back"


def test_there_is_one_secret_per_name_and_never_a_value() -> None:
    deployment = secrets()
    assert deployment.count() == {SECRET: 2}, "a value would be in the state file, in previews and in logs"
    assert [(r.name, r.parent) for r in deployment.of(SECRET)] == [
        ("secrets-mail-password", "secrets"),
        ("secrets-session-key", "secrets"),
    ]


def test_a_disposable_stacks_secret_is_gone_at_once() -> None:
    args = SecretsArgs(names=["a"], name_prefix="p", kms_key_arn="arn:key", recovery_window_days=0)
    assert secrets(args).one(SECRET).inputs["recoveryWindowInDays"] == 0, (
        "its name is free for the next stack"
    )


def test_no_names_are_no_secrets() -> None:
    args = SecretsArgs(names=[], name_prefix="p", kms_key_arn="arn:key", recovery_window_days=0)
    assert secrets(args).count() == {}


def test_callers_get_the_arn_of_each_name() -> None:
    arn = f"arn:aws:Secret:{REGION}:{ACCOUNT}:secrets-"
    assert {name: value_of(found) for name, found in secrets().result.arns.items()} == {
        "session-key": f"{arn}session-key",
        "mail-password": f"{arn}mail-password",
    }
