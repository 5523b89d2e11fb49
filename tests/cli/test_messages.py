"""Messages are written, read and followed by the command."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from collections.abc import Callable
from importlib import metadata
from uuid import uuid4

import pytest

from messagedb import Client, NewMessage, ValidationError
from messagedb._errors import name_page
from tests.cli.conftest import Command

Process = Callable[..., subprocess.Popen[str]]


def test_written_messages_are_read(command: Command, category: str) -> None:
    stream, id = f"{category}-1", str(uuid4())
    arguments = ("write", stream, "Deposited", '{"amount": 5.10}', "--id", id, "--metadata", "{}")
    assert command(*arguments).rows == [
        {"stream_name": stream, "position": 0, "type": "Deposited", "id": id}
    ]
    assert command(*arguments).rows[0]["position"] == 0  # the same id: stored once
    assert command("write", stream, "Closed").code == 0
    first, second = command("read", category).rows
    assert (first["position"], first["type"], first["id"]) == (0, "Deposited", id)
    assert (first["data"], first["metadata"]) == ({"amount": 5.1}, {})
    assert '"amount":5.10' in command("read", stream, "-n", "1").out  # with all digits
    assert (second["position"], second["type"], second["data"]) == (1, "Closed", None)
    assert first["time"].endswith("Z")
    assert command("last", stream).rows == [second]
    assert command("last", stream, "--type", "Deposited").rows == [first]


def test_lines_are_written_together_or_not_at_all(command: Command, category: str) -> None:
    stream, id = f"{category}-1", str(uuid4())
    lines = f'{{"type":"A","data":{{"n":1}}}}\n\n{{"type":"B","id":"{id}","metadata":{{"m":2}}}}\n'
    written = command("write", stream, "-", "--expected-version", "no-stream", input=lines)
    assert [(row["position"], row["type"]) for row in written.rows] == [(0, "A"), (1, "B")]
    assert written.rows[1]["id"] == id
    broken = command("write", stream, "-", input='{"type":"C"}\n{"typ":"D"}\n')
    assert broken.code == 1
    assert broken.err.startswith("messagedb: line 2 is not a message (")
    page = name_page(ValidationError(""))
    assert broken.err.endswith(f"Nothing was sent. [{page}]\n")
    assert command("last", stream).rows[0]["type"] == "B"
    assert command("write", stream, "C", "-", input='{"n": 3}').code == 0
    assert command("last", stream).rows[0]["data"] == {"n": 3}


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (("write", "{}-1", "A", "[1]"), 1, "data must be a JSON object, not [1]. Nothing was sent"),
        (("write", "{}-1", "A", "{{"), 1, "data is not JSON ("),
        (("write", "{}-1", "A", "--metadata", "1"), 1, "metadata must be a JSON object"),
        (("write", "{}-1", "A", "--expected-version", "x"), 1, "takes any, no-stream"),
        (("write", "{}-1", "A", "--expected-version", "7"), 1, "is at version 0. Nothing was"),
        (("write", "{}-1", "A", "--id", "x"), 2, "Invalid value for '--id'"),
        (("write", "{}-1", "-", "{}"), 1, "those of the lines"),
        (("read", "{}", "--from", "x"), 1, "--from takes beginning, end or a position"),
        (("read", "{}-1", "--correlation", ""), 1, "correlation must not be empty"),
        (("read", "{}", "--causation", "a-1"), 1, "stream and position of the cause"),
        (("read", "--all", "--trace-id", "x"), 1, "32 lower-case hexadecimal digits"),
        (("read", "{}", "--since", "then"), 1, "--since takes a time such as"),
        (("read", "{}", "--all"), 2, "exclude each other"),
        (("read", "{}", "--from", "1", "--since", "1h"), 2, "exclude each other"),
        (("read", "{}", "--from", "1", "--last", "1"), 2, "exclude each other"),
        (("read", "{}", "--limit", "1", "--last", "1"), 2, "exclude each other"),
        (("read", "{}", "-n", "0"), 2, "Invalid value for '--limit'"),
        (("read",), 2, "Missing argument"),
        (("last", "{}-2"), 1, "has no message"),
        (("last", "{}-1", "--type", "X"), 1, "has no message of type 'X'"),
        (("trace", "{}-\udcff"), 1, "a message is named by its id"),
        (("streams", "{}\udcff"), 1, "the pattern contains a lone surrogate"),
        (("categories", "{}\udcff"), 1, "the pattern contains a lone surrogate"),
        (("types", "{}\udcff"), 1, "the pattern contains a lone surrogate"),
        (("export", "-", "{}\udcff"), 1, "the name contains a lone surrogate"),
        (("export", "-", "{}-\udcff"), 1, "the name contains a lone surrogate"),
        (("nothing",), 2, "No such command"),
        (("--command-timeout", "0", "last", "{}-1"), 1, "command_timeout"),
        (("--schema", "nothing", "last", "{}-1"), 1, "nothing"),
        (("--url", "postgresql://localhost:1/x", "last", "{}-1"), 3, "Nothing was sent."),
        (("--url", "x y", "last", "{}-1"), 1, "conninfo"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(
    command: Command, category: str, arguments: tuple[str, ...], code: int, text: str
) -> None:
    command("write", f"{category}-1", "First")
    done = command(*(argument.format(category) for argument in arguments))
    assert (done.code, done.out) == (code, "")
    assert text in " ".join(done.err.replace("│", " ").split())
    assert "Traceback" not in done.err
    if code != 2:
        assert done.err.startswith("messagedb: ")
        assert done.err.count("\n") == 1
    assert len(command("read", category).rows) == 1


def test_parts_of_what_is_there(command: Command, category: str, store_url: str) -> None:
    with Client(store_url) as client:
        stream = f"{category}-1"
        for n in range(6):
            correlation = {"correlationStreamName": "other-1"} if n == 4 else None
            client.write_message(stream, NewMessage("AB"[n % 2], {"n": n}, metadata=correlation))
        client.write_message(f"{category}-2", NewMessage("A", {"n": 6}))
        third = client.get_stream_messages(stream, position=3)[0].global_position

    def numbers(*arguments: str) -> list[int]:
        found = command("read", *arguments, "--batch-size", "2")
        assert (found.code, found.err) == (0, "")
        return [row["data"]["n"] for row in found.rows]

    assert numbers(category) == [0, 1, 2, 3, 4, 5, 6]
    assert numbers(stream) == [0, 1, 2, 3, 4, 5]
    assert numbers(stream, "--from", "4") == [4, 5]
    assert numbers(category, "--from", str(third)) == [3, 4, 5, 6]
    assert numbers(stream, "--from", "end") == numbers(category, "--from", "end") == []
    assert numbers(stream, "--from", "beginning", "--limit", "3") == [0, 1, 2]
    assert numbers(stream, "--types", "B") == [1, 3, 5]
    assert numbers(category, "--types", "A,C", "-n", "3") == [0, 2, 4]
    assert numbers(category, "--correlation", "other") == [4]


def test_options_have_twins_in_the_environment(
    command: Command, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(3):
        command("write", f"{category}-1", "A", f'{{"n": {n}}}')
    monkeypatch.setenv("MESSAGEDB_READ_LIMIT", "2")
    monkeypatch.setenv("MESSAGEDB_READ_FROM", "1")
    monkeypatch.setenv("MESSAGEDB_FORMAT", "table")
    heading, *rows = command("read", f"{category}-1").out.splitlines()
    assert heading.startswith("global position")
    assert [row.split()[1] for row in rows] == [f"{category}-1/{n}" for n in (1, 2)]


def test_a_table_for_a_person(command: Command, category: str) -> None:
    command("write", f"{category}-1", "Deposited", '{"amount": 5.10, "b": "[bold]x"}')
    heading, row = command("--format", "table", "read", category).out.splitlines()
    assert heading.split("  ")[0] == "global position"
    assert row.split()[1] == f"{category}-1/0"
    assert row.endswith('Z  Deposited  {"b": "[bold]x", "amount": 5.10}')
    assert heading.index("type") == row.index("Deposited")


def test_on_a_terminal_and_until_ctrl_c(process: Process, command: Command, category: str) -> None:
    stream = f"{category}-1"
    command("write", stream, "First")
    ours, theirs = pty.openpty()
    reading = process("read", category, "--follow", stdout=theirs, start_new_session=True)
    os.close(theirs)
    seen = _until(ours, "First")
    assert "message" in seen
    command("write", stream, "Second")
    assert "Second" in _until(ours, "Second")
    reading.send_signal(signal.SIGINT)
    _, error = reading.communicate(timeout=20)
    os.close(ours)
    assert (reading.returncode, error) == (130, "")


def test_a_stream_is_followed_into_a_pipe(
    process: Process, command: Command, category: str
) -> None:
    stream = f"{category}-1"
    reading = process("read", stream, "--follow", "--types", "B", "-n", "2")
    for type in ("A", "B", "A", "B"):
        command("write", stream, type)
    out, error = reading.communicate(timeout=20)
    assert (reading.returncode, error) == (0, "")
    assert out.count('"type":"B"') == out.count("\n") == 2


def test_text_of_any_kind_is_printed_anywhere(
    process: Process, command: Command, category: str
) -> None:
    stream = f"{category}-1"
    command("write", stream, "Té\x1b[31m\n", '{"a": "é"}')
    (row,) = command("--format", "table", "read", stream).out.splitlines()[1:]
    assert row.endswith(r"""Té\x1b[31m\n  {"a": "é"}""")
    more = {"PYTHONIOENCODING": "ascii"}  # as a locale without é makes it
    out, error = process("read", stream, more=more, encoding="utf-8").communicate(timeout=20)
    assert ('{"a":"é"}' in out, error) == (True, "")
    table = process("read", stream, "--format", "table", more=more)
    out, error = table.communicate(timeout=20)
    assert (r"T\xe9\x1b[31m\n" in out, error) == (True, "")
    writing = process("write", stream, "-", stdin=subprocess.PIPE, errors="surrogateescape")
    _, error = writing.communicate('{"type":"\udcff"}\n', timeout=20)
    assert error.startswith("messagedb: line 1 is not a message (its bytes are not UTF-8)")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_an_output_that_takes_nothing(process: Process, command: Command, category: str) -> None:
    command("write", f"{category}-1", "A")
    with open("/dev/full", "w") as full:
        _, error = process("read", category, stdout=full).communicate(timeout=20)
    assert error == "messagedb: [Errno 28] No space left on device\n"
    closed = process("last", f"{category}-1", stdout=None, preexec_fn=lambda: os.close(1))
    _, error = closed.communicate(timeout=20)
    assert (closed.returncode, error) == (0, "")


@pytest.mark.parametrize("form", ["json", "table"])
def test_a_closed_pipe_ends_it_quietly(
    process: Process, command: Command, category: str, form: str
) -> None:
    lines = "".join(f'{{"type":"A","data":{{"n":{n},"x":"{"x" * 500}"}}}}\n' for n in range(500))
    assert command("write", f"{category}-1", "-", input=lines).code == 0
    reading = process("--format", form, "read", category)
    assert reading.stdout is not None
    assert reading.stdout.readline()
    reading.stdout.close()
    assert reading.wait(20) == 0
    assert reading.stderr is not None
    assert reading.stderr.read() == ""
    reading.stderr.close()


def _until(terminal: int, wanted: str) -> str:
    seen = ""
    while wanted not in seen:
        read = os.read(terminal, 4096).decode()
        assert read, seen
        seen += read
    return seen


def test_a_byte_order_mark_is_no_part_of_the_input(command: Command, category: str) -> None:
    stream = f"{category}-1"
    assert command("write", stream, "A", "-", input='\ufeff{"n": 1}').code == 0
    assert command("write", stream, "-", input='\ufeff{"type": "B"}\n{"type": "C"}\n').code == 0
    assert [row["type"] for row in command("read", stream).rows] == ["A", "B", "C"]


def test_a_name_without_messages_is_reported(command: Command, category: str) -> None:
    for name, kind in ((category, "category"), (f"{category}-1", "stream")):
        for options in ((), ("--from", "end"), ("--types", "Other")):
            done = command("read", name, *options)
            assert (done.code, done.out) == (1, "")
            assert f"the {kind} {name!r} has no message" in done.err
    assert command("write", f"{category}-1", "A").code == 0
    for name in (category, f"{category}-1"):
        done = command("read", name, "--types", "Other")
        assert (done.code, done.out, done.err) == (0, "", "")


def test_a_copy_without_its_dist_info_tells_its_version_as_unknown(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none(name: str) -> str:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", none)
    (row,) = command("version").rows
    assert row["messagedb"].startswith("unknown")
    assert row["schema"] == "1.3.0"
