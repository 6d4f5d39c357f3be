import pytest

from localcloud import aws_names
from tests.unit import stacks


def test_no_two_types_are_one_in_terraform() -> None:
    assert len(aws_names.RESOURCES) > 50
    assert len(set(aws_names.RESOURCES.values())) == len(aws_names.RESOURCES)


def test_properties_are_those_of_types_in_the_table() -> None:
    for table in (aws_names.NAMED, aws_names.SINGLE):
        assert set(table) <= set(aws_names.RESOURCES), "a name in no type would never be used"


@pytest.mark.parametrize("stack", ["local", "staging", "prod"])
def test_every_type_and_function_that_the_program_uses_is_in_the_table(stack: str) -> None:
    deployment = stacks.platform(stack)
    used = {r.type for r in deployment.resources if not r.type.startswith(("switchyard:", "pulumi:"))}
    assert len(used) > 40
    assert used - set(aws_names.RESOURCES) == set()
    assert {token for token, _ in deployment.calls} - set(aws_names.FUNCTIONS) == set()


def test_the_stand_in_gets_the_table_under_terraforms_names() -> None:
    settings = aws_names.settings()
    assert settings["resources"]["aws_lb_target_group"] == "aws:lb/targetGroup:TargetGroup"
    assert settings["functions"]["aws_caller_identity"] == "aws:index/getCallerIdentity:getCallerIdentity"
    assert settings["named"]["aws_cloudwatch_metric_alarm"] == {"alarm_name": "name"}
    assert "rule.filter" in settings["single"]["aws_s3_bucket_lifecycle_configuration"]
