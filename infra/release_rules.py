"""What has to hold between the settings of releases: one rule, one sentence. Each yields what breaks it."""

import re
from collections.abc import Callable
from zoneinfo import ZoneInfo

from infra import secret_looks
from infra.problems import Problem, Problems
from infra.settings import Settings, WeeklyFreezeSettings

# CloudWatch has one value a minute of what a load balancer counts.
METRIC_SECONDS = 60
# With fewer requests of each colour not even ten times as many errors are more than chance.
ANALYSIS_REQUESTS = 20


def a_freeze_ends_after_it_starts(stack: Settings) -> Problems:
    for number, freeze in enumerate(stack.release.freezes):
        if freeze.ends <= freeze.starts:
            allowed = f"a time after its start, {freeze.starts.isoformat()}"
            key = f"release.freezes.{number}.ends"
            yield Problem(key=key, given=freeze.ends.isoformat(), allowed=allowed)


def a_weekly_freeze_ends_after_it_starts(stack: Settings) -> Problems:
    for number, freeze in enumerate(stack.release.weekly_freezes):
        if freeze.to_hour <= freeze.from_hour:
            allowed = f"an hour after from_hour, {freeze.from_hour}; a night is two: until 24 and from 0"
            key = f"release.weekly_freezes.{number}.to_hour"
            yield Problem(key=key, given=str(freeze.to_hour), allowed=allowed)


def a_weekly_freezes_zone_exists(stack: Settings) -> Problems:
    for number, freeze in enumerate(stack.release.weekly_freezes):
        if not _is_zone(freeze.timezone):
            key = f"release.weekly_freezes.{number}.timezone"
            allowed = "a zone of the IANA database, such as Europe/Berlin or UTC"
            yield Problem(key=key, given=freeze.timezone, allowed=allowed)


def some_hour_of_the_week_is_left(stack: Settings) -> Problems:
    weekly = stack.release.weekly_freezes
    for zone in sorted({freeze.timezone for freeze in weekly}):
        hours = {hour for freeze in weekly if freeze.timezone == zone for hour in _hours(freeze)}
        if len(hours) == 7 * 24:
            allowed = "freezes that leave an hour of the week in which a release may start"
            yield Problem(key="release.weekly_freezes", given="all 168 hours of the week", allowed=allowed)


def a_hotfix_bakes_no_longer(stack: Settings) -> Problems:
    given, bake = stack.release.hotfix_bake_seconds, stack.release.bake_seconds
    if given is not None and given > bake:
        allowed = f"at most {bake}, the bake_seconds of any other release"
        yield Problem(key="release.hotfix_bake_seconds", given=str(given), allowed=allowed)


def a_soak_names_its_stack(stack: Settings) -> Problems:
    release = stack.release
    if release.soak_seconds and release.promoted_from is None:
        allowed = "0, or a release.promoted_from: the stack in which a digest lives that long first"
        yield Problem(key="release.soak_seconds", given=str(release.soak_seconds), allowed=allowed)


def production_is_proven_elsewhere(stack: Settings) -> Problems:
    release = stack.release
    if stack.environment != "prod":
        return
    if release.promoted_from is None:
        allowed = "a stack in prod: there a digest has to be proven first"
        yield Problem(key="release.promoted_from", given="nothing", allowed=allowed)
    elif release.soak_seconds == 0:
        allowed = f"at least 1 in prod: how long a digest has to live in {release.promoted_from}"
        yield Problem(key="release.soak_seconds", given="0", allowed=allowed)


def production_bakes_until_an_alarm_can_fire(stack: Settings) -> Problems:
    alarms = stack.monitoring.alarms
    least = alarms.period_seconds * alarms.evaluation_periods
    if stack.environment == "prod" and stack.release.bake_seconds < least:
        allowed = (
            f"at least {least} in prod: so long an alarm takes to fire "
            f"({alarms.evaluation_periods} periods of {alarms.period_seconds} s)"
        )
        yield Problem(key="release.bake_seconds", given=str(stack.release.bake_seconds), allowed=allowed)


def both_colours_have_traffic_to_compare(stack: Settings) -> Problems:
    release = stack.release
    if release.analysis is None:
        return
    if release.strategy == "all-at-once" or release.step_percent == 100:
        given = release.strategy if release.strategy == "all-at-once" else "a step of 100 percent"
        allowed = (
            "linear or canary in steps below 100 percent: with all traffic on one colour there is no other"
        )
        yield Problem(key="release.analysis", given=given, allowed=allowed)
    # The embedded cloud can be sped up.
    elif release.every_seconds < METRIC_SECONDS and stack.environment != "local":
        allowed = f"at least {METRIC_SECONDS} with an analysis: CloudWatch has one value a minute"
        yield Problem(key="release.every_seconds", given=str(release.every_seconds), allowed=allowed)


def an_analysis_has_enough_to_judge(stack: Settings) -> Problems:
    analysis = stack.release.analysis
    if analysis is not None and analysis.minimum_requests < ANALYSIS_REQUESTS:
        given, key = str(analysis.minimum_requests), "release.analysis.minimum_requests"
        allowed = f"at least {ANALYSIS_REQUESTS}: fewer tell nothing"
        yield Problem(key=key, given=given, allowed=allowed)


def a_check_asks_one_thing(stack: Settings, name: str) -> Problems:
    for number, check in enumerate(stack.services[name].checks):
        if (check.url is None) == (check.command is None):
            given = "neither url nor command" if check.url is None else "both url and command"
            key = f"services.{name}.checks.{number}"
            yield Problem(key=key, given=given, allowed="exactly one of url and command")


def checks_have_names_of_their_own(stack: Settings, name: str) -> Problems:
    names = [check.name for check in stack.services[name].checks]
    for number, given in enumerate(names):
        if given in names[:number]:
            key = f"services.{name}.checks.{number}.name"
            yield Problem(key=key, given=given, allowed="a name that no other check of the service has")


def no_secret_is_in_a_check(stack: Settings, name: str) -> Problems:
    """Its value is not repeated: it would be in the records of every release."""
    service = stack.services[name]
    told = {f"smoke.{n}": [check.path, *check.headers.values()] for n, check in enumerate(service.smoke)}
    told["smoke_command"] = service.smoke_command or []
    told |= {f"checks.{n}": [c.url or "", *(c.command or [])] for n, c in enumerate(service.checks)}
    for place, values in told.items():
        if any(secret_looks.VALUE.search(value) for value in values):
            given = "a value that looks like a secret (not shown)"
            allowed = "a command that gets the secret from its own environment"
            yield Problem(key=f"services.{name}.{place}", given=given, allowed=allowed)


def a_smoke_check_reaches_its_service(stack: Settings, name: str) -> Problems:
    """The test listener routes by path as the production listener does."""
    paths = stack.services[name].route.paths
    for number, check in enumerate(stack.services[name].smoke):
        path = check.path.partition("?")[0]
        if paths and not any(_matches(pattern, path) for pattern in paths):
            key = f"services.{name}.smoke.{number}.path"
            allowed = f"a path of its own route ({', '.join(paths)}): others reach other services"
            yield Problem(key=key, given=check.path, allowed=allowed)


def a_head_request_has_no_body(stack: Settings, name: str) -> Problems:
    for number, check in enumerate(stack.services[name].smoke):
        if check.method == "HEAD" and check.body_contains is not None:
            key = f"services.{name}.smoke.{number}.body_contains"
            allowed = "nothing with method HEAD, whose answer has no body; or method GET"
            yield Problem(key=key, given=check.body_contains, allowed=allowed)


def _matches(pattern: str, path: str) -> bool:
    """A load balancer knows * for any text and ? for any one character."""
    parts = {"*": ".*", "?": "."}
    return re.fullmatch("".join(parts.get(sign, re.escape(sign)) for sign in pattern), path) is not None


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    # An unknown name is a KeyError, one that is no path a ValueError, a directory an OSError.
    except (KeyError, ValueError, OSError):
        return False
    return True


def _hours(freeze: WeeklyFreezeSettings) -> set[tuple[str, int]]:
    return {(day, hour) for day in freeze.days for hour in range(freeze.from_hour, freeze.to_hour)}


STACK_RULES: tuple[Callable[[Settings], Problems], ...] = (
    a_freeze_ends_after_it_starts,
    a_weekly_freeze_ends_after_it_starts,
    a_weekly_freezes_zone_exists,
    some_hour_of_the_week_is_left,
    a_hotfix_bakes_no_longer,
    a_soak_names_its_stack,
    production_is_proven_elsewhere,
    production_bakes_until_an_alarm_can_fire,
    both_colours_have_traffic_to_compare,
    an_analysis_has_enough_to_judge,
)
SERVICE_RULES: tuple[Callable[[Settings, str], Problems], ...] = (
    a_check_asks_one_thing,
    checks_have_names_of_their_own,
    no_secret_is_in_a_check,
    a_smoke_check_reaches_its_service,
    a_head_request_has_no_body,
)
