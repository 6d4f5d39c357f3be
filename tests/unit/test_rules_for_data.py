"""Rules about databases and backups."""

from collections.abc import Mapping
from typing import Any

import pytest

from infra.rules import Problem
from tests.unit.stacks import REMOVED, config, problems, settings

MAIN = "databases.main"
GOLD = "backups.tiers.gold"

Change = Mapping[str, Any]
Told = list[tuple[str, str, str]]
BROKEN: list[tuple[str, str, Change, Told]] = [
    (
        "rds_offers_the_replicas",
        "prod",
        {f"{MAIN}.read_replicas": 1},
        [(f"{MAIN}.read_replicas", "1", "0: RDS creates none where it manages the password")],
    ),
    (
        "rds_offers_the_replicas",
        "dev",
        {f"{MAIN}.read_replicas": 2},
        [(f"{MAIN}.read_replicas", "2", "0: RDS creates none where it manages the password")],
    ),
    (
        "storage_can_grow",
        "prod",
        {f"{MAIN}.max_allocated_storage_gib": 109},
        [
            (
                f"{MAIN}.max_allocated_storage_gib",
                "109",
                "at least 110 GiB, a tenth more than allocated_storage_gib",
            )
        ],
    ),
    (
        "storage_can_grow",
        "prod",
        {f"{MAIN}.allocated_storage_gib": 21, f"{MAIN}.max_allocated_storage_gib": 23},
        [
            (
                f"{MAIN}.max_allocated_storage_gib",
                "23",
                "at least 24 GiB, a tenth more than allocated_storage_gib",
            )
        ],
    ),
    *(
        (
            "insights_are_kept_as_rds_offers",
            "prod",
            {f"{MAIN}.performance_insights_retention_days": days},
            [
                (
                    f"{MAIN}.performance_insights_retention_days",
                    str(days),
                    "7, 731, or a multiple of 31 up to 713 days",
                )
            ],
        )
        for days in (0, 8, 30, 730, 744)
    ),
    (
        "the_databases_tier_exists",
        "prod",
        {f"{MAIN}.backup_tier": "silver"},
        [(f"{MAIN}.backup_tier", "silver", "a tier of the stack: gold, standard")],
    ),
    (
        "a_production_database_survives",
        "prod",
        {f"{MAIN}.multi_az": False},
        [(f"{MAIN}.multi_az", "false", "true in prod")],
    ),
    (
        "a_production_database_survives",
        "prod",
        {f"{MAIN}.deletion_protection": False},
        [(f"{MAIN}.deletion_protection", "false", "true in prod")],
    ),
    (
        "a_production_database_survives",
        "prod",
        {f"{MAIN}.skip_final_snapshot": True},
        [(f"{MAIN}.skip_final_snapshot", "true", "false in prod")],
    ),
    (
        "a_production_database_can_go_back_a_week",
        "prod",
        {f"{MAIN}.backup_retention_days": 6},
        [(f"{MAIN}.backup_retention_days", "6", "at least 7 days in prod")],
    ),
    (
        "the_lock_is_a_range",
        "dev",
        {"backups.lock.min_retention_days": 91},
        [
            ("backups.lock.max_retention_days", "90", "at least the minimum, 91"),
            ("backups.tiers.standard.retention_days", "7", "91 to 90, the vault's lock"),
        ],
    ),
    (
        "the_lock_admits_the_tier",
        "prod",
        {f"{GOLD}.retention_days": 401},
        [(f"{GOLD}.retention_days", "401", "7 to 400, the vault's lock")],
    ),
    (
        "the_lock_admits_the_tier",
        "prod",
        {"backups.tiers.standard.retention_days": 6},
        [("backups.tiers.standard.retention_days", "6", "7 to 400, the vault's lock")],
    ),
    (
        "cold_storage_pays",
        "prod",
        {f"{GOLD}.cold_storage_after_days": 276},
        [
            (
                f"{GOLD}.cold_storage_after_days",
                "276",
                "at least 90 days before the end of the retention of 365",
            )
        ],
    ),
    (
        "continuous_backups_are_short",
        "prod",
        {"backups.tiers.standard.continuous": True, "backups.tiers.standard.retention_days": 36},
        [("backups.tiers.standard.retention_days", "36", "at most 35 with continuous: true")],
    ),
    (
        "copies_are_elsewhere",
        "prod",
        {"backups.copy_region": "eu-west-1"},
        [("backups.copy_region", "eu-west-1", "a region other than the stack's")],
    ),
    (
        "copies_are_elsewhere",
        "prod",
        {"backups.copy_region": REMOVED},
        [("backups.copy_region", "nothing", "a second region in prod")],
    ),
    (
        "production_survives_a_zone_loss",
        "prod",
        {"network.nat": "single"},
        [("network.nat", "single", "per-zone in prod")],
    ),
    (
        "production_is_not_deleted_by_mistake",
        "prod",
        {"edge.deletion_protection": False},
        [("edge.deletion_protection", "false", "true in prod")],
    ),
]
ALLOWED: list[tuple[str, Change]] = [
    ("local", {f"{MAIN}.read_replicas": 1}),
    ("prod", {f"{MAIN}.max_allocated_storage_gib": 110}),
    ("prod", {f"{MAIN}.allocated_storage_gib": 21, f"{MAIN}.max_allocated_storage_gib": 24}),
    *(("prod", {f"{MAIN}.performance_insights_retention_days": days}) for days in (7, 31, 62, 713, 731)),
    ("prod", {f"{MAIN}.backup_tier": "standard"}),
    ("prod", {f"{MAIN}.backup_retention_days": 7}),
    ("staging", {f"{MAIN}.backup_retention_days": 6}),
    ("staging", {f"{MAIN}.multi_az": False, f"{MAIN}.skip_final_snapshot": True}),
    ("prod", {"backups.lock.max_retention_days": 365, "backups.lock.min_retention_days": 35}),
    (
        "prod",
        {
            "backups.lock": {"min_retention_days": 35, "max_retention_days": 35},
            f"{GOLD}": REMOVED,
            f"{MAIN}.backup_tier": "standard",
        },
    ),
    ("prod", {f"{GOLD}.cold_storage_after_days": 275}),
    ("prod", {"backups.tiers.standard.continuous": True}),
    ("staging", {"backups.copy_region": "eu-central-1"}),
    ("staging", {"network.nat": "single", "edge.deletion_protection": False}),
]


@pytest.mark.parametrize(("rule", "stack", "changes", "told"), BROKEN, ids=[case[0] for case in BROKEN])
def test_a_broken_rule_is_told_with_its_key_and_what_is_allowed(
    rule: str, stack: str, changes: Change, told: Told
) -> None:
    expected = [Problem(key=key, given=given, allowed=allowed) for key, given, allowed in told]
    assert problems(stack, changes) == expected, rule


@pytest.mark.parametrize(("stack", "changes"), ALLOWED, ids=[str(sorted(case[1])) for case in ALLOWED])
def test_the_weakest_value_that_a_rule_allows_is_allowed(stack: str, changes: Change) -> None:
    settings(stack, changes)


def test_a_rule_speaks_for_every_service_and_database() -> None:
    database = config("prod")["switchyard:databases"]["main"]
    changes = {
        "databases.second": {**database, "multi_az": False},
        "databases.main.multi_az": False,
        "services.api.cpu": 300,
        "services.web.cpu": 300,
    }
    assert [problem.key for problem in problems("prod", changes)] == [
        "services.api.cpu",
        "services.web.cpu",
        "databases.main.multi_az",
        "databases.second.multi_az",
    ]
