"""What has to hold between several settings: one rule, one sentence. Each yields what breaks it."""

import re
from collections.abc import Callable, Mapping
from functools import partial
from itertools import takewhile

from components.cidr import CidrError, plan_subnets
from components.colours import COLOURS, owned_by
from infra import release_rules, secret_looks
from infra.problems import Problem as Problem  # whoever asks for the rules gets it here
from infra.problems import Problems
from infra.settings import Settings

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-tasks-services.html
FARGATE_MEMORY_MIB: Mapping[int, tuple[int, ...]] = {
    256: (512, 1024, 2048),
    512: tuple(range(1024, 4096 + 1, 1024)),
    1024: tuple(range(2048, 8192 + 1, 1024)),
    2048: tuple(range(4096, 16384 + 1, 1024)),
    4096: tuple(range(8192, 30720 + 1, 1024)),
    8192: tuple(range(16384, 61440 + 1, 4096)),
    16384: tuple(range(32768, 122880 + 1, 8192)),
}
# RDS keeps Performance Insights for a week, for months of 31 days, or for two years.
INSIGHTS_DAYS = (7, *range(31, 714, 31), 731)
# A week of restores is what a mistake found on Monday needs; FSBP RDS.11 asks for the same.
PROD_BACKUP_DAYS = 7
# AWS Backup refuses a shorter stay in cold storage.
COLD_DAYS = 90
# The longest that AWS Backup can restore to any second.
CONTINUOUS_DAYS = 35
# Values of all conditions of one load balancer rule together.
RULE_VALUES = 5
# What a service with a database finds in its environment.
DATABASE_VARIABLES = (
    "DATABASE_HOST",
    "DATABASE_PORT",
    "DATABASE_NAME",
    "DATABASE_USERNAME",
    "DATABASE_PASSWORD",
)
# Log groups beside those of the services: that of execute-command sessions.
TAKEN_NAMES = ("sessions",)


# --- the network and the edge


def the_network_can_be_cut_into_subnets(stack: Settings) -> Problems:
    cidr = stack.network.cidr
    try:
        # Zones have rules of their own; how many there are, 2 or 3, changes nothing for the range.
        plan_subnets(cidr, ("first", "second"))
    except CidrError as error:
        yield Problem(key="network.cidr", given=str(cidr), allowed=str(error))


def the_network_overlaps_no_other(stack: Settings) -> Problems:
    cidr = stack.network.cidr
    for reserved in stack.network.reserved_cidrs:
        if cidr.overlaps(reserved):
            yield Problem(
                key="network.cidr", given=str(cidr), allowed=f"a network that does not overlap {reserved}"
            )


def zones_are_different(stack: Settings) -> Problems:
    zones = stack.network.zones
    if len(set(zones)) < len(zones):
        allowed = "different zones: with one of them lost the platform has to go on"
        yield Problem(key="network.zones", given=", ".join(zones), allowed=allowed)


def zones_are_the_regions(stack: Settings) -> Problems:
    for zone in stack.network.zones:
        if not re.fullmatch(re.escape(stack.region) + "[a-z]", zone):
            allowed = f"a zone of {stack.region}, such as {stack.region}a"
            yield Problem(key="network.zones", given=zone, allowed=allowed)


def traffic_is_encrypted(stack: Settings) -> Problems:
    if stack.edge.protocol == "http" and stack.environment in ("staging", "prod"):
        yield Problem(key="edge.protocol", given="http", allowed=f"https in {stack.environment}")


def https_has_a_certificate(stack: Settings) -> Problems:
    if stack.edge.protocol == "https" and stack.edge.certificate_arn is None:
        allowed = "the ARN of an ACM certificate, because edge.protocol is https"
        yield Problem(key="edge.certificate_arn", given="nothing", allowed=allowed)


def the_certificate_is_in_the_region(stack: Settings) -> Problems:
    arn = stack.edge.certificate_arn
    if arn and arn.split(":")[3] != stack.region:
        yield Problem(key="edge.certificate_arn", given=arn, allowed=f"a certificate in {stack.region}")


def the_test_listener_is_not_for_the_world(stack: Settings) -> Problems:
    for cidr in stack.edge.test_ingress_cidrs:
        # A /8 is the largest private network; anything larger is a way of writing "everyone".
        if cidr.prefixlen < 8:
            allowed = "networks of /8 or smaller: the idle colour is not for the world"
            yield Problem(key="edge.test_ingress_cidrs", given=str(cidr), allowed=allowed)


# --- each service


def the_services_name_is_free(stack: Settings, name: str) -> Problems:
    if name in TAKEN_NAMES:
        allowed = "another name: the platform itself has a log group of this one"
        yield Problem(key=f"services.{name}", given=name, allowed=allowed)
    if name in stack.databases:
        allowed = "a name that no database has: both would have alarms of this one"
        yield Problem(key=f"services.{name}", given=name, allowed=allowed)
    for section, taken in (("services", stack.services), ("databases", stack.databases)):
        for colour in COLOURS:
            mine = owned_by(name, colour)
            for clash in (each for each in taken if each == mine or each.startswith(f"{mine}-")):
                allowed = f"a name that does not begin with {mine}: that is what a release of {name} changes"
                yield Problem(key=f"{section}.{clash}", given=clash, allowed=allowed)


def the_task_exists_on_fargate(stack: Settings, name: str) -> Problems:
    service = stack.services[name]
    offered = FARGATE_MEMORY_MIB.get(service.cpu)
    if offered is None:
        allowed = ", ".join(map(str, FARGATE_MEMORY_MIB)) + " CPU units"
        yield Problem(key=f"services.{name}.cpu", given=str(service.cpu), allowed=allowed)
    elif service.memory_mib not in offered:
        few = len(offered) < 8
        which = ", ".join(map(str, offered)) if few else f"{offered[0]} to {offered[-1]}"
        steps = "" if few else f" in steps of {offered[1] - offered[0]}"
        allowed = f"{which} MiB{steps} with {service.cpu} CPU units"
        yield Problem(key=f"services.{name}.memory_mib", given=str(service.memory_mib), allowed=allowed)


def the_route_matches_something(stack: Settings, name: str) -> Problems:
    route = stack.services[name].route
    if not route.hosts and not route.paths:
        yield Problem(
            key=f"services.{name}.route", given="no host and no path", allowed="at least one of them"
        )
    if len(route.hosts) + len(route.paths) > RULE_VALUES:
        given = f"{len(route.hosts)} hosts and {len(route.paths)} paths"
        allowed = f"{RULE_VALUES} values together, the limit of a load balancer's rule"
        yield Problem(key=f"services.{name}.route", given=given, allowed=allowed)


def the_priority_is_its_own(stack: Settings, name: str) -> Problems:
    mine = stack.services[name].route.priority
    for other in takewhile(lambda other: other != name, stack.services):
        # Another mistake of the other service must not hide this one.
        if getattr(getattr(stack.services[other], "route", None), "priority", None) == mine:
            allowed = f"a priority that no other service has; {other} has this one"
            yield Problem(key=f"services.{name}.route.priority", given=str(mine), allowed=allowed)


def a_stopped_task_finishes_its_requests(stack: Settings, name: str) -> Problems:
    service = stack.services[name]
    longest = service.longest_request_seconds
    for field in ("stop_timeout_seconds", "deregistration_delay_seconds"):
        given = getattr(service, field, longest)
        if given < longest:
            allowed = f"at least {longest}, the longest_request_seconds of the service"
            yield Problem(key=f"services.{name}.{field}", given=str(given), allowed=allowed)


def the_edge_waits_for_the_longest_request(stack: Settings, name: str) -> Problems:
    longest = stack.services[name].longest_request_seconds
    if stack.edge.idle_timeout_seconds < longest:
        given, allowed = (
            str(stack.edge.idle_timeout_seconds),
            f"at least {longest}, the longest request of {name}",
        )
        yield Problem(key="edge.idle_timeout_seconds", given=given, allowed=allowed)


def stickiness_ends_with_the_bake(stack: Settings, name: str) -> Problems:
    sticky = stack.services[name].stickiness_seconds
    bake = stack.release.bake_seconds
    if sticky is not None and sticky > bake:
        allowed = (
            f"at most {bake}, the release.bake_seconds: a client must not stick to a colour that has gone"
        )
        yield Problem(key=f"services.{name}.stickiness_seconds", given=str(sticky), allowed=allowed)


def the_counts_are_a_range(stack: Settings, name: str) -> Problems:
    count = stack.services[name].count
    if count.maximum < count.minimum:
        allowed = f"at least the minimum, {count.minimum}"
        yield Problem(key=f"services.{name}.count.maximum", given=str(count.maximum), allowed=allowed)


def a_health_check_ends_before_the_next(stack: Settings, name: str) -> Problems:
    check = stack.services[name].health_check
    if check.timeout_seconds >= check.interval_seconds:
        key, given = f"services.{name}.health_check.timeout_seconds", str(check.timeout_seconds)
        yield Problem(key=key, given=given, allowed=f"less than the interval, {check.interval_seconds}")


def slow_start_is_offered(stack: Settings, name: str) -> Problems:
    given = stack.services[name].slow_start_seconds
    if 0 < given < 30:
        yield Problem(key=f"services.{name}.slow_start_seconds", given=str(given), allowed="0, or 30 to 900")


def the_services_database_exists(stack: Settings, name: str) -> Problems:
    wanted = stack.services[name].database
    if wanted is not None and wanted not in stack.databases:
        have = ", ".join(sorted(stack.databases)) or "it has none"
        yield Problem(
            key=f"services.{name}.database", given=wanted, allowed=f"a database of the stack: {have}"
        )


def no_secret_is_in_plain_text(stack: Settings, name: str) -> Problems:
    """Its value is not repeated."""
    for variable, value in stack.services[name].environment.items():
        if value and (secret_looks.names_one(variable) or secret_looks.VALUE.search(value)):
            yield Problem(
                key=f"services.{name}.environment.{variable}",
                given="a value that looks like a secret (not shown)",
                allowed=f"the name of a Secrets Manager secret, under services.{name}.secrets.{variable}",
            )


def a_variable_has_one_source(stack: Settings, name: str) -> Problems:
    service = stack.services[name]
    given_by_us = DATABASE_VARIABLES if service.database else ()
    for variable in sorted(service.environment.keys() & service.secrets.keys()):
        given, allowed = "a variable that environment sets as well", "each variable in one of the two"
        yield Problem(key=f"services.{name}.secrets.{variable}", given=given, allowed=allowed)
    for section in ("environment", "secrets"):
        for variable in sorted(getattr(service, section).keys() & set(given_by_us)):
            allowed = "another name: the platform sets this one from the service's database"
            yield Problem(key=f"services.{name}.{section}.{variable}", given=variable, allowed=allowed)


# --- each database


def rds_offers_the_replicas(stack: Settings, name: str) -> Problems:
    """RDS creates no PostgreSQL replica of an instance whose password it manages, and here it always does.

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-secrets-manager.html#rds-secrets-manager-limitations
    """
    given = stack.databases[name].read_replicas
    if given and stack.environment != "local":
        allowed = "0: RDS creates none where it manages the password"
        yield Problem(key=f"databases.{name}.read_replicas", given=str(given), allowed=allowed)


def storage_can_grow(stack: Settings, name: str) -> Problems:
    database = stack.databases[name]
    least = -(-database.allocated_storage_gib * 11 // 10)
    if database.max_allocated_storage_gib < least:
        key, given = f"databases.{name}.max_allocated_storage_gib", str(database.max_allocated_storage_gib)
        yield Problem(
            key=key, given=given, allowed=f"at least {least} GiB, a tenth more than allocated_storage_gib"
        )


def insights_are_kept_as_rds_offers(stack: Settings, name: str) -> Problems:
    given = stack.databases[name].performance_insights_retention_days
    if given not in INSIGHTS_DAYS:
        key = f"databases.{name}.performance_insights_retention_days"
        yield Problem(key=key, given=str(given), allowed="7, 731, or a multiple of 31 up to 713 days")


def the_databases_tier_exists(stack: Settings, name: str) -> Problems:
    given = stack.databases[name].backup_tier
    if given not in stack.backups.tiers:
        tiers = ", ".join(sorted(stack.backups.tiers)) or "none is in backups.tiers"
        allowed = f"a tier of the stack: {tiers}"
        yield Problem(key=f"databases.{name}.backup_tier", given=given, allowed=allowed)


def a_production_database_survives(stack: Settings, name: str) -> Problems:
    if stack.environment != "prod":
        return
    database = stack.databases[name]
    for field, wanted in (("multi_az", True), ("deletion_protection", True), ("skip_final_snapshot", False)):
        if getattr(database, field, wanted) is not wanted:
            given, allowed = str(not wanted).lower(), f"{str(wanted).lower()} in prod"
            yield Problem(key=f"databases.{name}.{field}", given=given, allowed=allowed)


def a_production_database_can_go_back_a_week(stack: Settings, name: str) -> Problems:
    given = stack.databases[name].backup_retention_days
    if stack.environment == "prod" and given < PROD_BACKUP_DAYS:
        key = f"databases.{name}.backup_retention_days"
        yield Problem(key=key, given=str(given), allowed=f"at least {PROD_BACKUP_DAYS} days in prod")


# --- each backup tier


def the_lock_is_a_range(stack: Settings) -> Problems:
    lock = stack.backups.lock
    if lock.max_retention_days < lock.min_retention_days:
        allowed = f"at least the minimum, {lock.min_retention_days}"
        yield Problem(
            key="backups.lock.max_retention_days", given=str(lock.max_retention_days), allowed=allowed
        )


def the_lock_admits_the_tier(stack: Settings, name: str) -> Problems:
    lock, given = stack.backups.lock, stack.backups.tiers[name].retention_days
    if not lock.min_retention_days <= given <= lock.max_retention_days:
        allowed = f"{lock.min_retention_days} to {lock.max_retention_days}, the vault's lock"
        yield Problem(key=f"backups.tiers.{name}.retention_days", given=str(given), allowed=allowed)


def cold_storage_pays(stack: Settings, name: str) -> Problems:
    tier = stack.backups.tiers[name]
    cold = tier.cold_storage_after_days
    if cold is not None and tier.retention_days < cold + COLD_DAYS:
        allowed = f"at least {COLD_DAYS} days before the end of the retention of {tier.retention_days}"
        yield Problem(key=f"backups.tiers.{name}.cold_storage_after_days", given=str(cold), allowed=allowed)


def continuous_backups_are_short(stack: Settings, name: str) -> Problems:
    tier = stack.backups.tiers[name]
    if tier.continuous and tier.retention_days > CONTINUOUS_DAYS:
        key, given = f"backups.tiers.{name}.retention_days", str(tier.retention_days)
        yield Problem(key=key, given=given, allowed=f"at most {CONTINUOUS_DAYS} with continuous: true")


# --- production


def copies_are_elsewhere(stack: Settings) -> Problems:
    region = stack.backups.copy_region
    if region is not None and region == stack.region:
        yield Problem(key="backups.copy_region", given=region, allowed="a region other than the stack's")
    if region is None and stack.environment == "prod":
        yield Problem(key="backups.copy_region", given="nothing", allowed="a second region in prod")


def production_survives_a_zone_loss(stack: Settings) -> Problems:
    if stack.environment == "prod" and stack.network.nat != "per-zone":
        yield Problem(key="network.nat", given=stack.network.nat, allowed="per-zone in prod")


def production_is_not_deleted_by_mistake(stack: Settings) -> Problems:
    if stack.environment == "prod" and not stack.edge.deletion_protection:
        yield Problem(key="edge.deletion_protection", given="false", allowed="true in prod")


def a_production_service_has_two_tasks(stack: Settings, name: str) -> Problems:
    given = stack.services[name].count.minimum
    if stack.environment == "prod" and given < 2:
        allowed = "at least 2 in prod: one task is lost with its zone"
        yield Problem(key=f"services.{name}.count.minimum", given=str(given), allowed=allowed)


STACK_RULES: tuple[Callable[[Settings], Problems], ...] = (
    the_network_can_be_cut_into_subnets,
    the_network_overlaps_no_other,
    zones_are_different,
    zones_are_the_regions,
    traffic_is_encrypted,
    https_has_a_certificate,
    the_certificate_is_in_the_region,
    the_test_listener_is_not_for_the_world,
    the_lock_is_a_range,
    copies_are_elsewhere,
    production_survives_a_zone_loss,
    production_is_not_deleted_by_mistake,
    *release_rules.STACK_RULES,
)
SERVICE_RULES: tuple[Callable[[Settings, str], Problems], ...] = (
    the_services_name_is_free,
    the_task_exists_on_fargate,
    the_route_matches_something,
    the_priority_is_its_own,
    a_stopped_task_finishes_its_requests,
    the_edge_waits_for_the_longest_request,
    stickiness_ends_with_the_bake,
    the_counts_are_a_range,
    a_health_check_ends_before_the_next,
    slow_start_is_offered,
    the_services_database_exists,
    no_secret_is_in_plain_text,
    a_variable_has_one_source,
    *release_rules.SERVICE_RULES,
    a_production_service_has_two_tasks,
)
DATABASE_RULES: tuple[Callable[[Settings, str], Problems], ...] = (
    rds_offers_the_replicas,
    storage_can_grow,
    insights_are_kept_as_rds_offers,
    the_databases_tier_exists,
    a_production_database_survives,
    a_production_database_can_go_back_a_week,
)
TIER_RULES: tuple[Callable[[Settings, str], Problems], ...] = (
    the_lock_admits_the_tier,
    cold_storage_pays,
    continuous_backups_are_short,
)


def the_account_is_allowed(stack: Settings, account: str | None) -> Problems:
    if account is not None and account not in stack.accounts:
        allowed = f"credentials of {' or '.join(stack.accounts)}, or this account in the list if it is right"
        yield Problem(key="accounts", given=f"credentials of account {account}", allowed=allowed)


def broken_rules(stack: Settings, account: str | None, *, whole: bool) -> list[Problem]:
    """Every problem that the rules find.

    With `whole=False` the stack is what could be saved of invalid settings: a rule that needs a value
    which is not there says nothing, and every other rule still speaks.
    """
    checks: list[Callable[[], Problems]] = [partial(rule, stack) for rule in STACK_RULES]
    checks.append(partial(the_account_is_allowed, stack, account))
    backups = getattr(stack, "backups", None)
    for rules, names in (
        (SERVICE_RULES, getattr(stack, "services", {})),
        (DATABASE_RULES, getattr(stack, "databases", {})),
        (TIER_RULES, getattr(backups, "tiers", {})),
    ):
        checks += [partial(rule, stack, name) for name in names for rule in rules]
    problems: list[Problem] = []
    for check in checks:
        try:
            problems += check()
        except AttributeError:
            if whole:
                raise
    return problems
