"""Many engines on one AWS stand-in: bridges by configuration, and to each engine its own."""

from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, plugin_pb2, provider_pb2

from localcloud.provider import names
from localcloud.provider.bridge import Bridge, BridgeFailed
from tests.unit.bridges import WAIT_SECONDS, Fleet, Gate, Served, message, plain

VPC = "urn:pulumi:local::switchyard::aws:ec2/vpc:Vpc::main"
ALARM = "urn:pulumi:local::switchyard::switchyard:a:B$aws:cloudwatch/metricAlarm:MetricAlarm::deep"


@pytest.fixture
def served() -> Iterator[Served]:
    with Served.over(Fleet()) as served:
        yield served


def configure(stub: Any, region: str) -> Any:
    return stub.Configure(message("ConfigureRequest", args={"region": region}), timeout=WAIT_SECONDS)


# --- configuration


def test_a_repeated_check_of_a_configuration_is_answered_from_memory(served: Served) -> None:
    def answer(request: Any, _: Any) -> Any:
        return message("CheckResponse", inputs=plain(request.news))

    served.fleet.answers["CheckConfig"] = answer
    asked = message("CheckRequest", urn="urn:a", news={"region": "eu-west-1", "defaultTags": '{"tags": {}}'})
    again = message("CheckRequest", urn="urn:b", news=plain(asked.news))
    first = served.connect().CheckConfig(asked, timeout=WAIT_SECONDS)
    second = served.connect().CheckConfig(again, timeout=WAIT_SECONDS)
    assert plain(first.inputs) == {"region": "eu-west-1", "defaultTags": {"tags": {}}}
    assert second == first
    sent = served.fleet.one("CheckConfig")
    assert plain(sent.news) == {"region": "eu-west-1", "defaultTags": [{"tags": {}}]}


def test_a_configuration_that_failed_its_check_is_checked_again(served: Served) -> None:
    def refuse(*_: Any) -> Any:
        answer = provider_pb2.CheckResponse()
        answer.failures.add(property="region", reason="no such region")
        return answer

    served.fleet.answers["CheckConfig"] = refuse
    asked = message("CheckRequest", news={"region": "nowhere"})
    for _ in range(2):
        answer = served.connect().CheckConfig(asked, timeout=WAIT_SECONDS)
        assert [failure.reason for failure in answer.failures] == ["no such region"]
    assert len(served.fleet.asked("CheckConfig")) == 2


def test_a_repeated_configure_is_answered_from_memory(served: Served) -> None:
    served.fleet.answers["Configure"] = lambda *_: message("ConfigureResponse", supportsPreview=True)
    for stub in (served.connect(), served.connect()):
        assert configure(stub, "eu-west-1").supportsPreview
        stub.Create(message("CreateRequest", urn=VPC), timeout=WAIT_SECONDS)
    served.fleet.one("Configure")
    assert [name for name, _ in served.fleet.recorders[0].requests] == ["Configure", "Create", "Create"]


def test_two_configurations_get_a_bridge_each(served: Served) -> None:
    home, copy = served.connect(), served.connect()
    configure(home, "eu-west-1")
    configure(copy, "eu-central-1")
    home.Create(message("CreateRequest", urn=VPC, properties={"at": "home"}), timeout=WAIT_SECONDS)
    copy.Create(message("CreateRequest", urn=VPC, properties={"at": "copy"}), timeout=WAIT_SECONDS)
    by_region = {
        plain(recorder.requests[0][1].args)["region"]: plain(recorder.requests[1][1].properties)["at"]
        for recorder in served.fleet.recorders
        if recorder.requests
    }
    assert by_region == {"eu-west-1": "home", "eu-central-1": "copy"}


def test_a_bridge_that_died_is_replaced(served: Served) -> None:
    configure(served.connect(), "eu-west-1")
    served.fleet.kill(0)
    stub = served.connect()
    configure(stub, "eu-west-1")
    stub.Create(message("CreateRequest", urn=VPC), timeout=WAIT_SECONDS)
    assert len(served.fleet.asked("Configure")) == 2
    served.fleet.one("Create")


def test_a_configure_that_failed_is_not_kept(served: Served) -> None:
    served.fleet.answers["Configure"] = lambda _, context: context.abort(
        grpc.StatusCode.INVALID_ARGUMENT, "credentials of another account"
    )
    stub = served.connect()
    with pytest.raises(grpc.RpcError) as refused:
        configure(stub, "eu-west-1")
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert refused.value.details() == "credentials of another account"
    assert not served.fleet.bridges[0].alive, "a provider that was half configured can't be used again"
    del served.fleet.answers["Configure"]
    configure(stub, "eu-west-1")
    assert len(served.fleet.asked("Configure")) == 2


def test_a_bridge_that_does_not_start_is_one_message(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    configure(served.connect(), "eu-west-1")

    def fails(*_: Any) -> Bridge:
        raise BridgeFailed("/terraform-provider-aws could not be loaded: no such file")

    monkeypatch.setattr(Bridge, "start", fails)
    with pytest.raises(grpc.RpcError) as refused:
        configure(served.connect(), "eu-central-1")
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert refused.value.details() == "/terraform-provider-aws could not be loaded: no such file"


# --- one engine among many


def test_cancel_cuts_off_the_calls_of_its_own_connection_alone(served: Served) -> None:
    gate = Gate()

    def hold(*_: Any) -> Any:
        gate.hold()
        return message("CreateResponse", id="vpc-1")

    served.fleet.answers["Create"] = hold
    stopped, going = served.connect(), served.connect()
    # Both are on the one bridge, whose own Cancel would end it for both.
    calls = [stub.Create.future(message("CreateRequest", urn=VPC)) for stub in (stopped, going)]
    gate.wait_for(2)
    stopped.Cancel(empty_pb2.Empty(), timeout=WAIT_SECONDS)
    with pytest.raises(grpc.RpcError) as refused:
        calls[0].result(timeout=WAIT_SECONDS)
    assert refused.value.code() == grpc.StatusCode.CANCELLED
    assert refused.value.details() == "the engine cancelled the operation"
    assert not calls[1].done()
    gate.opened.set()
    assert calls[1].result(timeout=WAIT_SECONDS).id == "vpc-1"


def test_log_lines_reach_the_engine_that_asked_under_its_own_urn(served: Served) -> None:
    gate = Gate()

    def log(request: Any, _: Any) -> Any:
        gate.hold()
        recorder = served.fleet.recorders[0]
        recorder.log(engine_pb2.LogRequest(urn=request.urn, severity=engine_pb2.WARNING, message=request.id))
        recorder.log(engine_pb2.LogRequest(urn=request.urn, severity=engine_pb2.DEBUG, message="details"))
        recorder.log(engine_pb2.LogRequest(severity=engine_pb2.WARNING, message="of no resource"))
        return empty_pb2.Empty()

    served.fleet.answers["Delete"] = log
    one, two = served.engine(), served.engine()
    attached, greeted = served.connect(), served.connect()
    attached.Attach(plugin_pb2.PluginAttach(address=one.address), timeout=WAIT_SECONDS)
    greeted.Handshake(provider_pb2.ProviderHandshakeRequest(engine_address=two.address), timeout=WAIT_SECONDS)
    calls = [
        attached.Delete.future(message("DeleteRequest", urn=ALARM, id="alarm")),
        greeted.Delete.future(message("DeleteRequest", urn=VPC, id="vpc")),
    ]
    gate.wait_for(2)
    gate.opened.set()
    for call in calls:
        call.result(timeout=WAIT_SECONDS)
    assert one.lines == [(ALARM, "alarm")]
    assert two.lines == [(VPC, "vpc")]
    assert one.severities == [engine_pb2.WARNING]


def test_a_line_for_an_engine_that_has_gone_harms_nobody(served: Served) -> None:
    def log(request: Any, _: Any) -> Any:
        line = engine_pb2.LogRequest(urn=request.urn, severity=engine_pb2.WARNING, message="late")
        served.fleet.recorders[0].log(line)
        return message("CreateResponse", id="vpc-1")

    served.fleet.answers["Create"] = log
    engine = served.engine()
    stub = served.connect()
    stub.Attach(plugin_pb2.PluginAttach(address=engine.address), timeout=WAIT_SECONDS)
    engine.stop()
    assert stub.Create(message("CreateRequest", urn=VPC), timeout=WAIT_SECONDS).id == "vpc-1"


# --- the plugin as such


def test_it_gives_itself_out_for_the_plugin_that_the_sdk_asks_for(served: Served) -> None:
    stub = served.connect()
    assert stub.GetPluginInfo(empty_pb2.Empty(), timeout=WAIT_SECONDS).version == names.VERSION
    said = stub.Handshake(provider_pb2.ProviderHandshakeRequest(), timeout=WAIT_SECONDS)
    assert said.accept_secrets
    with pytest.raises(grpc.RpcError) as refused:
        stub.GetSchema(provider_pb2.GetSchemaRequest(), timeout=WAIT_SECONDS)
    assert refused.value.details() == "the AWS stand-in serves no schema"


def test_stopping_it_stops_every_bridge(served: Served) -> None:
    configure(served.connect(), "eu-west-1")
    configure(served.connect(), "eu-central-1")
    served.provider.stop()
    assert len(served.fleet.asked("Configure")) == 2
    assert {bridge.alive for bridge in served.fleet.bridges} == {False}
