"""The program that `pulumi up` runs: settings in, one stack's platform out."""

import pulumi
from pulumi.runtime import config

from infra.account import NoAccount, caller_account
from infra.arguments import Stack
from infra.load import InvalidSettings, from_engine
from infra.platform import deploy

name, project = pulumi.get_stack(), pulumi.get_project()
try:
    account = caller_account()
    settings = from_engine(config.CONFIG.get(), name, account)
except (InvalidSettings, NoAccount) as error:
    raise pulumi.RunError(str(error)) from None

for key, value in deploy(Stack(project=project, name=name, account_id=account, settings=settings)).items():
    pulumi.export(key, value)
