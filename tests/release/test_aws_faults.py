"""Whatever happens to a call: it ends well after retries or is Unavailable, and never is a wrong answer.

Every AWS call of the adapters is in OPERATIONS; the last test finds one that is missing there.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
from moto import mock_aws

from release.aws.alarms import StackAlarms
from release.aws.backups import newest_backup
from release.aws.balancer import RuleBalancer
from release.aws.fleet import EcsFleet
from release.aws.images import ParameterImages
from release.aws.registry import EcrRegistry
from release.aws.session import ATTEMPTS, caller_account
from release.errors import Unavailable
from release.ports import ColourState, Routing
from tests.release.aws_stack import (
    ACCOUNT,
    ALWAYS,
    FAULTS,
    PREFIX,
    REGION,
    Fault,
    Stack,
    answer,
    build,
    garbage,
    image,
    in_the_way,
)


@dataclass(frozen=True, kw_only=True)
class Call:
    """One AWS call of an adapter.

    act: what makes the adapter do it; returns what it told.
    told: what it tells when all is well.
    look: for a call that changes something, what is there now; and `done`, what is there after it.
    """

    client: str
    operation: str
    act: Callable[[Stack], Any]
    told: Any = None
    look: Callable[[Stack], Any] | None = None
    done: Any = None


def fleet(stack: Stack) -> EcsFleet:
    clients = stack.clients
    return EcsFleet(
        ecs=clients.ecs,
        elbv2=clients.elbv2,
        autoscaling=clients.autoscaling,
        images=ParameterImages(clients.ssm, stack.parts.images_path),
        parts=stack.parts,
        minimums={"api": 2},
    )


def balancer(stack: Stack) -> RuleBalancer:
    return RuleBalancer(stack.clients.elbv2, stack.parts.services)


def images(stack: Stack) -> ParameterImages:
    return ParameterImages(stack.clients.ssm, stack.parts.images_path)


def live_weights(stack: Stack) -> list[int]:
    (rule,) = stack.client("elbv2").describe_rules(
        RuleArns=[stack.outputs["services"]["api"]["production_rule"]]
    )["Rules"]
    return [group["Weight"] for group in rule["Actions"][0]["ForwardConfig"]["TargetGroups"]]


def desired(stack: Stack) -> int:
    (service,) = stack.client("ecs").describe_services(cluster=PREFIX, services=[f"{PREFIX}-api-blue"])[
        "services"
    ]
    count: int = service["desiredCount"]
    return count


def suspended(stack: Stack) -> Mapping[str, bool]:
    (target,) = stack.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")[
        "ScalableTargets"
    ]
    found: Mapping[str, bool] = target.get("SuspendedState", {})
    return found


def green_parameter(stack: Stack) -> list[str]:
    found = stack.client("ssm").get_parameters(Names=["/shop/test/images/api/green"])["Parameters"]
    return [parameter["Value"] for parameter in found]


HEALTHY = ColourState(desired=2, running=2, healthy=1, unhealthy=0)
ALL = {
    "DynamicScalingInSuspended": True,
    "DynamicScalingOutSuspended": True,
    "ScheduledScalingSuspended": True,
}
ROUTING = Routing(production={"blue": 100, "green": 0}, test={"blue": 0, "green": 100})
FIRING = [f"{PREFIX}-api-blue-error-rate: too many"]


def shift(stack: Stack) -> None:
    balancer(stack).write("api", "production", {"blue": 30, "green": 70})


CALLS = [
    Call(client="elbv2", operation="DescribeRules", act=lambda s: balancer(s).read("api"), told=ROUTING),
    Call(client="elbv2", operation="ModifyRule", act=shift, look=live_weights, done=[30, 70]),
    Call(
        client="ecs", operation="DescribeServices", act=lambda s: fleet(s).state("api", "blue"), told=HEALTHY
    ),
    Call(
        client="ecs",
        operation="DescribeTaskDefinition",
        act=lambda s: fleet(s).state("api", "blue"),
        told=HEALTHY,
    ),
    Call(
        client="elbv2",
        operation="DescribeTargetHealth",
        act=lambda s: fleet(s).state("api", "blue"),
        told=HEALTHY,
    ),
    Call(
        client="ecs",
        operation="UpdateService",
        act=lambda s: fleet(s).scale("api", "blue", 5),
        look=desired,
        done=5,
    ),
    Call(
        client="autoscaling",
        operation="DescribeScalableTargets",
        act=lambda s: fleet(s).suspend("api", "blue", "all"),
        look=suspended,
        done=ALL,
    ),
    Call(
        client="autoscaling",
        operation="RegisterScalableTarget",
        act=lambda s: fleet(s).suspend("api", "blue", "all"),
        look=suspended,
        done=ALL,
    ),
    Call(
        client="ssm",
        operation="GetParameters",
        act=lambda s: dict(images(s).read("api")),
        told={"blue": image("a")},
    ),
    Call(
        client="ssm",
        operation="PutParameter",
        act=lambda s: images(s).write("api", "green", image("b")),
        look=green_parameter,
        done=[image("b")],
    ),
    Call(
        client="cloudwatch",
        operation="DescribeAlarms",
        act=lambda s: list(StackAlarms(s.clients.cloudwatch, s.parts).firing("api", "blue")),
        told=FIRING,
    ),
    Call(
        client="sts", operation="GetCallerIdentity", act=lambda s: caller_account(s.clients.sts), told=ACCOUNT
    ),
    Call(
        client="rds",
        operation="DescribeDBSnapshots",
        act=lambda s: newest_backup(s.clients.rds, f"{PREFIX}-main") is not None,
        told=True,
    ),
]
IDS = [call.operation for call in CALLS]


@pytest.fixture(scope="module")
def whole() -> Iterator[Stack]:
    """A stack in which everything that the calls read has something to tell."""
    with mock_aws():
        made = build(("api",))
        made.client("ssm").put_parameter(Name="/shop/test/images/api/blue", Value=image("a"), Type="String")
        made.client("elbv2").register_targets(
            TargetGroupArn=made.outputs["services"]["api"]["target_groups"]["blue"],
            Targets=[{"Id": "10.0.0.7", "Port": 8080}],
        )
        made.client("application-autoscaling").register_scalable_target(
            ServiceNamespace="ecs",
            ResourceId=f"service/{PREFIX}/{PREFIX}-api-blue",
            ScalableDimension="ecs:service:DesiredCount",
            MinCapacity=2,
            MaxCapacity=9,
        )
        made.client("cloudwatch").set_alarm_state(
            AlarmName=f"{PREFIX}-api-blue-error-rate", StateValue="ALARM", StateReason="too many"
        )
        made.client("rds").create_db_instance(
            DBInstanceIdentifier=f"{PREFIX}-main", DBInstanceClass="db.t4g.medium", Engine="postgres"
        )
        yield made


@pytest.fixture
def stack(whole: Stack, monkeypatch: pytest.MonkeyPatch) -> Stack:
    """The stack as no call has changed it yet."""
    # botocore's pauses between attempts are random and up to 4 s; that they are made is botocore's affair.
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    fresh = whole.with_new_clients()
    balancer(fresh).write("api", "production", {"blue": 100, "green": 0})
    fleet(fresh).scale("api", "blue", 2)
    fleet(fresh).suspend("api", "blue", "none")
    whole.client("ssm").delete_parameters(Names=["/shop/test/images/api/green"])
    return fresh.with_new_clients()


def client_of(stack: Stack, call: Call) -> Any:
    return getattr(stack.clients, call.client)


@pytest.mark.parametrize("call", CALLS, ids=IDS)
def test_a_call_that_nothing_is_in_the_way_of_tells_what_is_there(stack: Stack, call: Call) -> None:
    if call.look:
        assert call.look(stack) != call.done, "a call that changes nothing proves nothing"
    assert call.act(stack) == call.told
    if call.look:
        assert call.look(stack) == call.done


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS, ids=IDS)
def test_a_call_that_goes_wrong_for_a_moment_ends_well(stack: Stack, call: Call, fault: str) -> None:
    with in_the_way(
        client_of(stack, call), call.operation, Fault(respond=FAULTS[fault], times=ATTEMPTS - 1)
    ) as planted:
        assert call.act(stack) == call.told
    assert planted.met == ATTEMPTS - 1, (
        "the fault was never met, or met by fewer attempts than are to be made"
    )
    if call.look:
        assert call.look(stack) == call.done


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("call", CALLS, ids=IDS)
def test_a_call_that_keeps_going_wrong_is_unavailable_after_a_few_attempts(
    stack: Stack, call: Call, fault: str
) -> None:
    with (
        in_the_way(
            client_of(stack, call), call.operation, Fault(respond=FAULTS[fault], times=ALWAYS)
        ) as planted,
        pytest.raises(Unavailable, match=r"could not .* in up to 4 attempts: .*"),
    ):
        call.act(stack)
    assert planted.met == ATTEMPTS


@pytest.mark.parametrize("fault", ["connect-timeout", "read-timeout", "reset"])
@pytest.mark.parametrize("call", [call for call in CALLS if call.look], ids=lambda call: call.operation)
def test_a_change_whose_answer_is_lost_is_made_once_more_and_is_the_same(
    stack: Stack, call: Call, fault: str
) -> None:
    with in_the_way(
        client_of(stack, call), call.operation, Fault(respond=FAULTS[fault], times=1, after=True)
    ) as planted:
        call.act(stack)
    assert planted.met == 1
    assert call.look is not None
    assert call.look(stack) == call.done


@pytest.mark.parametrize("call", CALLS, ids=IDS)
def test_half_an_answer_is_no_answer(stack: Stack, call: Call) -> None:
    with (
        in_the_way(client_of(stack, call), call.operation, Fault(respond=garbage, times=ALWAYS)),
        pytest.raises(Unavailable),
    ):
        call.act(stack)


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken", "UnrecognizedClientException"])
@pytest.mark.parametrize("call", CALLS, ids=IDS)
def test_a_call_that_is_not_allowed_is_unavailable_at_once_and_says_so(
    stack: Stack, call: Call, code: str
) -> None:
    with (
        in_the_way(
            client_of(stack, call), call.operation, Fault(respond=answer(403, code), times=ALWAYS)
        ) as planted,
        pytest.raises(Unavailable, match=rf"{code}.*; give these credentials the permission, or others"),
    ):
        call.act(stack)
    assert planted.met == 1, "it does not become allowed by asking again"


@pytest.mark.parametrize("fault", FAULTS)
def test_a_registry_that_does_not_answer_is_unavailable(stack: Stack, fault: str) -> None:
    client = stack.clients.ecr(REGION)
    registry = EcrRegistry(lambda _: client)
    with (
        in_the_way(client, "DescribeImages", Fault(respond=FAULTS[fault], times=ALWAYS)) as planted,
        pytest.raises(Unavailable, match="in up to 4 attempts"),
    ):
        registry.missing(image("a"))
    assert planted.met == ATTEMPTS
    assert registry.missing(image("a")) is not None, "and without the fault it tells what is there"


def test_every_call_of_the_adapters_is_tried_here(stack: Stack) -> None:
    met: set[str] = set()
    for call in CALLS:
        client_of(stack, call).meta.events.register_first(
            "before-send", lambda event_name, **_: met.add(event_name.rsplit(".", 1)[-1])
        )
    for call in CALLS:
        call.act(stack)
    assert met == set(IDS), "an adapter makes a call that no fault was put in the way of"
