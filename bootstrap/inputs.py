"""What the program is told, and the names that follow from it. Pure."""

import re
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

ISSUER = "token.actions.githubusercontent.com"
AUDIENCE = "sts.amazonaws.com"

# The project whose stacks the roles are for, as in the repository's Pulumi.yaml.
PROJECT = "switchyard"
STATE_KEY_ALIAS = "switchyard-state"
SECRETS_KEY_ALIAS = "switchyard-secrets"
PREVIEW_ROLE = "switchyard-preview"
WRITER_BOUNDARY = "switchyard-writer-boundary"
# The boundary that every role of a stack has to carry, and the path below which those roles are.
STACK_BOUNDARY = "switchyard-stack-boundary"

# Environments name stacks and roles too. GitHub allows more; `*` or `:` in a trust policy would be a hole.
Environment = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,19}$")]


class InvalidInputs(ValueError):
    """What was given can't be bootstrapped; the message has every mistake."""


class Inputs(BaseModel):
    """What one account is bootstrapped with.

    account: its twelve digits.
    region: where the state and the keys are; stacks may be in others.
    repository: `owner/name` on GitHub, the only one whose jobs are trusted.
    environments: GitHub environments, each the name of the one stack that its jobs write.
    branch: the branch whose jobs may preview, beside pull requests.
    creates_provider: False if the account has the OIDC provider of GitHub from elsewhere; it can have one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    account: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    region: Annotated[str, Field(pattern=r"^[a-z]{2}(-[a-z]+)+-[0-9]$")]
    repository: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9-]{0,38}/[A-Za-z0-9._-]{1,100}$")]
    environments: Annotated[tuple[Environment, ...], Field(min_length=1, max_length=10)]
    branch: Annotated[str, Field(pattern=r"^[A-Za-z0-9._/-]{1,100}$")] = "main"
    creates_provider: bool = True

    @model_validator(mode="after")
    def every_environment_is_named_once(self) -> Self:
        """Two of one name would be one role."""
        twice = sorted({name for name in self.environments if self.environments.count(name) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is given more than once; give each environment once")
        return self

    @model_validator(mode="after")
    def no_environment_begins_with_another(self) -> Self:
        """Permissions go by the beginning of names: `dev` would reach what belongs to `dev-eu`."""
        for one in self.environments:
            for other in self.environments:
                if other.startswith(f"{one}-"):
                    raise ValueError(
                        f"{other} begins with {one}-, and the writer of {one} could change what is "
                        f"{other}'s; give names of which none begins with another"
                    )
        return self

    @property
    def bucket(self) -> str:
        """The state bucket: a name that a later run finds again from the account alone."""
        return f"switchyard-pulumi-state-{self.account}"

    @property
    def bucket_arn(self) -> str:
        """ARN of the state bucket."""
        return f"arn:{self.partition}:s3:::{self.bucket}"

    @property
    def partition(self) -> str:
        """AWS's partition of the region."""
        if self.region.startswith("cn-"):
            return "aws-cn"
        return "aws-us-gov" if self.region.startswith("us-gov-") else "aws"

    @property
    def provider_arn(self) -> str:
        """ARN of the account's one OIDC provider for GitHub."""
        return f"arn:{self.partition}:iam::{self.account}:oidc-provider/{ISSUER}"

    def policy_arn(self, name: str) -> str:
        """ARN of a managed policy of the account."""
        return f"arn:{self.partition}:iam::{self.account}:policy/{name}"

    def role_arn(self, name: str) -> str:
        """ARN of a role of the account; `name` may hold a path and wildcards."""
        return f"arn:{self.partition}:iam::{self.account}:role/{name}"


def writer_role(environment: str) -> str:
    """Name of the role of an environment's jobs."""
    return f"switchyard-writer-{environment}"


def checked(**given: object) -> Inputs:
    """The inputs. Raises InvalidInputs with what was given, what is allowed and where."""
    try:
        return Inputs.model_validate(given)
    except ValidationError as error:
        found = error.errors()
        wrong = {one["loc"][0] for one in found if len(one["loc"]) > 1}
        # A list whose items are wrong is told as too short as well.
        told = [one for one in found if len(one["loc"]) != 1 or one["loc"][0] not in wrong]
        raise InvalidInputs("\n".join(_told(one) for one in told)) from None


_ALLOWED = {
    "account": "twelve digits, such as 123456789012",
    "region": "a region of AWS, such as eu-west-1",
    "repository": "owner/name as on GitHub, without wildcards",
    "environments": (
        "one to ten GitHub environments; each at most 20 small letters, digits and hyphens, for it names "
        "a stack as well"
    ),
    "branch": "a branch's name, without wildcards",
}


def _told(found: object) -> str:
    assert isinstance(found, dict)  # noqa: S101 - pydantic's
    where = found["loc"]
    if not where:
        return "environments: " + re.sub(r"^Value error, ", "", found["msg"])
    given = found.get("input")
    return f"{where[0]}: {given!r} is not allowed; give {_ALLOWED.get(str(where[0]), 'nothing of that name')}"
