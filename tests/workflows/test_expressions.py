"""The evaluator: what it knows it takes as GitHub does, what it does not know it refuses."""

from typing import Any

import pytest

from tests.workflows.expressions import Unknown, evaluate, filled, holds

CONTEXTS: dict[str, Any] = {
    "vars": {"ACCOUNT": "1", "UNSET": None},
    "github": {
        "event_name": "push",
        "event": {"client_payload": None, "labels": [{"name": "a"}, {"name": "b"}], "fork": False},
    },
    "inputs": {"image": None, "hotfix": True},
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("vars.ACCOUNT", "1"),
        ("vars.UNSET == ''", True),
        ("vars.UNSET != ''", False),
        ("inputs.image || github.event.client_payload.image", None),
        ("inputs.image || 'x'", "x"),
        ("vars.ACCOUNT && 'x'", "x"),
        ("contains(github.event.labels.*.name, 'b')", True),
        ("contains(github.event.labels.*.name, 'c')", False),
        ("github.event_name == 'PUSH'", True),
        ("!(github.event_name == 'push')", False),
        ("github.event_name == 'x' || github.event_name == 'push' && vars.ACCOUNT == '2'", False),
        ("'it''s'", "it's"),
        ("inputs.hotfix", True),
    ],
)
def test_it_evaluates_as_github_does(text: str, value: object) -> None:
    assert evaluate(text, CONTEXTS) == value


@pytest.mark.parametrize(
    "text",
    [
        "vars.OTHER",
        "secrets.TOKEN",
        "github.event.number",
        "vars.ACCOUNT == '1' || vars.OTHER",
        "false && vars.OTHER",
        "fromJSON('1')",
        "format('{0}', 'a')",
        "vars['ACCOUNT']",
        "inputs.hotfix == 'true'",
        "vars.ACCOUNT vars.ACCOUNT",
        "vars.ACCOUNT ==",
        "(vars.ACCOUNT",
        "1 < 2",
    ],
)
def test_what_is_not_in_the_table_fails(text: str) -> None:
    with pytest.raises(Unknown):
        evaluate(text, CONTEXTS)


def test_a_text_is_filled() -> None:
    assert filled("a ${{ vars.ACCOUNT }}, ${{ vars.UNSET }}, ${{ inputs.hotfix }}", CONTEXTS) == "a 1, , true"
    with pytest.raises(Unknown):
        filled("${{ github.event }}", CONTEXTS)


@pytest.mark.parametrize(
    ("condition", "succeeded", "runs"),
    [
        (None, True, True),
        (None, False, False),
        ("vars.ACCOUNT == '1'", True, True),
        ("vars.ACCOUNT == '1'", False, False),
        ("always()", False, True),
        ("always() && vars.UNSET != ''", False, False),
        ("${{ failure() }}", False, True),
        ("success()", False, False),
    ],
)
def test_without_a_status_function_a_condition_wants_success(
    condition: str | None, succeeded: bool, runs: bool
) -> None:
    assert holds(condition, CONTEXTS, succeeded=succeeded) is runs
