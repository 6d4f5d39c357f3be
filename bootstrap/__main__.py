"""The program that `switchyard bootstrap` runs: inputs in, what an account needs once out."""

import pulumi

from bootstrap.account import declare
from bootstrap.inputs import InvalidInputs, checked

config = pulumi.Config()
try:
    inputs = checked(
        account=config.require("account"),
        region=config.require("region"),
        repository=config.require("repository"),
        environments=config.require_object("environments"),
        branch=config.require("branch"),
        creates_provider=config.require_bool("createsProvider"),
    )
except InvalidInputs as error:
    raise pulumi.RunError(str(error)) from None

for key, value in declare(inputs).items():
    pulumi.export(key, value)
