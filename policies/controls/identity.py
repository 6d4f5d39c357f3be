"""Who may do what, keys, secrets and topics: IAM.*, KMS.*, SecretsManager.*, SNS.*, from AWS Security Hub."""

from collections.abc import Iterator

from policies.documents import allows, is_public, listed, statements
from policies.model import Control, Resource, Severity, Stack, value

ROLE_POLICY = "aws:iam/rolePolicy:RolePolicy"
POLICY = "aws:iam/policy:Policy"
KEY = "aws:kms/key:Key"
SECRET = "aws:secretsmanager/secret:Secret"  # noqa: S105 - a type
ROTATION = "aws:secretsmanager/secretRotation:SecretRotation"
TOPIC_POLICY = "aws:sns/topicPolicy:TopicPolicy"

DECRYPTING = ("kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncrypt*", "kms:*", "*")
# SecretsManager.4: the longest time that AWS's control takes by default.
ROTATION_DAYS = 90


def allows_not_everything(policy: Resource) -> str | None:
    for statement in statements(policy.properties):
        actions, resources = listed(statement, "Action"), listed(statement, "Resource")
        if allows(statement) and {"*", "*:*"} & set(actions) and "*" in resources:
            return "allows everything on everything"
    return None


def names_actions(policy: Resource) -> str | None:
    for statement in statements(policy.properties):
        # One action with a wildcard at its end, such as s3:Get*, is allowed by AWS's control.
        wide = [action for action in listed(statement, "Action") if action == "*" or action.endswith(":*")]
        if allows(statement) and wide:
            return f"allows every action of a service: {', '.join(wide)}"
    return None


def decrypts_with_named_keys(policy: Resource) -> str | None:
    for statement in statements(policy.properties):
        risky = set(listed(statement, "Action")) & set(DECRYPTING)
        keys = listed(statement, "Resource")
        if allows(statement) and risky and any(key == "*" or key.endswith(":key/*") for key in keys):
            return f"allows {', '.join(sorted(risky))} with every key"
    return None


def key_is_private(key: Resource) -> str | None:
    if any(is_public(statement) for statement in statements(key.properties)):
        return "everybody may use it"
    return None


def topic_is_private(policy: Resource) -> str | None:
    if any(is_public(statement) for statement in statements(policy.properties)):
        return "everybody may use the topic"
    return None


def rotates(stack: Stack) -> Iterator[tuple[Resource, str]]:
    for secret in stack.of(SECRET):
        if not stack.users(secret, ROTATION, "secretId"):
            yield secret, "nothing renews its value"


def rotates_in_time(stack: Stack) -> Iterator[tuple[Resource, str]]:
    for secret in stack.of(SECRET):
        days = [
            value(rule, "automaticallyAfterDays")
            for rotation in stack.users(secret, ROTATION, "secretId")
            for rule in [value(rotation.properties, "rotationRules")]
        ]
        if not any(isinstance(number, int | float) and number <= ROTATION_DAYS for number in days):
            yield secret, f"its value may be older than {ROTATION_DAYS} days"


CONTROLS = (
    Control(
        id="IAM.1",
        title="No policy allows everything",
        severity=Severity.HIGH,
        remedy="name the actions and the resources",
        types=(ROLE_POLICY, POLICY),
        check=allows_not_everything,
    ),
    Control(
        id="IAM.21",
        title="No policy allows every action of a service",
        severity=Severity.LOW,
        remedy="name the actions",
        types=(ROLE_POLICY, POLICY),
        check=names_actions,
    ),
    Control(
        id="KMS.1",
        title="No managed policy decrypts with every key",
        severity=Severity.MEDIUM,
        remedy="name the keys",
        types=(POLICY,),
        check=decrypts_with_named_keys,
    ),
    Control(
        id="KMS.2",
        title="No inline policy decrypts with every key",
        severity=Severity.MEDIUM,
        remedy="name the keys",
        types=(ROLE_POLICY,),
        check=decrypts_with_named_keys,
    ),
    Control(
        id="KMS.5",
        title="Keys are not for everybody",
        severity=Severity.CRITICAL,
        remedy="name the principals of the key policy, or give it a condition",
        types=(KEY,),
        check=key_is_private,
    ),
    Control(
        id="SecretsManager.1",
        title="Secrets are rotated",
        severity=Severity.MEDIUM,
        remedy="declare aws.secretsmanager.SecretRotation for the secret",
        check_stack=rotates,
    ),
    Control(
        id="SecretsManager.4",
        title=f"Secrets are rotated within {ROTATION_DAYS} days",
        severity=Severity.MEDIUM,
        remedy=f"set rotationRules.automaticallyAfterDays to {ROTATION_DAYS} or less",
        check_stack=rotates_in_time,
    ),
    Control(
        id="SNS.4",
        title="Topics are not for everybody",
        severity=Severity.CRITICAL,
        remedy="name the principals of the topic policy, or give it a condition",
        types=(TOPIC_POLICY,),
        check=topic_is_private,
    ),
)
