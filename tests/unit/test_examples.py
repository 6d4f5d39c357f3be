"""The example applications, as a container runs them, and their broken variants."""

import json
import re
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from examples.variants import EXAMPLES, variant
from localcloud.dataplane.dockerfile import parse
from localcloud.dataplane.postgres import Wanted
from tests.unit.applications import START_SECONDS, migrate, running
from tests.unit.databases import a_server, free_port, new_database, variables


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wanted]:
    with a_server(tmp_path_factory.mktemp("postgres")) as (_, wanted):
        yield wanted


@pytest.fixture
def database(server: Wanted, request: pytest.FixtureRequest) -> dict[str, str]:
    return variables(server, new_database(server, str(abs(hash(request.node.name)))))


# ---- the applications


def test_the_api_tells_its_version_in_every_answer(tmp_path: Path) -> None:
    with running(variant(tmp_path, version="7")) as api:
        assert api.line == f"api 7 listens on 127.0.0.1:{api.port}"
        for path, status in {
            "/healthz": 200,
            "/api/": 200,
            "/nothing": 404,
            "/api/slow?seconds=x": 400,
        }.items():
            found, _, headers = api.get(path)
            assert (found, headers["X-Version"]) == (status, "7"), path
        assert json.loads(api.get("/api/")[1]) == {"service": "api", "version": "7", "status": "ok"}


def test_the_page_shows_its_version(tmp_path: Path) -> None:
    with running(variant(tmp_path, service="web", version="9")) as web:
        status, page, headers = web.get("/")
        assert status == 200
        assert '<dd id="web">9</dd>' in page
        assert (headers["X-Version"], headers["Cache-Control"]) == ("9", "no-cache")
        assert web.get("/healthz")[0] == 200


def test_a_slow_request_under_way_is_finished_after_sigterm(tmp_path: Path) -> None:
    with running(variant(tmp_path)) as api:
        answers: list[tuple[int, Any, Any]] = []
        asking = threading.Thread(target=lambda: answers.append(api.get("/api/slow?seconds=1.5")))
        asking.start()
        time.sleep(0.7)
        assert api.stop() == 0
        asking.join()
        assert [answer[0] for answer in answers] == [200], "a stop must not cut a request off"


def test_an_idle_connection_does_not_hold_a_stop_up(tmp_path: Path) -> None:
    with running(variant(tmp_path)) as api:
        connection = HTTPConnection("127.0.0.1", api.port)
        for _ in range(3):
            connection.request("GET", "/api/")
            answer = connection.getresponse()
            answer.read()
            assert answer.getheader("Connection") is None, "the connection is kept alive"
        assert api.stop() == 0
        connection.close()


def test_both_examples_serve_in_the_same_way() -> None:
    own = [(EXAMPLES / name / name / "serving.py").read_text() for name in ("api", "web")]
    assert own[0] == own[1], "each image has a copy: change both"


# ---- broken variants


def test_every_second_answer_is_an_error_if_half_of_them_shall_be(tmp_path: Path) -> None:
    with running(variant(tmp_path, error_rate=0.5)) as api:
        found = [api.get("/api/")[0] for _ in range(10)]
        assert found.count(500) == 5
        assert api.get("/healthz")[0] == 200, "the health check does not see it"


def test_every_answer_but_the_health_check_takes_its_time(tmp_path: Path) -> None:
    with running(variant(tmp_path, latency_seconds=0.6)) as api:
        began = time.monotonic()
        assert api.get("/api/")[0] == 200
        assert time.monotonic() - began >= 0.6


def test_a_crash_at_the_start_ends_with_1_before_it_listens(tmp_path: Path) -> None:
    with running(variant(tmp_path, crash_at_start=True)) as api:
        assert api.process.wait(START_SECONDS) == 1
        assert api.line == "api 1 crashes on purpose"


def test_a_crash_comes_when_it_shall(tmp_path: Path) -> None:
    with running(variant(tmp_path, crash_after_seconds=0.5)) as api:
        assert "listens" in api.line
        assert api.process.wait(START_SECONDS) == 1


def test_one_that_is_never_healthy_answers_all_the_same(tmp_path: Path) -> None:
    with running(variant(tmp_path, never_healthy=True)) as api:
        assert api.get("/healthz")[0] == 503
        assert api.get("/api/")[0] == 200


def test_a_wrong_port_is_another_port(tmp_path: Path) -> None:
    with running(variant(tmp_path, wrong_port=True)) as api:
        assert "listens on 127.0.0.1:" in api.line
        assert not api.line.endswith(f":{api.port}")
        with pytest.raises(urllib.error.URLError):
            api.get("/api/")


def test_a_wrong_answer_is_one_that_only_a_smoke_check_finds(tmp_path: Path) -> None:
    with running(variant(tmp_path, wrong_answer=True)) as api:
        assert api.get("/healthz")[0] == 200
        assert api.get("/api/")[:2] == (200, "{}")


def test_one_that_ignores_sigterm_has_to_be_killed(tmp_path: Path) -> None:
    with running(variant(tmp_path, ignores_sigterm=True)) as api:
        api.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            api.process.wait(1)
        assert api.get("/api/")[0] == 200


def test_an_unknown_behaviour_is_refused_with_what_is_known(tmp_path: Path) -> None:
    with running(variant(tmp_path, never_helthy=True)) as api:
        assert api.process.wait(START_SECONDS) == 1
        assert "never_helthy" in api.line
        assert "never_healthy" in api.line


def test_a_variant_differs_from_the_example_in_nothing_else(tmp_path: Path) -> None:
    folder = variant(tmp_path, version="3", error_rate=0.1)

    def content(of: Path) -> dict[str, bytes]:
        kept = [path for path in of.rglob("*") if path.is_file() and "cache" not in str(path.relative_to(of))]
        return {str(path.relative_to(of)): path.read_bytes() for path in kept}

    changed = {name for name, _ in content(folder).items() ^ content(EXAMPLES / "api").items()}
    assert changed == {"behaviour.json", "Dockerfile"}


# ---- the database


def test_items_are_kept_in_the_database(tmp_path: Path, database: dict[str, str]) -> None:
    folder = variant(tmp_path)
    migrate(folder, database, "up")
    with running(folder, database) as api:
        assert api.get("/api/items", b'{"title": "Tea"}')[0] == 201
        assert json.loads(api.get("/api/items")[1]) == {"items": [{"id": 1, "title": "Tea"}]}
        assert api.get("/api/items", b'{"title": ""}')[0] == 400
        assert api.stop() == 0


def test_without_a_database_only_items_are_missing(tmp_path: Path) -> None:
    with running(variant(tmp_path)) as api:
        status, body, _ = api.get("/api/items")
        assert status == 503
        assert "DATABASE_HOST" in body
        assert (api.get("/api/")[0], api.get("/healthz")[0]) == (200, 200)


def test_an_unreachable_database_tells_nothing_of_itself(tmp_path: Path, database: dict[str, str]) -> None:
    with running(variant(tmp_path), database | {"DATABASE_PORT": str(free_port())}) as api:
        status, body, _ = api.get("/api/items")
        assert status == 503
        assert database["DATABASE_PASSWORD"] not in body
        assert "owner" not in body


# ---- the images


@pytest.mark.parametrize("name", ["api", "web"])
def test_the_images_say_how_they_run_and_take_no_rights(name: str) -> None:
    recipe = parse((EXAMPLES / name / "Dockerfile").read_text())
    assert [*recipe.entrypoint, *recipe.command] == ["python", "-m", name], "no shell keeps SIGTERM from it"
    assert (recipe.user, recipe.stop_signal, recipe.environment["VERSION"]) == ("10001", "SIGTERM", "1")
    assert recipe.ports == [f"{recipe.environment['PORT']}/tcp"]


def test_every_behaviour_is_documented() -> None:
    readme = (EXAMPLES / "README.md").read_text()
    source = (EXAMPLES / "api" / "api" / "serving.py").read_text()
    keys = re.findall(r"^    (\w+): (?:float|bool)", source, re.M)
    assert len(keys) == 9
    assert [key for key in keys if f"| `{key}` |" not in readme] == []
