"""`switchyard …` whose engine keeps its state by way of another address, which may hold it up.

python state_elsewhere.py ADDRESS ARGUMENT …. It is run in a checkout of the test's, hence no package.
"""

import sys

from localcloud import cloud
from switchyard.cli import main


def go_by(address: str) -> None:
    """Has every engine that this process starts find its state there."""
    found = cloud.environment

    def environment(account: str = cloud.DEFAULT_ACCOUNT) -> dict[str, str]:
        variables = found(account)
        state = variables["PULUMI_BACKEND_URL"].replace(variables["AWS_ENDPOINT_URL"], address)
        return variables | {"PULUMI_BACKEND_URL": state}

    cloud.environment = environment


if __name__ == "__main__":
    go_by(sys.argv.pop(1))
    main()
