"""How the benchmark of releases reads what it saw."""

import pytest

from bench.releases import PARTS, rows, split
from release.model import Phase

PHASES = [
    (3.0, "PLANNED"),
    (3.5, "PREPARING"),
    (10.0, "MIGRATING"),
    (12.0, "SCALING"),
    (15.0, "VERIFYING"),
    (16.0, "SHIFTING"),
    (16.2, "SHIFTING"),
    (16.5, "BAKING"),
    (17.0, "CONTRACTING"),
    (20.0, "RETIRING"),
    (20.5, "COMPLETED"),
]


def test_every_second_of_a_release_belongs_to_one_part() -> None:
    spent = split(1.0, PHASES, 20.75)
    assert spent == pytest.approx(
        {
            "gates": 2.5,
            "program": 6.5,
            "migration": 5.0,
            "scaling": 3.0,
            "verification": 1.0,
            "shift": 1.0,
            "retire": 0.75,
        }
    )
    assert sum(spent.values()) == pytest.approx(20.75 - 1.0), "nothing is left out, nothing is counted twice"


def test_every_phase_on_the_way_forward_belongs_to_one_part() -> None:
    of = [phase for phases in PARTS.values() for phase in phases if phase]
    forward = [
        phase.value
        for phase in Phase
        if phase not in (Phase.ROLLING_BACK, Phase.ROLLED_BACK, Phase.NEEDS_PERSON)
    ]
    assert sorted(of) == sorted(forward)


def test_the_figures_stand_beside_their_goals() -> None:
    whole = [{"total": total, **dict.fromkeys(PARTS, 2.0)} for total in (12.0, 14.0, 25.0)]
    stepwise = [
        {"step": step, "back": back, "poll": 0.8} for step, back in ((0.2, 1.0), (0.4, 1.5), (0.3, 0.6))
    ]
    found = list(rows({"whole": whole, "stepwise": stepwise}))
    assert [(figure.measured, figure.goal, figure.met) for figure in found if figure.goal] == [
        ("14.0 s (12.0 to 25.0)", "≤ 30 s", True),
        ("0.3 s (0.2 to 0.4)", "≤ 1 s", True),
        ("1.0 s (0.6 to 1.5)", "≤ 2 s + 0.8 s", True),
    ]
