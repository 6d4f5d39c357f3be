"""What is done with each job of the workflows: a job without a place here makes a test fail."""

from typing import Final

# Its commands run against the embedded cloud, in tests/cloud/test_workflows.py.
CLOUD: Final = frozenset(
    {
        "drift/drift",
        "plan/plan",
        "promote/evidence",
        "promote/prod",
        "pull-request/preview",
        "reap/reap",
        "release/prod",
        "release/soak",
        "release/staging",
        "review/down",
        "review/up",
    }
)
# Its commands run here and now, in tests/workflows/test_workflows.py.
HERE: Final = frozenset({"release/sbom"})
# Its command is a target of make that can't run within a test: the whole suite, or what needs internet.
# For each the lines that the target has to consist of, and why it is not run.
MADE: Final = {
    "pull-request/audit": "asks PyPI for vulnerabilities",
    "pull-request/checkov": "installs checkov from PyPI",
    "pull-request/fast": "is the suite that this test is of",
    "pull-request/lint": "comes before this test in `make test`",
    "pull-request/test": "is the suite that this test is of",
}
# It calls another workflow, whose jobs have places of their own.
CALLS: Final = {
    "promote/plan": "./.github/workflows/plan.yml",
    "release/plan": "./.github/workflows/plan.yml",
    "release/promote": "./.github/workflows/promote.yml",
}

# Actions by name, and what stands in for them.
ACTIONS: Final = {
    "actions/checkout": "the checkout is there",
    "actions/download-artifact": "a folder is where artefacts are",
    "actions/setup-python": "the tests' own Python",
    "actions/upload-artifact": "a folder is where artefacts are",
    "aws-actions/configure-aws-credentials": "the embedded cloud's, after a look at the role's trust",
    "pulumi/actions": "the engine of the embedded cloud",
}
