"""What must not go through is refused before anything is touched, in words that a user can act on."""

import pytest

from tests.cloud.conftest import Begin
from tests.cloud.stack import StackUnderTest

pytestmark = pytest.mark.cloud


@pytest.fixture(scope="module")
def stack(begin: Begin) -> StackUnderTest:
    return begin("prod", "100000000009")


def nothing_is_there(stack: StackUnderTest) -> bool:
    vpcs = stack.aws("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["false"]}])["Vpcs"]
    return (
        not vpcs and not stack.aws("kms").list_keys()["Keys"] and not stack.aws("iam").list_roles()["Roles"]
    )


@pytest.mark.parametrize("command", ["preview", "up"])
def test_every_mistake_is_told_at_once_and_nothing_is_touched(stack: StackUnderTest, command: str) -> None:
    good = stack.file.read_text()
    stack.section("services")["api"]["memory_mib"] = 700
    stack.section("services")["api"]["environment"] = {"API_TOKEN": "planted-value"}
    stack.section("databases")["main"]["multi_az"] = False
    stack.section("network")["cidr"] = "10.30.0.0/24"
    stack.settings["switchyard:netwrok"] = {}
    stack.write()
    flags = ["--yes", "--skip-preview"] if command == "up" else []
    try:
        said = stack.pulumi(command, "--stack", stack.name, *flags)
    finally:
        stack.file.write_text(good)
    assert said.status != 0, "CI must see that it failed"
    for key, given, allowed in (
        ("switchyard:services.api.memory_mib", "700", "2048, 3072, 4096"),
        ("switchyard:databases.main.multi_az", "false", "true in prod"),
        ("switchyard:network.cidr", "10.30.0.0/24", "/22"),
        ("switchyard:netwrok", "an unknown key", "did you mean network?"),
        ("switchyard:services.api.environment.API_TOKEN", "not shown", "Secrets Manager"),
    ):
        told = said.text.partition(f"{key}\n")[2][:400]
        assert given in told, f"{key} must say what was given, in:\n{said.text}"
        assert allowed in told, f"{key} must say what is allowed"
    assert "Pulumi.prod.yaml" in said.text, "the file to mend is named"
    assert "planted-value" not in said.text, "a secret in plain text must not be repeated in a log"
    assert "Traceback" not in said.text, "a user's mistake is no crash of ours"
    assert nothing_is_there(stack)


def test_credentials_of_another_account_are_refused(stack: StackUnderTest) -> None:
    good = stack.file.read_text()
    stack.file.write_text(good.replace("'100000000009'", "'100000000010'"))
    try:
        said = stack.pulumi("preview", "--stack", stack.name)
    finally:
        stack.file.write_text(good)
    assert said.status != 0
    assert "credentials of account 100000000009" in said.text
    assert "credentials of 100000000010" in said.text
    assert "Traceback" not in said.text
    assert nothing_is_there(stack)


def test_a_shell_without_credentials_is_told_what_to_do(stack: StackUnderTest) -> None:
    stripped = {
        name: value
        for name, value in stack.environment.items()
        if name not in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
    }
    # The state is in the embedded S3 as well: keep that out of the question.
    stripped["PULUMI_BACKEND_URL"] = f"file://{stack.folder}"
    alone = StackUnderTest(folder=stack.folder, name="prod", account=stack.account)
    alone.__dict__["environment"] = stripped
    alone.pulumi("stack", "init", "prod", check=True)
    said = alone.pulumi("preview", "--stack", "prod")
    assert said.status != 0
    assert "AWS does not say which account this is" in said.text
    assert "Traceback" not in said.text
