"""Who may take a role: jobs of one repository on GitHub, pinned. Pure.

Rules: <https://docs.github.com/actions/security-for-github-actions/security-hardening-your-deployments/configuring-openid-connect-in-amazon-web-services>.
Both claims are compared as they are: a pattern in `sub` would let other repositories or branches in.
"""

import json
from collections.abc import Sequence

from bootstrap.inputs import AUDIENCE, ISSUER, Inputs


def preview_policy(inputs: Inputs) -> str:
    """Trust of the read-only role: pull requests, and the branch that nightly jobs run on.

    A job that names an environment has another `sub`, and can't take this role.
    """
    return _policy(
        inputs,
        [
            f"repo:{inputs.repository}:pull_request",
            f"repo:{inputs.repository}:ref:refs/heads/{inputs.branch}",
        ],
    )


def writer_policy(inputs: Inputs, environment: str) -> str:
    """Trust of a writer: jobs that GitHub has let into the environment, past its reviewers."""
    return _policy(inputs, [f"repo:{inputs.repository}:environment:{environment}"])


def _policy(inputs: Inputs, subjects: Sequence[str]) -> str:
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": inputs.provider_arn},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": {f"{ISSUER}:aud": AUDIENCE, f"{ISSUER}:sub": list(subjects)}},
    }
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]}, sort_keys=True)
