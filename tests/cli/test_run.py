"""An app is run by the CLI: all of it, some of it, in one process or in several."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from messagedb import Client, NewMessage
from messagedb._consumers.counters import Counters
from messagedb._consumers.status import build_status
from messagedb.cli._health import build_answer
from messagedb.testing import FaultProxy
from tests.cli.conftest import Command
from tests.support.backend import make_url
from tests.support.background_sync import eventually

Process = Callable[..., subprocess.Popen[str]]

HERE = "tests.cli.apps_to_run"


@pytest.fixture
def client(store_url: str) -> Iterator[Client]:
    """Return a client of the store of the tests."""
    with Client(store_url, max_size=2) as client:
        yield client


@pytest.fixture
def start(process: Process, category: str) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts the command with this test's category; kill what is left."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, **more: str) -> subprocess.Popen[str]:
        started.append(process(*arguments, more={"CATEGORY": category, "BAD": "", **more}))
        return started[-1]

    yield run
    for each in started:
        each.kill()
        each.communicate()


def wait_for_messages(client: Client, stream: str, count: int) -> list[Any]:
    """Wait until a stream has so many messages, and return their data."""
    eventually(lambda: client.stream_version(stream) >= count - 1, 20.0)
    return [message.data for message in client.get_stream_messages(stream)]


@pytest.mark.parametrize("name", ["app", "async_app", "build_app"])
def test_an_app_runs_until_it_has_caught_up(
    client: Client, start: Process, category: str, name: str
) -> None:
    client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(3)])
    running = start("run", f"{HERE}:{name}", "--until-caught-up")
    out, err = running.communicate(timeout=20)
    assert (running.returncode, out) == (0, "")
    assert client.stream_version(f"{category}Copy-1") == 2
    first, *rest = err.splitlines()
    assert re.fullmatch(
        r"\d{4}-\d\d-\d\dT[\d:.]{12}Z INFO    messagedb\.run: messagedb \S+ runs on <.*>", first
    )
    assert any(f"consumer {category}:position-copying" in line for line in rest)


def test_an_app_runs_until_a_signal_and_only_what_was_named(
    client: Client, start: Process, category: str
) -> None:
    client.write_message(f"{category}-1", NewMessage("A"))
    running = start("run", f"{HERE}:app", "--only", "copying", "--log-format", "json")
    wait_for_messages(client, f"{category}Copy-1", 1)
    running.send_signal(signal.SIGTERM)
    out, err = running.communicate(timeout=20)
    assert (running.returncode, out) == (0, "")
    lines = [msgspec.json.decode(line) for line in err.splitlines()]
    assert {"time", "level", "logger", "message"} <= set(lines[0])
    said = [line["message"] for line in lines]
    assert f"consumer {category}:position-copying" in said
    assert not [text for text in said if "counting" in text]
    assert client.stream_version(f"{category}Count-1") == -1


def test_a_handlers_error_ends_the_run_with_its_traceback(
    client: Client, start: Process, category: str
) -> None:
    client.write_message(f"{category}-1", NewMessage("Bad"))
    running = start("run", f"{HERE}:app", "--log-level", "error", BAD="Bad")
    _, err = running.communicate(timeout=20)
    assert running.returncode == 1
    assert "ValueError: bad" in err
    assert f"message 0 of stream '{category}-1'" in err


def test_workers_divide_the_consumers_and_stop_together(
    client: Client, start: Process, category: str
) -> None:
    client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(3)])
    running = start("run", f"{HERE}:app", "--workers", "2")
    counted = wait_for_messages(client, f"{category}Count-1", 3)
    (pid,) = {data["pid"] for data in counted}
    assert pid != running.pid
    running.send_signal(signal.SIGTERM)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 0
    assert err.count("runs on") == 2
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_two_commands_share_the_partitions_of_a_consumer(
    client: Client, start: Process, category: str
) -> None:
    """The second one is started while the first one runs, and handles alone when that has ended."""
    arguments = ("run", f"{HERE}:app", "--only", "copying", "--log-level", "info")
    first = start(*arguments, PARTITIONS="4")
    client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(3)])
    wait_for_messages(client, f"{category}Copy-1", 3)
    second = start(*arguments, PARTITIONS="4")
    shares = (
        "SELECT count(DISTINCT owner), count(owner) FROM messagedb.partitions WHERE category = %s"
    )

    def is_shared() -> bool:
        with client.transaction() as transaction:
            return transaction.connection.execute(shares, (category,)).fetchone() == (2, 4)

    eventually(is_shared, 20.0)
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 0
    client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(3)])
    wait_for_messages(client, f"{category}Copy-1", 6)
    second.send_signal(signal.SIGTERM)
    _, err = second.communicate(timeout=20)
    assert second.returncode == 0
    assert "partitions gained" in err


def test_the_failure_of_one_worker_stops_the_others(
    client: Client, start: Process, category: str
) -> None:
    running = start("run", f"{HERE}:app", "--workers", "2", BAD="Bad")
    client.write_messages(f"{category}-1", [NewMessage("A"), NewMessage("Bad")])
    _, err = running.communicate(timeout=20)
    assert running.returncode == 1
    assert "ValueError: bad" in err


def test_the_death_of_one_worker_stops_the_others_and_a_new_start_goes_on(
    client: Client, start: Process, category: str
) -> None:
    client.write_message(f"{category}-1", NewMessage("A"))
    running = start("run", f"{HERE}:app", "--workers", "2")
    (counted,) = wait_for_messages(client, f"{category}Count-1", 1)
    os.kill(counted["pid"], signal.SIGKILL)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 128 + signal.SIGKILL
    assert f"worker {counted['pid']} has ended with exit code 137: all stop" in err
    client.write_message(f"{category}-1", NewMessage("B"))
    again = start("run", f"{HERE}:app", "--workers", "2")
    wait_for_messages(client, f"{category}Count-1", 2)
    again.send_signal(signal.SIGTERM)
    again.communicate(timeout=20)
    assert again.returncode == 0
    assert client.stream_version(f"{category}Copy-1") == 1
    assert client.stream_version(f"{category}Count-1") == 1


def test_workers_stop_when_their_parent_was_killed(
    client: Client, start: Process, category: str
) -> None:
    client.write_message(f"{category}-1", NewMessage("A"))
    running = start("run", f"{HERE}:app", "--workers", "2")
    wait_for_messages(client, f"{category}Count-1", 1)
    running.kill()
    _, err = running.communicate(timeout=20)  # not before both have closed standard error
    assert err.count("all consumers stop") == 2


def ask(port: str, path: str) -> tuple[int, Any]:
    """Return the status and the body of the answer to a probe."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            return answer.status, msgspec.json.decode(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, msgspec.json.decode(error.read())


def find_port(running: subprocess.Popen[str]) -> str:
    """Read the log of a run up to the line with the address of its probes; return the port."""
    assert running.stderr is not None
    line = next(line for line in running.stderr if "/live" in line)
    port: str = re.findall(r"localhost:(\d+)/live", line)[0]
    return port


def test_probes_see_a_running_app(client: Client, start: Process, category: str) -> None:
    client.write_message(f"{category}-1", NewMessage("A"))
    running = start("run", f"{HERE}:app", "--only", "copying", "--health", "0")
    port = find_port(running)
    wait_for_messages(client, f"{category}Copy-1", 1)
    eventually(lambda: ask(port, "/ready")[0] == 200, 20.0)
    name = f"{category}:position-copying"
    status, body = ask(port, "/ready")
    assert (status, body["ok"], list(body["consumers"])) == (200, True, [name])
    assert body["consumers"][name] in ("running", "caught up")
    assert ask(port, "/live")[0] == 200
    assert ask(port, "/")[0] == 404
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        metrics = list(text_string_to_metric_families(answer.read().decode()))
    (handled,) = [each for each in metrics if each.name == "messagedb_consumer_handled"]
    assert [each.labels for each in handled.samples] == [{"messaging_consumer_group_name": name}]
    assert "db_client_connection_count" in {each.name for each in metrics}
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)
    assert running.returncode == 0


def test_an_app_is_live_and_not_ready_while_its_store_is_away_and_goes_on_when_it_is_back(
    client: Client, start: Process, store_url: str, category: str
) -> None:
    client.write_message(f"{category}-1", NewMessage("A"))
    with FaultProxy(store_url) as proxy:
        running = start("run", f"{HERE}:app", "--health", "0", MESSAGEDB_URL=proxy.url)
        port = find_port(running)
        wait_for_messages(client, f"{category}Count-1", 1)
        eventually(lambda: ask(port, "/ready")[0] == 200, 20.0)
        proxy.refuse()
        eventually(lambda: set(ask(port, "/ready")[1]["consumers"].values()) == {"reconnecting"})
        assert ask(port, "/ready")[0] == 503
        assert ask(port, "/live")[0] == 200
        client.write_message(f"{category}-1", NewMessage("B"))
        proxy.resume()
        wait_for_messages(client, f"{category}Count-1", 2)
        eventually(lambda: ask(port, "/ready")[0] == 200, 20.0)
        running.send_signal(signal.SIGTERM)
        _, err = running.communicate(timeout=20)
    assert running.returncode == 0
    assert client.stream_version(f"{category}Copy-1") == 1
    assert client.stream_version(f"{category}Count-1") == 1
    for name in (f"{category}:position-copying", f"{category}Copy:position-counting"):
        assert err.count(f"WARNING messagedb.consumer: {name}: the store is unavailable") == 1
        assert len(re.findall(rf"INFO .* {name}: the store is available again, after \d", err)) == 1
    assert err.count("psycopg.pool: error connecting") == 1


@pytest.mark.parametrize(
    ("state", "live", "ready"),
    [
        ("caught up", 200, 200),
        ("waiting", 200, 200),
        ("retrying", 200, 200),
        ("starting", 200, 503),
        ("reconnecting", 200, 503),
        ("failed", 503, 503),
        ("stopped", 503, 503),
    ],
)
def test_probes_tell_a_process_to_restart_from_one_to_wait_for(
    state: Any, live: int, ready: int
) -> None:
    good, tried = (
        build_status(name, None, Counters(), datetime.now(UTC)) for name in ("good", "tried")
    )
    statuses = [
        msgspec.structs.replace(good, state="running"),
        msgspec.structs.replace(tried, state=state, next_position=8),
    ]
    assert build_answer("/live", statuses)[0] == live
    assert build_answer("/ready?verbose", statuses)[0] == ready


def test_one_that_has_not_begun_is_not_one_that_has_ended() -> None:
    new = build_status("new", None, Counters(), datetime.now(UTC))
    assert new.state == "stopped"
    assert build_answer("/live", [new]) == (200, {"ok": True, "consumers": {"new": "starting"}})
    assert build_answer("/ready", [new])[0] == 503


def test_a_store_that_is_away_is_waited_for_as_long_as_is_said(
    start: Process, store_url: str, category: str
) -> None:
    away = make_url(store_url, host="127.0.0.1", port="1")
    running = start("run", f"{HERE}:app", "--wait", "0.5", MESSAGEDB_URL=away)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 3
    assert "waiting for the store, which is unavailable" in err


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (
            ["run", f"{HERE}:copy"],
            "is function, and should be an App or an AsyncApp, or a function",
        ),
        (["run", f"{HERE}:build_nothing"], "is NoneType, and should be an App"),
        (["run", f"{HERE}:copy"], "It has: app, empty, async_app"),
        (["run", f"{HERE}:it"], "has no 'it'. It has: app, empty, async_app"),
        (["run", HERE], f"not '{HERE}'. It has: app, empty, async_app"),
        (["run", f"{HERE}.app"], "a target is module:name"),
        (["run", f"{HERE}:empty"], "no consumers and no read models"),
        (["run", f"{HERE}:app", "--only", "it"], "has no 'it'. It has: copying, counting"),
        (["run", f"{HERE}:app", "--workers", "3"], "3 workers are more than the 2"),
        (["run", f"{HERE}:app", "--workers", "2", "--health", "0"], "--health is for one process"),
    ],
)
def test_a_run_that_cannot_start_says_why(
    command: Command, arguments: list[str], text: str
) -> None:
    done = command(*arguments)
    assert (done.code, done.out) == (1, "")
    assert text in done.err
