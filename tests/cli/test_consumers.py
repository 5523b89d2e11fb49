"""Consumers are run, monitored, moved and repaired by the CLI."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from messagedb import Client, Consumer, Context, Message, NewMessage, TablePositionStore, schema
from messagedb.consumers import NO_RETRY
from messagedb.errors import EmbeddedServerError
from messagedb.streams import group_member
from tests.cli.conftest import Command, Ran
from tests.support.backend import make_url
from tests.support.server import OwnServer

Process = Callable[..., subprocess.Popen[str]]

HERE = "tests.cli.consumers_to_run"


@pytest.fixture
def client(store_url: str) -> Iterator[Client]:
    """Return a client of the store of the tests."""
    with Client(store_url, max_size=2) as client:
        yield client


@pytest.fixture
def start(process: Process, category: str) -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts the command with this test's category for its consumers."""

    def run(*arguments: str, bad: str = "", holds: str = "") -> subprocess.Popen[str]:
        environment = {
            "CATEGORY": category,
            "BAD": bad,
            "HOLDS": holds,
            "MESSAGEDB_CONSUME_LOG_LEVEL": "warning",
        }
        return process(*arguments, more=environment)

    return run


def own_server() -> OwnServer:
    """Start a server of a test's own, or skip it."""
    try:
        return OwnServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")


def status(command: Command, category: str, *options: str) -> dict[str, Any]:
    """Return the one consumer of a category, and the exit code."""
    done: Ran = command("consumers", "status", category, *options)
    (row,) = done.rows
    return {**row, "code": done.code, "err": done.err}


def until(command: Command, category: str, **wanted: Any) -> dict[str, Any]:
    """Wait for a status of the category's consumer."""
    end = time.monotonic() + 20
    row: dict[str, Any] = {}
    while time.monotonic() < end:
        done = command("consumers", "status", category)
        if done.rows:
            row = done.rows[0]
            if all(row[name] == value for name, value in wanted.items()):
                return row
        time.sleep(0.02)
    raise AssertionError(row)


def test_status_while_it_lags_catches_up_and_dies(
    client: Client, command: Command, start: Process, category: str
) -> None:
    client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(3)])
    assert command("consumers", "status", category).rows == []
    running = start("consume", f"{HERE}:copying")
    row = until(command, category, running=True, lag_messages=0)
    assert row["consumer"] == f"{category}:position-copying"
    assert (row["category"], row["identifier"], row["position_store"]) == (
        category,
        "copying",
        "stream",
    )
    running.kill()
    running.communicate(timeout=20)
    row = until(command, category, running=False)
    assert row["lag_messages"] == 0
    client.write_messages(f"{category}-2", [NewMessage("A") for _ in range(5)])
    row = status(command, category, "--max-lag", "5", "--max-lag-seconds", "60")
    assert (row["lag_messages"], row["code"], row["err"]) == (5, 0, "")
    assert 0 <= row["lag_seconds"] < 60
    assert row["head"] >= row["next_position"]
    late = status(command, category, "--max-lag", "4", "--json")
    assert (late["code"], late["lag_messages"]) == (1, 5)
    assert late["err"] == f"messagedb: {category}:position-copying is 5 messages behind\n"
    late = status(command, category, "--max-lag-seconds", "0")
    assert late["code"] == 1
    assert "seconds behind" in late["err"]
    again = start("consume", f"{HERE}:copying_async")
    until(command, category, running=True, lag_messages=0)
    again.send_signal(signal.SIGTERM)
    assert again.communicate(timeout=20) == ("", "")
    assert again.returncode == 0
    assert status(command, category)["running"] is False
    assert client.stream_version(f"{category}Copy-1") == 7


def test_it_says_in_the_log_that_it_runs_and_no_line_for_a_message(
    client: Client, start: Process, category: str
) -> None:
    client.write_messages(f"{category}-1", [NewMessage("A", {"secret": n}) for n in range(3)])
    done = start("consume", f"{HERE}:copying", "--until-caught-up", "--log-level", "info")
    out, err = done.communicate(timeout=20)
    started, stopped = err.splitlines()
    name = f"INFO    messagedb.consumer: {category}:position-copying"
    assert f"{name}: it has started after position 0, 3 messages behind" in started
    assert stopped.endswith("; it has handled 3 messages")
    assert (done.returncode, out, "secret" in err) == (0, "", False)


def test_until_it_has_caught_up(client: Client, start: Process, category: str) -> None:
    client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(3)])
    for name in ("copying", "copying_async", "ready"):
        done = start("consume", f"{HERE}:{name}", "--until-caught-up")
        assert done.communicate(timeout=20) == ("", "")
        assert done.returncode == 0
    assert client.stream_version(f"{category}Copy-1") == 2


def test_a_script_waits_until_a_consumer_has_handled_everything(
    client: Client, command: Command, start: Process, category: str
) -> None:
    wait = ("consumers", "wait", category, "copying", "--timeout")
    assert "no message to wait for" in command(*wait, "20").err
    client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(3)])
    late = command(*wait, "0.2")
    assert late.code == 1
    assert "no position is stored under" in late.err
    running = start("consume", f"{HERE}:copying")
    assert command(*wait, "20").code == 0
    assert client.stream_version(f"{category}Copy-1") == 2
    done = command(*wait, "20", "--stream", f"{category}-1", "--position", "2", "--no-table")
    assert (done.code, done.err) == (0, "")
    assert command(*wait, "0.2", "--stream", f"{category}-1").code == 1
    running.kill()
    running.communicate(timeout=20)


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nowhere:it", "there is no module 'nowhere'"),
        (f"{HERE}:it", "has no 'it'"),
        (f"{HERE}:nothing", "the target is int"),
        ("tests.cli.apps_to_run:copying", "a part of an app"),
        ("tests.cli.apps_to_run:copying_async", "a part of an app"),
        (f"{HERE}:copy_id.x", "has no 'copy_id.x'"),
        (HERE, "a target is module:name"),
    ],
)
def test_an_invalid_target_is_refused(command: Command, target: str, text: str) -> None:
    done = command("consume", target)
    assert (done.code, done.out) == (1, "")
    assert text in done.err
    assert done.err.count("\n") == 1


def test_an_error_of_the_users_code_is_shown_with_its_traceback(
    client: Client, command: Command
) -> None:
    client.write_message("breaking-1", NewMessage("A"))
    done = command("consume", f"{HERE}:breaking", "--until-caught-up")
    assert (done.code, done.out) == (1, "")
    assert "in fail\n" in done.err  # the handler's line
    assert "\nBrokenPipeError: the handler's own\nmessagedb: consumer 'breaking:" in done.err
    done = command("consume", f"{HERE}:unready")
    assert (done.code, done.out) == (1, "")
    assert done.err.endswith("\nBrokenPipeError: the function's own\n")


def test_positions_are_moved(
    client: Client, command: Command, start: Process, category: str
) -> None:
    client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(3)])
    consumer = (category, "copying")
    unknown = command("position", "get", *consumer)
    assert (unknown.code, unknown.out) == (1, "")
    assert "has a position, or has reported that it runs:" in unknown.err
    assert start("consume", f"{HERE}:copying", "--until-caught-up").communicate() == ("", "")
    (row,) = command("position", "get", *consumer).rows
    head = row["next_position"] - 1
    assert head == row["head"]
    assert command("position", "set", *consumer, "beginning", "--yes").rows[0]["lag_messages"] == 3
    for following, lag in ((head - 1, 2), (head, 1), (head + 1, 0)):
        (row,) = command("position", "set", *consumer, str(following), "-y").rows
        assert (row["next_position"], row["lag_messages"]) == (following, lag)
        assert command("position", "get", *consumer).rows[0]["next_position"] == following
        assert status(command, category)["next_position"] == following
        (info,) = client.list_consumers(category)
        assert info.next_position == following
        again = Consumer(client, category, identifier="copying")
        assert again.reset_position(following) == following
        assert command("position", "get", *consumer).rows[0]["next_position"] == following
    assert command("position", "set", *consumer, "end", "-y").rows[0]["next_position"] == head + 1
    in_table = command("position", "set", *consumer, "beginning", "--table")
    assert in_table.rows[0]["position_store"] == "table"
    assert in_table.rows[0]["next_position"] == 1
    unclear = command("position", "set", *consumer, "end")
    assert (unclear.code, unclear.out) == (1, "")
    assert "say which, by --table or --no-table. Nothing was changed." in unclear.err
    assert len(command("position", "get", *consumer).rows) == 2
    (one,) = command("position", "get", *consumer, "--no-table").rows
    assert one["position_store"] == "stream"
    for word in ("somewhere", "0"):
        wrong = command("position", "set", *consumer, word, "--no-table", "-y")
        assert (wrong.code, wrong.out) == (1, "")
        assert "the global position of the next message to handle, from 1" in wrong.err
    assert command("position", "set", *consumer, "-1").code == 2
    running = start("consume", f"{HERE}:copying")
    until(command, category, running=True)
    refused = command("position", "set", *consumer, "beginning", "--no-table")
    assert (refused.code, refused.out) == (1, "")
    assert "Nothing was changed" in refused.err
    running.send_signal(signal.SIGINT)
    assert running.communicate(timeout=20) == ("", "")


def handle_all(consumer: Consumer) -> None:
    """Let it handle every message."""

    @consumer.handler
    def handle(message: Message[Any], context: Context) -> None:
        pass


def test_a_position_is_set_where_the_consumer_keeps_it(
    client: Client, command: Command, category: str
) -> None:
    """In the table, of one that keeps it there, such as a read model."""
    client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(3)])
    consumer = Consumer(client, category, identifier="tabled", position_store=TablePositionStore())
    handle_all(consumer)
    consumer.run(until="caught_up")
    (before,) = command("position", "get", category, "tabled").rows
    assert before["position_store"] == "table"
    (after,) = command("position", "set", category, "tabled", "beginning").rows
    assert (after["consumer"], after["next_position"]) == (before["consumer"], 1)
    (only,) = client.list_consumers(category)
    assert (only.position_store, only.next_position) == ("table", 1)


def test_a_position_of_partitions_is_that_of_one_of_them(
    client: Client, command: Command, category: str
) -> None:
    client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(3)])
    consumer = Consumer(client, category, identifier="shared", partitions=4)
    handle_all(consumer)
    consumer.run(until="caught_up")
    names = (category, "shared")
    assert len(command("position", "get", *names).rows) == 4
    refused = command("position", "set", *names, "beginning", "--yes")
    assert (refused.code, refused.out) == (1, "")
    assert "has 4 positions, one for each partition" in refused.err
    assert "name one, by --member 0 to 3 and --size 4. Nothing was changed." in refused.err
    member = str(group_member(f"{category}-1", 4))
    of_one = ("--member", member, "--size", "4")
    (row,) = command("position", "set", *names, "beginning", *of_one, "--yes").rows
    assert (row["group_member"], row["next_position"]) == (int(member), 1)
    (again,) = command("position", "get", *names, *of_one).rows
    assert (again["consumer"], again["next_position"]) == (row["consumer"], 1)
    assert all(each.group_size == 4 for each in client.list_consumers(category))


def test_a_position_that_was_set_is_reported_whatever_its_category_is_called(
    client: Client, command: Command, category: str
) -> None:
    done = command("position", "set", ":", category, "beginning", "--yes")
    assert (done.code, done.rows[0]["consumer"]) == (0, f":position-{category}")
    # Text after a second colon is omitted in the name of a position stream.
    done = command("position", "set", f"{category}:a:b", "mail", "beginning", "--yes")
    stream = f"{category}:a+position-mail"
    assert (done.code, done.out) == (0, "")
    assert done.err == f"The position is set: {stream}\n"
    assert client.stream_version(stream) == 0


def test_a_position_is_changed_beside_what_cannot_be_seen_only_if_that_is_said(
    client: Client, command: Command, category: str
) -> None:
    """As of a Ruby consumer, which may run."""
    client.write_messages(f"{category}-1", [NewMessage("A") for _ in range(3)])
    record = NewMessage("Recorded", {"position": 1})
    client.write_message(f"{category}:position-mail", record)
    (row,) = command("consumers", "status", category).rows
    assert row["running"] is False
    for arguments in (("set", category, "mail", "1"), ("set", category, "mail", "end")):
        asked = command("position", *arguments, input="n\n")
        assert (asked.code, asked.out) == (1, "")
        assert "one of another library, such as Eventide's, cannot be seen" in asked.err
        assert command("position", "get", category, "mail").rows[0]["next_position"] == 2
    done = command("position", "set", category, "mail", "1", input="y\n")
    assert (done.code, done.rows[0]["next_position"]) == (0, 1)
    assert command("position", "set", category, "mail", "end", "--yes").code == 0


def test_a_consumer_without_an_identifier(client: Client, command: Command, category: str) -> None:
    """As in Eventide by default."""
    client.write_messages(f"{category}-1", [NewMessage("Bad") for _ in range(2)])
    consumer = Consumer(client, category, on_error="park", retry=NO_RETRY)

    @consumer.handler
    def fail(message: Message[Any]) -> None:
        raise ValueError("bad")

    consumer.run(until="caught_up")
    (row,) = command("consumers", "status", category).rows
    assert (row["consumer"], row["identifier"]) == (f"{category}:position", None)
    (position,) = command("position", "get", category, "-").rows
    assert {**position, "report_age": None} == {**row, "report_age": None}
    assert command("position", "set", category, "-", "1", "-y").rows[0]["lag_messages"] == 2
    assert command("position", "set", category, "-", "end", "-y").rows[0]["lag_messages"] == 0
    first, second = (each["id"] for each in command("parked", "list", category, "-").rows)
    assert command("parked", "show", category, "-", first).rows[0]["reason"] == "ValueError: bad"
    assert command("parked", "discard", category, "-", first, "-y").rows == [{"discarded": 1}]
    assert [each["id"] for each in command("parked", "list", category, "-").rows] == [second]
    unknown = command("position", "get", f"{category}Other", "-")
    assert unknown.code == 1
    assert "no consumer without an identifier of category" in unknown.err


def test_parked_messages(client: Client, command: Command, start: Process, category: str) -> None:
    given = [NewMessage("Bad", {"n": n}) for n in range(4)]
    client.write_messages(f"{category}-1", given)
    parking = start("consume", f"{HERE}:copying", "--until-caught-up", bad="Bad")
    _, log = parking.communicate(timeout=20)
    assert parking.returncode == 0, log
    names = (category, "copying")
    rows = command("parked", "list", *names).rows
    assert [row["id"] for row in rows] == [str(message.id) for message in given]
    assert {(row["type"], row["reason"], row["attempts"]) for row in rows} == {
        ("Bad", "ValueError: bad", 1)
    }
    first, second, third = (str(message.id) for message in given[:3])
    (shown,) = command("parked", "show", *names, first).rows
    assert (shown["data"], shown["reason"]) == ({"n": 0}, "ValueError: bad")
    table = command("--format", "table", "parked", "show", *names, first).out
    assert 'data             {"n": 0}' in table
    refused = command("parked", "discard", *names, first, input="no\n")
    assert (refused.code, refused.out) == (1, "")
    assert command("parked", "discard", *names, first, input="y\n").rows == [{"discarded": 1}]
    for wrong in ((first,), (), (second, "--all")):
        assert command("parked", "discard", *names, "--yes", *wrong).code == 1
    for ids, count in (((second, third), 2), (("--all",), 1)):
        replaying = start("parked", "replay", f"{HERE}:copying", *ids)
        out, error = replaying.communicate(timeout=20)
        assert error == ""
        assert f'"replayed":{count}' in out
    assert command("parked", "list", *names).rows == []
    copies = list(client.read_stream(f"{category}Copy-1"))
    assert len(copies) == 3
    assert command("consumers", "status", category).rows[0]["parked"] == 0


def test_a_held_stream_is_listed_and_replayed_in_order(
    client: Client, command: Command, start: Process, category: str
) -> None:
    for stream in ("1", "2"):
        client.write_messages(f"{category}-{stream}", [NewMessage("Bad"), NewMessage("Good")])
    parking = start("consume", f"{HERE}:copying", "--until-caught-up", bad="Bad", holds="1")
    _, log = parking.communicate(timeout=20)
    assert parking.returncode == 0, log
    names = (category, "copying")
    rows = command("parked", "list", *names).rows
    assert [(row["position"], row["waits_for"], row["behind"]) for row in rows] == [
        (0, None, 1),
        (1, 0, 0),
    ] * 2
    one, two = f"{category}-1", f"{category}-2"
    assert len(command("parked", "list", *names, "--stream", one).rows) == 2
    table = command("--format", "table", "parked", "list", *names).out
    assert "waits for" in table
    (status,) = command("consumers", "status", category).rows
    assert (status["parked"], status["held_streams"], status["behind"]) == (4, 2, 2)
    waiting = rows[1]["id"]
    for arguments, code, text in (
        ((waiting,), 1, "waits for message 0"),
        (("--all", "--stream", one), 1, "or --stream"),
        (("--stream", one, "--until", "0"), 0, '"replayed":1'),
        (("--stream", one), 0, '"replayed":1'),
    ):
        replaying = start("parked", "replay", f"{HERE}:copying", *arguments)
        out, error = replaying.communicate(timeout=20)
        assert replaying.returncode == code, error
        assert text in out + error
    assert [message.type for message in client.read_stream(f"{category}Copy-1")] == ["Bad", "Good"]
    assert command("parked", "discard", *names, "--stream", two, "-y").rows == [{"discarded": 2}]
    assert command("parked", "list", *names).rows == []


def test_a_message_that_cannot_be_replayed_stays_parked(
    client: Client, command: Command, start: Process, category: str
) -> None:
    client.write_message(f"{category}-1", NewMessage("Bad"))
    for arguments in (
        ("consume", f"{HERE}:copying", "--until-caught-up"),
        ("parked", "replay", f"{HERE}:copying", "--all"),
    ):
        done = start(*arguments, bad="Bad")
        out, error = done.communicate(timeout=20)
    assert (done.returncode, out) == (1, "")
    assert "\nValueError: bad\nmessagedb: " in error
    assert len(command("parked", "list", category, "copying").rows) == 1


@pytest.mark.parametrize("name", ["copying", "copying_async", "ready"])
def test_consume_waits_for_a_store_that_is_away(process: Process, category: str, name: str) -> None:
    with contextlib.closing(own_server()) as server:
        schema.install(server.url())
        url = server.url(user="message_store")
        with Client(url) as client:
            client.write_message(f"{category}-1", NewMessage("A"))
        server.stop()
        more = {"CATEGORY": category, "MESSAGEDB_URL": url}
        running = process("consume", f"{HERE}:{name}", "--until-caught-up", more=more)
        assert running.stderr is not None
        said = running.stderr.readline()
        assert said.startswith("messagedb: waiting for the store, which is unavailable: ")
        assert "cannot connect" in said
        assert "Check that the server runs" in said
        server.start()
        _, error = running.communicate(timeout=30)
        assert running.returncode == 0
        assert "messagedb: the store is available\n" in error


@pytest.mark.parametrize("name", ["copying", "copying_async", "ready"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_consume_that_waits_ends_when_it_is_told_to(
    process: Process, category: str, name: str, number: signal.Signals
) -> None:
    more = {"CATEGORY": category, "MESSAGEDB_URL": "postgresql://x@127.0.0.1:1/x"}
    running = process("consume", f"{HERE}:{name}", more=more)
    assert running.stderr is not None
    assert "waiting for the store" in running.stderr.readline()
    running.send_signal(number)
    assert running.communicate(timeout=20) == ("", "")
    assert running.returncode == 0


@pytest.mark.parametrize("name", ["copying", "copying_async", "ready"])
def test_consume_does_not_wait_where_it_is_not_let_in(
    process: Process, store_url: str, category: str, name: str
) -> None:
    more = {"CATEGORY": category, "MESSAGEDB_URL": make_url(store_url, dbname="nosuch")}
    running = process("consume", f"{HERE}:{name}", more=more)
    out, error = running.communicate(timeout=20)
    assert (running.returncode, out, error.count("\n")) == (3, "", 1)
    assert "Check the names of database and role" in error
