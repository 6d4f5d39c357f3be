"""The analysis, against CloudWatch's API and commands and servers that are really run."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import psutil
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import ConnectionClosedError, ConnectTimeoutError, ReadTimeoutError
from moto import mock_aws

from components.colours import Colour
from infra.settings import AnalysisSettings, CheckSettings
from localcloud.aws import cloudwatch as gaps
from release.aws.outputs import ServiceParts, StackParts
from release.aws.session import Clients
from release.checks import sources
from release.checks.analysis import Analysis
from release.errors import NeedsPerson, Unavailable
from release.ports import Outcome, Verdict
from tests.release.faulty import Fault, Seen, Told, free_port, serving

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch import CloudWatchClient

ELB = "arn:aws:elasticloadbalancing:eu-west-1:123456789012"
GROUPS: Mapping[Colour, str] = {
    "blue": f"{ELB}:targetgroup/shop-local-api-blue/1111111111111111",
    "green": f"{ELB}:targetgroup/shop-local-api-green/2222222222222222",
}
BALANCER = "app/shop-local/50dc6c495c0c9188"
PARTS = StackParts(
    region="eu-west-1",
    production_url="http://production.example",
    test_url="http://test.example:8080",
    cluster="shop-local",
    release_table="shop-local-releases",
    images_path="/shop/local/images",
    alerts_topic="arn:aws:sns:eu-west-1:123456789012:shop-local-alerts",
    databases={},
    services={
        "api": ServiceParts(
            production_rule=f"{ELB}:listener-rule/{BALANCER}/f2f7dc8efc522ab2/9683b2d02a6cabee",
            test_rule=f"{ELB}:listener-rule/{BALANCER}/aaaaaaaaaaaaaaaa/bbbbbbbbbbbbbbbb",
            target_groups=GROUPS,
            ecs_services={"blue": "api-blue", "green": "api-green"},
            alarms={"blue": (), "green": ()},
        )
    },
)
LIMITS = AnalysisSettings(
    minimum_requests=500, max_error_rate_increase_percent=1, max_latency_increase_percent=20
)
# A whole minute of not long ago: CloudWatch keeps nothing of the far past.
START = datetime.fromtimestamp(int(time.time()) // 60 * 60, UTC) - timedelta(hours=2)


@pytest.fixture
def cloudwatch(monkeypatch: pytest.MonkeyPatch) -> "Iterator[CloudWatchClient]":
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "testing")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "testing")
    with mock_aws():
        gaps.add()
        yield Clients(boto3.Session(region_name="eu-west-1")).cloudwatch


def publish(
    client: "CloudWatchClient",
    colour: Colour,
    minute: int,
    *,
    requests: int,
    errors: int = 0,
    refused: int = 0,
    seconds: float = 0.1,
    balancer: str = BALANCER,
) -> None:
    """One minute of one target group, as a load balancer reports it: no zeros, times as a distribution."""
    dimensions: Any = [
        {"Name": "LoadBalancer", "Value": balancer},
        {"Name": "TargetGroup", "Value": GROUPS[colour].rsplit(":", 1)[1]},
    ]
    at = START + timedelta(minutes=minute, seconds=30)
    data: list[Any] = [
        {"MetricName": name, "Value": count, "Unit": "Count", "Dimensions": dimensions, "Timestamp": at}
        for name, count in {
            "RequestCount": requests,
            "HTTPCode_Target_5XX_Count": errors,
            "TargetConnectionErrorCount": refused,
        }.items()
        if count
    ]
    if requests:
        spread = [seconds * (0.5 + n / 20) for n in range(20)]
        data.append(
            {
                "MetricName": "TargetResponseTime",
                "Values": spread,
                "Counts": [requests / 20] * 20,
                "Unit": "Seconds",
                "Dimensions": dimensions,
                "Timestamp": at,
            }
        )
    client.put_metric_data(Namespace="AWS/ApplicationELB", MetricData=data)


def judged(
    client: "CloudWatchClient",
    *,
    minutes: float = 10,
    since: float = 0,
    checks: Sequence[CheckSettings] = (),
    limits: AnalysisSettings | None = LIMITS,
    **more: Any,
) -> dict[str, Verdict]:
    """The verdicts by source on green against blue, asked a settled minute after the last one."""
    analysis = Analysis(client, PARTS, limits=limits, checks={"api": checks}, **more)
    until = START + timedelta(minutes=minutes, seconds=65)
    found = analysis.judge("api", "green", "blue", START + timedelta(minutes=since), until)
    assert len({verdict.source for verdict in found}) == len(found)
    return {verdict.source: verdict for verdict in found}


def outcomes(found: Mapping[str, Verdict]) -> dict[str, str]:
    return {source: verdict.outcome.value for source, verdict in found.items()}


def test_a_colour_like_the_other_passes_though_its_share_is_a_tenth(cloudwatch: "CloudWatchClient") -> None:
    for minute in range(10):
        publish(cloudwatch, "blue", minute, requests=900, errors=9)
        publish(cloudwatch, "green", minute, requests=100, errors=1)
    found = judged(cloudwatch)
    assert outcomes(found) == {"error rate": "pass", "latency": "pass"}
    assert (
        "1.00% of the new colour's requests failed and 1.00% of the old one's" in found["error rate"].reason
    )
    assert "1,000 requests against 9,000" in found["error rate"].reason


def test_more_errors_of_the_new_colour_fail(cloudwatch: "CloudWatchClient") -> None:
    for minute in range(3):
        publish(cloudwatch, "blue", minute, requests=1800, errors=2)
        publish(cloudwatch, "green", minute, requests=200, errors=20)
    found = judged(cloudwatch, minutes=3)
    assert outcomes(found) == {"error rate": "fail", "latency": "insufficient"}


def test_more_errors_of_the_old_colour_pass(cloudwatch: "CloudWatchClient") -> None:
    for minute in range(10):
        publish(cloudwatch, "green", minute, requests=900)
        publish(cloudwatch, "blue", minute, requests=900, errors=300, seconds=3)
    assert outcomes(judged(cloudwatch)) == {"error rate": "pass", "latency": "pass"}


def test_a_task_that_takes_no_connection_counts_as_failing(cloudwatch: "CloudWatchClient") -> None:
    for minute in range(3):
        publish(cloudwatch, "blue", minute, requests=1800)
        publish(cloudwatch, "green", minute, requests=200, refused=50)
    assert judged(cloudwatch, minutes=3)["error rate"].outcome is Outcome.FAIL


def test_a_slower_new_colour_fails(cloudwatch: "CloudWatchClient") -> None:
    for minute in range(6):
        publish(cloudwatch, "blue", minute, requests=1800, seconds=0.1 + 0.001 * minute)
        publish(cloudwatch, "green", minute, requests=400, seconds=0.2 + 0.001 * minute)
    found = judged(cloudwatch, minutes=6)
    assert outcomes(found) == {"error rate": "pass", "latency": "fail"}
    assert "p99" in found["latency"].reason


def test_no_figures_are_insufficient_never_a_pass(cloudwatch: "CloudWatchClient") -> None:
    assert outcomes(judged(cloudwatch)) == {"error rate": "insufficient", "latency": "insufficient"}


def test_figures_of_another_load_balancer_are_not_taken(cloudwatch: "CloudWatchClient") -> None:
    for minute in range(10):
        publish(cloudwatch, "blue", minute, requests=900, balancer="app/other/1234")
        publish(cloudwatch, "green", minute, requests=900, balancer="app/other/1234")
    assert judged(cloudwatch)["error rate"].outcome is Outcome.INSUFFICIENT


def test_errors_from_before_the_comparison_are_not_held_against_it(cloudwatch: "CloudWatchClient") -> None:
    for minute in range(10):
        publish(cloudwatch, "blue", minute, requests=900)
        publish(cloudwatch, "green", minute, requests=900, errors=900 if minute < 3 else 0)
    assert judged(cloudwatch)["error rate"].outcome is Outcome.FAIL
    assert judged(cloudwatch, since=2.5)["error rate"].outcome is Outcome.PASS


def test_a_minute_that_may_still_be_filled_is_not_looked_at(cloudwatch: "CloudWatchClient") -> None:
    for minute in range(4):
        publish(cloudwatch, "blue", minute, requests=900)
        publish(cloudwatch, "green", minute, requests=900, errors=900 if minute == 3 else 0)
    assert judged(cloudwatch, minutes=3)["error rate"].outcome is Outcome.PASS
    assert judged(cloudwatch, minutes=4)["error rate"].outcome is Outcome.FAIL


def test_only_the_newest_half_hour_is_looked_at(cloudwatch: "CloudWatchClient") -> None:
    for minute in range(35):
        publish(cloudwatch, "blue", minute, requests=900)
        publish(cloudwatch, "green", minute, requests=900, errors=300 if minute < 5 else 0)
    found = judged(cloudwatch, minutes=35)["error rate"]
    assert found.outcome is Outcome.PASS
    assert "27,000 requests against 27,000" in found.reason


def test_the_stages_of_one_release_are_compared_together(cloudwatch: "CloudWatchClient") -> None:
    for minute in range(10):
        publish(cloudwatch, "blue", minute, requests=900)
        publish(cloudwatch, "green", minute, requests=100)
    began = [START]
    analysis = Analysis(cloudwatch, PARTS, limits=LIMITS, checks={}, began=lambda: began[0])

    def requests(since: int) -> str:
        found = analysis.judge(
            "api", "green", "blue", START + timedelta(minutes=since), START + timedelta(minutes=11)
        )
        return found[0].reason

    assert "800 requests against 7,200" in requests(2)
    assert "800 requests against 7,200" in requests(5), "the second stage goes on from the first"
    began[0] = START + timedelta(minutes=4)
    assert "500 requests against 4,500" in requests(5), "another release begins anew"


def test_without_limits_only_own_checks_judge(cloudwatch: "CloudWatchClient") -> None:
    assert judged(cloudwatch, limits=None) == {}
    check = CheckSettings(name="orders", command=[sys.executable, "-c", "pass"])
    assert outcomes(judged(cloudwatch, limits=None, checks=[check])) == {"check orders": "pass"}


def test_the_period_follows_a_clock_that_is_sped_up(cloudwatch: "CloudWatchClient") -> None:
    for minute in range(3):
        publish(cloudwatch, "blue", minute, requests=900)
        publish(cloudwatch, "green", minute, requests=900)
    # Five seconds after the end of the third minute.
    found = judged(cloudwatch, minutes=2, period_seconds=30, settle_seconds=2)
    assert "2,700 requests against 2,700" in found["error rate"].reason
    found = judged(cloudwatch, minutes=2)
    assert "1,800 requests against 1,800" in found["error rate"].reason


# --- CloudWatch that does not answer, or not with all


def answer(status: int, body: str) -> Any:
    class Raw:
        def stream(self, **_: Any) -> Iterator[bytes]:
            yield body.encode()

    return AWSResponse("https://monitoring.eu-west-1.amazonaws.com", status, HTTPHeaders(), Raw())


def refusal(code: str) -> str:
    return f'{{"__type":"{code}","message":"no"}}'


def instead_of_sending(client: "CloudWatchClient", hook: Any) -> None:
    client.meta.events.register_first("before-send.cloudwatch.GetMetricData", hook)


@pytest.mark.parametrize(
    "fault",
    [
        answer(400, refusal("ThrottlingException")),
        answer(500, "{}"),
        answer(503, "<html>not now</html>"),
        ConnectTimeoutError(endpoint_url="https://monitoring"),
        ReadTimeoutError(endpoint_url="https://monitoring"),
        ConnectionClosedError(endpoint_url="https://monitoring"),
    ],
    ids=["throttled", "500", "503", "connect timeout", "read timeout", "reset"],
)
class TestFaults:
    def test_that_passes_is_tried_again(
        self, cloudwatch: "CloudWatchClient", fault: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "sleep", lambda _seconds: None)
        faults = [fault, fault]
        for minute in range(6):
            publish(cloudwatch, "blue", minute, requests=900)
            publish(cloudwatch, "green", minute, requests=900)
        self.inject(cloudwatch, faults)
        assert judged(cloudwatch, minutes=6)["error rate"].outcome is Outcome.PASS
        assert not faults, "the faults were met"

    def test_that_stays_is_unavailable_and_no_verdict(
        self, cloudwatch: "CloudWatchClient", fault: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(time, "sleep", lambda _seconds: None)
        self.inject(cloudwatch, [fault] * 100)
        with pytest.raises(Unavailable, match="metrics of both colours"):
            judged(cloudwatch)

    @staticmethod
    def inject(client: "CloudWatchClient", faults: list[Any]) -> None:
        def instead(**_: Any) -> Any:
            if not faults:
                return None
            fault = faults.pop()
            if isinstance(fault, Exception):
                raise fault
            return fault

        instead_of_sending(client, instead)


def test_a_refusal_for_good_needs_a_person_or_a_permission(cloudwatch: "CloudWatchClient") -> None:
    instead_of_sending(cloudwatch, lambda **_: answer(400, refusal("AccessDenied")))
    with pytest.raises((Unavailable, NeedsPerson), match="could not read the metrics"):
        judged(cloudwatch)


def altered(client: "CloudWatchClient", change: Any) -> None:
    def after(parsed: Any, **_: Any) -> None:
        if "MetricDataResults" in parsed:
            change(parsed)

    client.meta.events.register("after-call.cloudwatch.GetMetricData", after)


@pytest.mark.parametrize("state", ["PartialData", "InternalError", "Forbidden"])
def test_half_of_the_figures_are_none(cloudwatch: "CloudWatchClient", state: str) -> None:
    def change(parsed: Any) -> None:
        parsed["MetricDataResults"][3]["StatusCode"] = state

    altered(cloudwatch, change)
    with pytest.raises(Unavailable, match="did not tell all of new_p50"):
        judged(cloudwatch)


def test_a_metric_that_the_answer_leaves_out_is_not_zero(cloudwatch: "CloudWatchClient") -> None:
    altered(cloudwatch, lambda parsed: parsed["MetricDataResults"].pop())
    with pytest.raises(Unavailable, match="old_p99"):
        judged(cloudwatch)


def test_figures_that_come_in_pages_are_put_together(cloudwatch: "CloudWatchClient") -> None:
    for minute in range(6):
        publish(cloudwatch, "blue", minute, requests=900)
        publish(cloudwatch, "green", minute, requests=900, errors=300)
    kept: list[Any] = []

    def change(parsed: Any) -> None:
        results = parsed["MetricDataResults"]
        if not kept:
            # The first page holds half of the points of all, and says that there are more.
            for result in results:
                half = len(result["Values"]) // 2
                kept.append(
                    {**result, "Values": result["Values"][half:], "Timestamps": result["Timestamps"][half:]}
                )
                result["Values"], result["Timestamps"] = result["Values"][:half], result["Timestamps"][:half]
                result["StatusCode"] = "PartialData"
            parsed["NextToken"] = "more"
        else:
            parsed["MetricDataResults"] = kept
            parsed.pop("NextToken", None)

    altered(cloudwatch, change)
    found = judged(cloudwatch, minutes=6)["error rate"]
    assert "5,400 requests against 5,400" in found.reason
    assert found.outcome is Outcome.FAIL


def test_a_check_that_has_failed_is_told_though_cloudwatch_is_away(cloudwatch: "CloudWatchClient") -> None:
    instead_of_sending(cloudwatch, lambda **_: answer(400, refusal("AccessDenied")))
    check = CheckSettings(name="orders", command=[sys.executable, "-c", "exit(1)"])
    assert outcomes(judged(cloudwatch, checks=[check])) == {"check orders": "fail"}


# --- own checks


def own(**settings: Any) -> Verdict:
    variables = {"SERVICE": "api", "COLOUR": "green", "TEST_URL": "http://t", "PRODUCTION_URL": "http://p"}
    return sources.own_check(CheckSettings(name="orders", **settings), variables)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


@pytest.mark.parametrize(
    ("status", "outcome"), [(0, Outcome.PASS), (1, Outcome.FAIL), (75, Outcome.INSUFFICIENT)]
)
def test_a_command_judges_by_its_status(status: int, outcome: Outcome) -> None:
    verdict = own(command=python(f"print('4 orders'); exit({status})"))
    assert verdict == Verdict(
        outcome=outcome, source="check orders", reason=f"ended with status {status}: 4 orders"
    )


def test_a_command_knows_what_it_judges() -> None:
    names = "SERVICE COLOUR TEST_URL PRODUCTION_URL"
    verdict = own(command=python(f"import os; print(*(os.environ[n] for n in '{names}'.split()))"))
    assert verdict.reason.endswith("api green http://t http://p")


def test_the_last_words_of_a_command_are_shown_and_no_more() -> None:
    verdict = own(command=python("for n in range(100000): print('line', n)\nexit(2)"))
    assert verdict.reason == "ended with status 2: line 99997 | line 99998 | line 99999"
    assert len(own(command=python("print('x' * 100000)")).reason) < 400


def test_a_secret_of_the_environment_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_API_KEY", "ver-y-secret")
    verdict = own(command=python("import os; print('key', os.environ['SHOP_API_KEY']); exit(1)"))
    assert verdict.reason == "ended with status 1: key ***"


def test_a_command_that_does_not_exist_has_no_opinion() -> None:
    verdict = own(command=["/does/not/exist"])
    assert verdict.outcome is Outcome.INSUFFICIENT
    assert "/does/not/exist could not be started: No such file or directory" in verdict.reason


def test_a_command_that_takes_too_long_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    code = (
        "import os, signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pids')!r}, 'w').write(f'{{os.getpid()}} {{child.pid}}')\n"
        "print('still waiting', flush=True)\n"
        "time.sleep(60)\n"
    )
    verdict = own(command=python(code), timeout_seconds=1)
    assert verdict.outcome is Outcome.INSUFFICIENT, "no answer is neither a yes nor a no"
    assert "not done after 1 s, so it was ended; it said: still waiting" in verdict.reason
    for pid in map(int, (tmp_path / "pids").read_text().split()):
        assert not lives(pid)


def test_what_a_command_leaves_in_the_background_is_ended_too(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'pid')!r}, 'w').write(str(child.pid))\n"
    )
    assert own(command=python(code)).outcome is Outcome.PASS
    assert not lives(int((tmp_path / "pid").read_text()))


def lives(pid: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return False
        except psutil.NoSuchProcess:
            return False
        time.sleep(0.02)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    return True


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(200, Outcome.PASS), (204, Outcome.PASS), (302, Outcome.FAIL), (404, Outcome.FAIL), (503, Outcome.FAIL)],
)
def test_a_url_judges_by_its_status(status: int, outcome: Outcome) -> None:
    body = "" if status == 204 else "burn rate 3"
    with serving(Told(status=status, body=body, headers={"Location": "/elsewhere"})) as server:
        verdict = own(url=server.url + "/burn?service=api")
        assert [seen.path for seen in server.seen] == ["/burn?service=api"], "no redirect is followed"
    assert verdict.outcome is outcome
    assert verdict.reason == f"answered {status}" + (f": {body}" if body else "")


@pytest.mark.parametrize("fault", ["hang", "reset", "garbage", "drip"])
def test_a_url_without_an_answer_has_no_opinion(fault: Fault) -> None:
    with serving(fault) as server:
        verdict = own(url=server.url, timeout_seconds=1)
    assert verdict.outcome is Outcome.INSUFFICIENT
    assert verdict.reason.startswith("no answer, so no opinion: ")


def test_a_url_where_nobody_listens_has_no_opinion() -> None:
    verdict = own(url=f"http://127.0.0.1:{free_port()}/")
    assert verdict.outcome is Outcome.INSUFFICIENT
    assert "could not connect: Connection refused, tried 3 times" in verdict.reason


def test_a_connection_that_is_cut_off_once_is_tried_again() -> None:
    asked: list[Seen] = []

    def behave(seen: Seen) -> Told | Fault:
        asked.append(seen)
        return "reset" if len(asked) == 1 else Told()

    with serving(behave) as server:
        assert own(url=server.url).outcome is Outcome.PASS


def test_checks_are_asked_side_by_side_and_told_in_order(cloudwatch: "CloudWatchClient") -> None:
    # Each answers only once both were asked.
    together = threading.Barrier(2, timeout=20)

    def behave(_seen: Seen) -> Told:
        together.wait()
        return Told()

    with serving(behave) as server:
        checks = [CheckSettings(name=name, url=f"{server.url}/{name}") for name in ("first", "second")]
        found = judged(cloudwatch, checks=checks, limits=None)
    assert list(found) == ["check first", "check second"]
    assert set(outcomes(found).values()) == {"pass"}
