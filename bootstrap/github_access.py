"""The way in for GitHub's jobs, without a stored secret.

Creates: GitHub's OIDC provider unless the account has it, two permissions boundaries, a read-only role for
previews and a writer role for each GitHub environment, with their policies.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi
from pulumi_aws import iam

from bootstrap import boundaries, permissions, trust
from bootstrap.documents import Documents, Keys
from bootstrap.inputs import (
    AUDIENCE,
    ISSUER,
    PREVIEW_ROLE,
    STACK_BOUNDARY,
    WRITER_BOUNDARY,
    Inputs,
    writer_role,
)

PREVIEW_SECONDS = 3600
# A job on GitHub's machines lasts six hours at most; a release with a long bake needs credentials till then.
WRITER_SECONDS = 6 * 3600


@dataclass(frozen=True, kw_only=True)
class GitHubAccessArgs:
    """What the access is made from.

    inputs: account, repository, environments; they shape the graph.
    state_key_arn, secrets_key_arn: keys that open the state and the secrets in it.
    """

    inputs: Inputs
    state_key_arn: pulumi.Input[str]
    secrets_key_arn: pulumi.Input[str]


class GitHubAccess(pulumi.ComponentResource):
    """Roles that jobs of one repository may take, each only from where it is meant for."""

    preview_role_arn: pulumi.Output[str]
    writer_role_arns: Mapping[str, pulumi.Output[str]]

    def __init__(self, name: str, args: GitHubAccessArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("switchyard:bootstrap:GitHubAccess", name, None, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._args = args
        inputs = args.inputs
        needed: list[pulumi.Resource] = []
        if inputs.creates_provider:
            needed.append(
                iam.OpenIdConnectProvider(
                    f"{name}-provider",
                    url=f"https://{ISSUER}",
                    client_id_lists=[AUDIENCE],
                    opts=self._child,
                )
            )
        # A role that trusts a provider which is not there yet is refused by AWS.
        self._after_provider = pulumi.ResourceOptions(parent=self, depends_on=needed)
        self._keys = pulumi.Output.all(args.state_key_arn, args.secrets_key_arn).apply(
            lambda known: Keys(state=known[0], secrets=known[1])
        )
        boundary = self._boundary(WRITER_BOUNDARY, "What a writer of Switchyard may do at most")
        self._boundary(STACK_BOUNDARY, "What a role of a Switchyard stack may do at most")
        self.preview_role_arn = self._preview(f"{name}-preview").arn
        self.writer_role_arns = {
            environment: self._writer(f"{name}-writer-{environment}", environment, boundary).arn
            for environment in inputs.environments
        }
        self.register_outputs(
            {"preview_role_arn": self.preview_role_arn, "writer_role_arns": dict(self.writer_role_arns)}
        )

    def _boundary(self, policy_name: str, description: str) -> iam.Policy:
        document = {WRITER_BOUNDARY: boundaries.of_writers, STACK_BOUNDARY: boundaries.of_stacks}[policy_name]
        return iam.Policy(
            policy_name,
            name=policy_name,
            description=description,
            policy=self._keys.apply(lambda keys: document(self._args.inputs, keys)),
            opts=self._child,
        )

    def _preview(self, name: str) -> iam.Role:
        role = iam.Role(
            name,
            name=PREVIEW_ROLE,
            description="Previews and drift checks of Switchyard: reads, and no secret's value",
            assume_role_policy=trust.preview_policy(self._args.inputs),
            max_session_duration=PREVIEW_SECONDS,
            opts=self._after_provider,
        )
        self._policies(name, role, "", permissions.preview_policies)
        return role

    def _writer(self, name: str, environment: str, boundary: iam.Policy) -> iam.Role:
        role = iam.Role(
            name,
            name=writer_role(environment),
            description=f"Updates and releases of Switchyard's stack {environment}",
            assume_role_policy=trust.writer_policy(self._args.inputs, environment),
            permissions_boundary=boundary.arn,
            max_session_duration=WRITER_SECONDS,
            opts=self._after_provider,
        )
        self._policies(name, role, environment, permissions.writer_policies)
        return role

    def _policies(self, name: str, role: iam.Role, environment: str, documents: Documents) -> None:
        made = self._keys.apply(lambda keys: dict(documents.make(self._args.inputs, keys, environment)))
        for label in documents.labels:
            iam.RolePolicy(f"{name}-{label}", name=label, role=role.id, policy=made[label], opts=self._child)
