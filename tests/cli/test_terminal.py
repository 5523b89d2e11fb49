"""Output for a terminal of some width, and for a pipe."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import termios
from collections.abc import Callable

import pytest

from tests.cli.conftest import Command

Process = Callable[..., subprocess.Popen[str]]


def see(process: Process, width: int, *arguments: str, **more: str) -> str:
    """Return what a command shows on a terminal of this width, with its colors."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    environment = {"TERM": "xterm-256color", "COLUMNS": "", "NO_COLOR": "", **more}
    running = process(*arguments, stdout=theirs, more=environment)
    os.close(theirs)
    seen = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # Linux says so at the end, and other systems read nothing
            break
        if not read:
            break
        seen += read
    os.close(ours)
    _, error = running.communicate(timeout=20)
    assert (running.returncode, error) == (0, "")
    return seen.decode().replace("\r\n", "\n")


def without_colors(text: str) -> str:
    """Remove the codes for colors."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def test_a_message_is_a_table_where_it_fits_and_a_record_where_not(
    process: Process, command: Command, category: str
) -> None:
    stream = f"{category}-1"
    command("write", stream, "Deposited", '{"amount": 5, "by": "Ada Lovelace of London"}')
    row = command("last", stream).rows[0]
    time = row["time"].replace("T", " ")[:23] + "Z"
    number = str(row["global_position"])
    heading, values = without_colors(see(process, 160, "last", stream)).splitlines()
    assert heading.split() == ["global", "position", "message", "time", "type", "data"]
    assert re.split("  +", values.strip()) == [
        *(number, f"{stream}/0", time, "Deposited"),
        '{"by": "Ada Lovelace of London", "amount": 5}',
    ]
    colored = see(process, 60, "last", stream)
    assert "\x1b[36m" in colored
    assert without_colors(colored).splitlines() == [
        f"global position  {number}",
        f"message          {stream}/0",
        f"time             {time}",
        "type             Deposited",
        "data             {",
        '                   "by": "Ada Lovelace of London",',
        '                   "amount": 5',
        "                 }",
    ]
    assert "\x1b[3" not in see(process, 60, "last", stream, NO_COLOR="1")


def test_rows_after_one_that_does_not_fit_are_records(
    process: Process, command: Command, category: str
) -> None:
    for stream in (f"{category}-1", f"{category}-{'x' * 60}", f"{category}-2"):
        command("write", stream, "A")
    seen = see(process, 100, "read", category, "--batch-size", "1")
    lines = without_colors(seen).splitlines()
    assert lines[0].split() == ["global", "position", "message", "time", "type", "data"]
    assert f"{category}-1/0" in lines[1]
    assert [line.split()[0] for line in lines[2:]] == [
        "──",
        "global",
        "message",
        "time",
        "type",
        "data",
    ] * 2
    assert f"message          {category}-{'x' * 60}/0" in lines


def test_the_variable_columns_limits_a_table_in_a_pipe(
    command: Command, category: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("write", f"{category}-1", "A", f'{{"by": "{"x " * 30}"}}')
    monkeypatch.setenv("COLUMNS", "100")  # as watch sets it
    lines = command("read", category, "--format", "table").out.splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= 100


def test_a_pipe_gets_no_color_no_lines_and_no_breaks(command: Command, category: str) -> None:
    stream = f"{category}-1"
    command("write", stream, "Deposited", f'{{"by": "{"x " * 100}"}}')
    command("write", stream, "Deposited")
    table = command("read", stream, "--format", "table").out
    assert len(table.splitlines()) == 3
    records = command("read", stream, "--format", "record").out
    assert [line[:4] for line in records.splitlines()] == [
        *("glob", "mess", "time", "type", "data", ""),
        *("glob", "mess", "time", "type", "data"),
    ]
    assert (table + records).isascii()
    assert "\x1b" not in table + records


def test_nothing_found_says_what_to_do(command: Command, category: str) -> None:
    done = command("streams", f"{category}*", "--format", "table")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"nothing in the store is named '{category}*'\n"
    assert command("streams", f"{category}*", "--json").err == ""
