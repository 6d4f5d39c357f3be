"""The load generator against real servers: it must neither hide a failure nor invent one."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from localcloud.load import Load, percentile
from tests.unit.edge import Server

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Version: 7\r\n\r\nok"


@contextmanager
def raw(answers: list[bytes]) -> Iterator[int]:
    """A server that gives each connection these answers in turn, and then closes it."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                for answer in answers:
                    if not connection.recv(65536):
                        break
                    connection.sendall(answer)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_it_sends_at_its_rate_and_counts_every_answer() -> None:
    with Server("7") as server:
        report = Load(f"http://127.0.0.1:{server.port}", rate_per_second=100).run(2)
        total = report.total
        assert 190 <= total.sent <= 210
        assert total.ok == total.sent == total.versions["7"] == server.asked == len(total.latencies)
        assert not total.failed
        assert sum(second.sent for second in report.seconds) == total.sent
        assert len(report.seconds) >= 2


def test_it_does_not_wait_for_answers() -> None:
    with Server("slow") as server:
        url = f"http://127.0.0.1:{server.port}/slow?seconds=1"
        total = Load(url, rate_per_second=50, connections=100).run(1).total
        assert total.sent >= 45, "a load that waits would have sent one per connection and second"
        assert total.ok == total.sent
        assert min(total.latencies) >= 0.99


def test_a_request_that_waits_for_a_connection_counts_that_time() -> None:
    with Server("slow") as server:
        url = f"http://127.0.0.1:{server.port}/slow?seconds=0.5"
        total = Load(url, rate_per_second=4, connections=1).run(1).total
        assert max(total.latencies) > 1


def test_slow_requests_have_their_share() -> None:
    with Server("x") as server:
        load = Load(
            f"http://127.0.0.1:{server.port}",
            rate_per_second=100,
            slow_share=0.1,
            slow_path="/slow?seconds=0.6",
        )
        total = load.run(1).total
        slow = [latency for latency in total.latencies if latency >= 0.6]
        assert len(slow) == pytest.approx(total.sent / 10, abs=1)


def test_failures_are_told_apart() -> None:
    with Server("x") as server:
        base = f"http://127.0.0.1:{server.port}"
        status = Load(f"{base}/status/503", rate_per_second=20).run(0.5)
        late = Load(f"{base}/slow?seconds=5", rate_per_second=20, timeout_seconds=0.2).run(0.5)
        server.close()
        refused = Load(base, rate_per_second=20).run(0.5)
    for kind, report in (("status", status), ("timeout", late), ("refused", refused)):
        total = report.total
        assert total.sent > 0
        assert (dict(total.failed), total.ok) == ({kind: total.sent}, 0), report.samples
        assert report.samples[0].startswith(f"{kind}: ")


def test_a_kept_connection_that_is_closed_under_a_request_is_not_hidden() -> None:
    """The client library would send such a request again by itself."""
    with raw([OK, b""]) as port:
        report = Load(f"http://127.0.0.1:{port}", rate_per_second=20, connections=1).run(0.6)
    total = report.total
    assert total.ok > 0
    assert total.failed["reset"] > 0, report.samples
    assert total.ok + total.failed["reset"] == total.sent


def test_an_answer_that_is_cut_off_is_a_reset() -> None:
    with raw([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"]) as port:
        total = Load(f"http://127.0.0.1:{port}", rate_per_second=10).run(0.5).total
    assert total.sent > 0
    assert dict(total.failed) == {"reset": total.sent}


def test_in_the_background_it_ends_with_its_block() -> None:
    with Server("x") as server:
        load = Load(f"http://127.0.0.1:{server.port}", rate_per_second=50)
        with load.background() as report:
            time.sleep(0.5)
        sent = report.total.sent
        assert sent == report.total.ok > 10
        time.sleep(0.3)
        assert report.total.sent == sent
        assert not [thread for thread in threading.enumerate() if thread.name == "load"]


def test_in_a_loop_it_ends_with_its_block() -> None:
    async def scenario(url: str) -> Load:
        async with Load(url, rate_per_second=50) as load:
            await asyncio.sleep(0.3)
        return load

    with Server("x") as server:
        load = asyncio.run(scenario(f"http://127.0.0.1:{server.port}"))
        assert load.report.total.sent == load.report.total.ok > 5


def test_it_says_how_late_it_was_where_it_could_not_keep_its_pace() -> None:
    held_up = 0.5

    async def scenario(url: str) -> float:
        async with Load(url, rate_per_second=50) as load:
            await asyncio.sleep(0.1)
            # Everything of this thread stands still, as on a machine without a core to spare.
            time.sleep(held_up)
            await asyncio.sleep(0.1)
            return load.report.late_seconds

    with Server("7") as server:
        late = asyncio.run(scenario(f"http://127.0.0.1:{server.port}"))
    assert late > held_up / 2


@pytest.mark.parametrize(
    "settings",
    [
        {"rate_per_second": 0},
        {"rate_per_second": 1, "connections": 0},
        {"rate_per_second": 1, "slow_share": 2},
    ],
)
def test_what_makes_no_sense_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="give a rate above 0"):
        Load("http://127.0.0.1", **settings)  # type: ignore[arg-type]


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(1, 100))
def test_a_percentile_is_one_of_the_values_and_enough_are_not_above_it(
    values: list[float], percent: float
) -> None:
    found = percentile(values, percent)
    assert found in values
    below = sum(value <= found for value in values)
    assert below >= percent / 100 * len(values) - 1e-9


def test_there_is_no_percentile_of_nothing() -> None:
    assert percentile([], 99) is None
