"""The roles of an account that was bootstrapped, and what they may do, for the tests of both."""

from bootstrap import boundaries, permissions
from bootstrap.documents import Keys
from bootstrap.inputs import checked
from tests.unit import iam_policies
from tests.unit.iam_policies import Statements, statements

ACCOUNT = "123456789012"
INPUTS = checked(
    account=ACCOUNT, region="eu-west-1", repository="acme/shop", environments=("staging", "prod", "review")
)
STATE_KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/state"
SECRETS_KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/secrets"
OTHER_KEY = f"arn:aws:kms:eu-west-1:{ACCOUNT}:key/other"
KEYS = Keys(state=STATE_KEY, secrets=SECRETS_KEY)
BUCKET = f"arn:aws:s3:::switchyard-pulumi-state-{ACCOUNT}"
OBJECTS = f"{BUCKET}/.pulumi"
ROLES = f"arn:aws:iam::{ACCOUNT}:role"
SECRET = f"arn:aws:secretsmanager:eu-west-1:{ACCOUNT}:secret"
STACK_BOUNDARY = f"arn:aws:iam::{ACCOUNT}:policy/switchyard-stack-boundary"
OWN_STATE = [
    f"{OBJECTS}/stacks/switchyard/staging.json",
    f"{OBJECTS}/stacks/switchyard/staging.json.bak",
    f"{OBJECTS}/stacks/switchyard/staging.pulumi-tags",
    f"{OBJECTS}/locks/organization/switchyard/staging/1.json",
    f"{OBJECTS}/history/switchyard/staging/staging-1.history.json",
    f"{OBJECTS}/backups/switchyard/staging/staging.1.json",
]
# What someone may attach to the role some day: everything.
EVERYTHING = {"Effect": "Allow", "Action": "*", "Resource": "*"}


def preview() -> Statements:
    return statements(*permissions.preview_policies.make(INPUTS, KEYS, "").values())


def writer(environment: str = "staging") -> Statements:
    return statements(*permissions.writer_policies.make(INPUTS, KEYS, environment).values())


def judged(found: Statements, action: str, resource: str = "*", **context: str) -> str:
    """Context keys are written with _ for : and __ for /."""
    known = {key.replace("__", "/").replace("_", ":", 1): value for key, value in context.items()}
    return iam_policies.judged(found, action, resource, known)


def within(boundary: str, found: Statements, action: str, resource: str = "*", **context: str) -> bool:
    """Whether a role with these permissions may do it under the boundary."""
    limits = statements(boundary)
    return (
        judged(limits, action, resource, **context) == "allow"
        and judged(found, action, resource, **context) == "allow"
    )


def writers_may(action: str, resource: str = "*", environment: str = "staging", **context: str) -> bool:
    return within(boundaries.of_writers(INPUTS, KEYS), writer(environment), action, resource, **context)
