"""The AWS plugin's stand-in, over the real provider: pulumi-aws's names, and many engines on one process."""

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import psutil
import pytest
from google.protobuf import empty_pb2
from pulumi.runtime.proto import engine_pb2, plugin_pb2

from localcloud import aws_names, cloud, engine
from tests.cloud.plugins import WAIT_SECONDS, HangingAws, Plugin, message, offline, plain, plugin

ACCOUNT = "100000000092"
STACK = "urn:pulumi:local::switchyard::"
VPC = f"{STACK}aws:ec2/vpc:Vpc::main"
ADDRESS = f"{STACK}switchyard:network:Network$aws:ec2/eip:Eip::gate$way"
ALARM = f"{STACK}switchyard:a:B$aws:cloudwatch/metricAlarm:MetricAlarm::deep"
LIFECYCLE = f"{STACK}aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration::logs"
UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"  # as engine and plugins write it
QUEUE = "aws:sqs/queue:Queue"


@pytest.fixture(scope="module", autouse=True)
def stand_in(embedded_cloud: cloud.Cloud) -> None:  # noqa: ARG001 - lays it out
    if not cloud.engine_uses_the_bridge():
        pytest.skip("Pulumi's own plugin is installed here")


@pytest.fixture(scope="module")
def aws() -> Iterator[HangingAws]:
    aws = HangingAws()
    yield aws
    aws.close()


@pytest.fixture(scope="module")
def variables(aws: HangingAws) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": aws.endpoint,
        "AWS_ACCESS_KEY_ID": "embedded",
        "AWS_SECRET_ACCESS_KEY": "embedded",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@pytest.fixture(scope="module")
def shared(variables: dict[str, str]) -> Iterator[Plugin]:
    """A stand-in for the tests that leave it as it was."""
    with plugin(variables) as running:
        yield running


@pytest.fixture
def fresh(variables: dict[str, str]) -> Iterator[Plugin]:
    with plugin(variables) as running:
        yield running


def refused(call: Any) -> grpc.Call:
    with pytest.raises(grpc.RpcError) as error:
        call()
    found: grpc.Call = error.value
    return found


# --- names


def test_an_attribute_has_pulumi_awss_name_both_ways(shared: Plugin) -> None:
    inputs = {
        "name": "deep",
        "comparisonOperator": "GreaterThanThreshold",
        "evaluationPeriods": 1,
        "metricName": "Depth",
        "namespace": "Pool",
        "period": 60,
        "statistic": "Sum",
        "threshold": 1,
    }
    stub = shared.configured()
    checked = stub.Check(message("CheckRequest", urn=ALARM, news=inputs), timeout=WAIT_SECONDS)
    assert list(checked.failures) == []
    assert plain(checked.inputs)["name"] == "deep"
    made = stub.Create(
        message("CreateRequest", urn=ALARM, properties=plain(checked.inputs), preview=True),
        timeout=WAIT_SECONDS,
    )
    assert plain(made.properties)["name"] == "deep"
    assert "alarmName" not in plain(made.properties)


def test_what_is_wrong_is_told_under_pulumi_awss_name(shared: Plugin) -> None:
    request = message("CheckRequest", urn=ALARM, news={"name": "n" * 300, "comparisonOperator": "Above"})
    answer = shared.configured().Check(request, timeout=WAIT_SECONDS)
    told = [failure.reason for failure in answer.failures]
    assert any("length of alarm_name" in each and each.endswith("'deep.name'.") for each in told), told
    assert any(each.endswith("'deep.comparisonOperator'.") for each in told), told


def test_a_block_is_one_object_on_the_way_there_and_back(shared: Plugin) -> None:
    def rules(prefix: str) -> dict[str, Any]:
        rule = {"id": "old", "status": "Enabled", "filter": {"prefix": prefix}, "expiration": {"days": 9}}
        return {"bucket": "logs", "rules": [rule]}

    stub = shared.configured()
    checked = stub.Check(message("CheckRequest", urn=LIFECYCLE, news=rules("a/")), timeout=WAIT_SECONDS)
    assert list(checked.failures) == []
    inputs = plain(checked.inputs)
    assert inputs["rules"][0]["filter"]["prefix"] == "a/"
    state = plain(
        stub.Create(
            message("CreateRequest", urn=LIFECYCLE, properties=inputs, preview=True), timeout=WAIT_SECONDS
        ).properties
    )
    assert state["rules"][0]["expiration"]["days"] == 9
    # What AWS would have said.
    state = {name: "" if value == UNKNOWN else value for name, value in state.items()} | {"id": "logs"}

    def changed(news: dict[str, Any]) -> list[str]:
        request = message("DiffRequest", urn=LIFECYCLE, id="logs", olds=state, old_inputs=inputs, news=news)
        return list(stub.Diff(request, timeout=WAIT_SECONDS).diffs)

    assert changed(inputs) == []
    assert changed(rules("b/")) == ["rules"]


@pytest.mark.parametrize("method", ["Check", "Diff", "Create", "Read", "Update", "Delete", "Invoke"])
def test_an_unknown_type_is_one_clear_message(shared: Plugin, method: str) -> None:
    named = {"tok": QUEUE} if method == "Invoke" else {"urn": f"{STACK}{QUEUE}::q"}
    request = message(f"{method}Request", **named)
    error = refused(lambda: getattr(shared.connect(), method)(request, timeout=WAIT_SECONDS))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert error.details() == QUEUE + aws_names.UNKNOWN


def test_it_says_which_plugin_it_stands_for(shared: Plugin) -> None:
    answer = shared.connect().GetPluginInfo(empty_pb2.Empty(), timeout=WAIT_SECONDS)
    assert answer.version == aws_names.VERSION


# --- configurations


def check(stub: Any, **configuration: Any) -> Any:
    request = message(
        "CheckRequest", urn=f"{STACK}pulumi:providers:aws::default", news=offline(**configuration)
    )
    return stub.CheckConfig(request, timeout=WAIT_SECONDS)


def test_blocks_of_the_configuration_are_objects(shared: Plugin) -> None:
    tags = {"tags": {"Stack": "local"}}
    answer = check(shared.connect(), defaultTags=json.dumps(tags))
    assert list(answer.failures) == []
    assert json.loads(plain(answer.inputs)["defaultTags"]) == tags


def test_a_wrong_configuration_is_told_each_time(shared: Plugin) -> None:
    role = json.dumps({"roleArn": "of-nobody"})
    for stub in (shared.connect(), shared.connect()):
        assert [failure.reason for failure in check(stub, assumeRole=role).failures] != []


def test_one_process_serves_a_configuration_and_each_has_its_own(fresh: Plugin) -> None:
    for _ in range(2):
        fresh.configured()
    assert len(fresh.providers()) == 1, "the second engine was answered from memory"
    other = fresh.configured(region="eu-central-1")
    assert len(fresh.providers()) == 2
    other.Check(message("CheckRequest", urn=VPC, news={"cidrBlock": "10.0.0.0/16"}), timeout=WAIT_SECONDS)
    assert len(fresh.providers()) == 2


def test_a_provider_that_died_is_replaced(fresh: Plugin) -> None:
    fresh.configured()
    (died,) = fresh.providers()
    guarding = died.parents()[0]
    died.kill()
    psutil.wait_procs([guarding], WAIT_SECONDS)
    stub = fresh.configured()
    answer = stub.Check(
        message("CheckRequest", urn=VPC, news={"cidrBlock": "10.0.0.0/16"}), timeout=WAIT_SECONDS
    )
    assert plain(answer.inputs)["cidrBlock"] == "10.0.0.0/16"
    assert [one.pid for one in fresh.providers()] != [died.pid]


def test_a_configuration_that_failed_is_not_kept(fresh: Plugin) -> None:
    for _ in range(2):
        error = refused(lambda: fresh.configured(sharedConfigFiles=json.dumps(["/none"]), profile="none"))
        assert "none" in (error.details() or "")
    fresh.configured()
    assert len(fresh.providers()) == 1, "one that was half configured can't be used again"


def test_a_configuration_ends_when_nobody_has_used_it_for_a_while(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    monkeypatch.setattr("tests.cloud.plugins.AWS_PLUGIN", another(tmp_path, idle_seconds=0.2))
    with plugin(variables) as running:
        first, second = running.configured(), running.configured()
        (used,) = running.providers()
        running.close(first)
        time.sleep(1)
        assert running.providers() == [used], "the second has it still"
        second.Check(message("CheckRequest", urn=VPC, news={}), timeout=WAIT_SECONDS)
        running.close(second)
        assert psutil.wait_procs([used], WAIT_SECONDS)[1] == []
        running.configured().Check(message("CheckRequest", urn=VPC, news={}), timeout=WAIT_SECONDS)


def another(folder: Path, **settings: Any) -> Path:
    """The stand-in with other settings."""
    program = engine.AWS_PLUGIN.read_text().splitlines()[-1].split('"')[1]
    given = json.loads(engine.AWS_PLUGIN.with_name("stand-in.json").read_text())
    (folder / "settings.json").write_text(json.dumps(given | settings))
    wrapper = folder / "plugin"
    wrapper.write_text(f'#!/bin/sh\nexec "{program}" "{folder}/settings.json" "$@"\n')
    wrapper.chmod(0o755)
    return wrapper


def test_a_provider_that_does_not_start_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    given = json.loads(engine.AWS_PLUGIN.with_name("stand-in.json").read_text())["command"]
    missing = tmp_path / "terraform-provider-aws"
    wrapper = another(tmp_path, command=[*given[:-1], str(missing)])
    monkeypatch.setattr("tests.cloud.plugins.AWS_PLUGIN", wrapper)
    with plugin(variables) as broken:
        error = refused(broken.configured)
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert (error.details() or "").startswith(f"{missing} could not be loaded: ")


# --- one engine among many


def test_cancel_leaves_what_aws_is_making(shared: Plugin, aws: HangingAws) -> None:
    stub = shared.configured()
    request = message("CreateRequest", urn=VPC, properties={"cidrBlock": "10.0.0.0/16"})
    call = stub.Create.future(request, timeout=WAIT_SECONDS)
    aws.wait_for(1)
    stub.Cancel(empty_pb2.Empty(), timeout=WAIT_SECONDS)
    with pytest.raises(grpc.FutureTimeoutError):
        call.result(timeout=1)
    call.cancel()


def test_a_fault_of_the_bridge_ends_one_call_and_no_more(shared: Plugin) -> None:
    stub, other = shared.configured(), shared.configured()
    news = {"cidrBlock": "10.0.0.0/16"}
    faulty = message("CheckRequest", urn="no-urn::at::aws:ec2/vpc:Vpc::all", news=news)
    error = refused(lambda: stub.Check(faulty, timeout=WAIT_SECONDS))
    assert error.code() == grpc.StatusCode.INTERNAL
    assert (error.details() or "").startswith(
        "the AWS stand-in failed in /pulumirpc.ResourceProvider/Check: "
    )
    for each in (stub, other):
        answer = each.Check(message("CheckRequest", urn=VPC, news=news), timeout=WAIT_SECONDS)
        assert plain(answer.inputs)["cidrBlock"] == "10.0.0.0/16"


def test_a_connection_without_a_configuration_is_told_so(shared: Plugin) -> None:
    shared.configured()
    request = message("CheckRequest", urn=VPC, news={"cidrBlock": "10.0.0.0/16"})
    error = refused(lambda: shared.connect().Check(request, timeout=WAIT_SECONDS))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    assert "was not configured on this connection" in (error.details() or "")


def test_a_provider_that_crashed_has_the_last_word(fresh: Plugin, aws: HangingAws) -> None:
    stub = fresh.configured()
    request = message("CreateRequest", urn=VPC, properties={"cidrBlock": "10.0.0.0/16"})
    call = stub.Create.future(request, timeout=WAIT_SECONDS)
    aws.wait_for(1)
    (provider,) = fresh.providers()
    provider.send_signal(signal.SIGABRT)
    told = refused(call.result).details() or ""
    assert "terraform-provider-aws" in told.splitlines()[0]
    assert " crashed: " in told.splitlines()[0]
    assert "\nSIGABRT: abort\n" in told
    # Another one's crash is not the next one's.
    call = fresh.configured().Create.future(request, timeout=WAIT_SECONDS)
    aws.wait_for(1)
    (provider,) = fresh.providers()
    provider.kill()
    told = refused(call.result).details() or ""
    assert " does not answer: " in told
    assert "SIGABRT" not in told


def test_log_lines_reach_the_engine_that_asked_under_its_own_urn(shared: Plugin) -> None:
    stubs = {ADDRESS: shared.configured(), f"{ADDRESS}-2": shared.configured()}
    engines = {urn: shared.engine() for urn in stubs}
    # As an engine says where it is that started the plugin, and as one that was given its port.
    for (urn, stub), attach in zip(stubs.items(), (True, False), strict=True):
        address = engines[urn].address
        if attach:
            stub.Attach(plugin_pb2.PluginAttach(address=address), timeout=WAIT_SECONDS)
        else:
            greeting = message("ProviderHandshakeRequest", engine_address=address)
            assert refused(lambda stub=stub, greeting=greeting: stub.Handshake(greeting)).code() == (
                grpc.StatusCode.UNIMPLEMENTED
            )
    for urn, stub in stubs.items():
        stub.Check(message("CheckRequest", urn=urn, news={"vpc": True}), timeout=WAIT_SECONDS)
    for urn, listening in engines.items():
        assert [told for told, _ in listening.lines] == [urn], listening.lines
        assert "vpc is deprecated. Use domain instead." in listening.lines[0][1]
        assert listening.severities == [engine_pb2.WARNING]


def test_a_warning_about_the_configuration_reaches_the_engine_that_gave_it(
    variables: dict[str, str], aws: HangingAws
) -> None:
    with plugin(variables | {"TF_AWS_STS_ENDPOINT": aws.endpoint}) as running:
        stub, listening = running.connect(), running.engine()
        stub.Attach(plugin_pb2.PluginAttach(address=listening.address), timeout=WAIT_SECONDS)
        stub.Configure(message("ConfigureRequest", args=offline()), timeout=WAIT_SECONDS)
        ((urn, told),) = listening.lines
    assert urn == "", "it is about no resource"
    assert '"TF_AWS_STS_ENDPOINT" is deprecated' in told


def test_a_line_for_an_engine_that_has_gone_harms_nobody(shared: Plugin) -> None:
    stub = shared.configured()
    gone = shared.engine()
    gone.stop()
    stub.Attach(plugin_pb2.PluginAttach(address=gone.address), timeout=WAIT_SECONDS)
    answer = stub.Check(message("CheckRequest", urn=ADDRESS, news={"vpc": True}), timeout=WAIT_SECONDS)
    assert plain(answer.inputs)["vpc"] is True


def test_a_plugin_that_an_engine_started_logs_to_it(variables: dict[str, str], shared: Plugin) -> None:
    engine = shared.engine()
    with plugin(variables, "-v=9", "--logtostderr", engine.address) as started:
        started.configured().Check(
            message("CheckRequest", urn=ADDRESS, news={"vpc": True}), timeout=WAIT_SECONDS
        )
    assert [urn for urn, _ in engine.lines] == [ADDRESS]


@pytest.mark.parametrize(("given", "told"), [({}, False), ({"TF_LOG": "debug"}, True)])
def test_what_the_provider_does_is_told_when_asked_for(
    variables: dict[str, str], given: dict[str, str], told: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    with plugin(variables | given) as running:
        request = message("CheckRequest", urn=VPC, news={"cidrBlock": "10.0.0.0/16"})
        running.configured().Check(request, timeout=WAIT_SECONDS)
        (provider,) = running.providers()
        logs = {provider.environ().get(name) for name in ("TF_LOG_SDK", "TF_LOG_PROVIDER")}
    assert logs == ({None} if told else {"OFF"}), "what nobody reads is not written"
    said = capfd.readouterr().err
    assert ("plugin started" in said) is told
    assert told or said == ""


# --- its end


@pytest.mark.parametrize("how", ["closed", signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_however_it_ends(fresh: Plugin, how: Any) -> None:
    fresh.configured()
    left = psutil.Process(fresh.process.pid).children(recursive=True)
    assert len(left) == 2, "the guard and the provider"
    scratch = Path(fresh.providers()[0].environ()["TMPDIR"])
    assert list(scratch.iterdir()) != [], "the provider's socket"
    if how == "closed":
        assert fresh.process.stdin is not None
        fresh.process.stdin.close()
    else:
        fresh.process.send_signal(how)
    assert fresh.process.wait(WAIT_SECONDS) == (-how if how == signal.SIGKILL else 0)
    assert psutil.wait_procs(left, WAIT_SECONDS)[1] == []
    assert not scratch.exists()


def test_settings_that_cannot_be_read_are_an_error(tmp_path: Path) -> None:
    program = engine.AWS_PLUGIN.read_text().splitlines()[-1].split('"')[1]
    broken = tmp_path / "settings.json"
    broken.write_text("{")
    for arguments, told in (([], "usage: "), ([str(broken), "--kept"], f"{broken} does not hold")):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(told)
