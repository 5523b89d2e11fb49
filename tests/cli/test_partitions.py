"""Partitions of consumers are shown by the CLI: their owners, and those that have none."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from messagedb import Client, NewMessage
from tests.cli.conftest import Command
from tests.support.background_sync import eventually

Process = Callable[..., subprocess.Popen[str]]

TARGET = "tests.cli.consumers_to_run:sharing"


@pytest.fixture
def start(process: Process, category: str) -> Callable[[str], subprocess.Popen[str]]:
    """Return a function that starts a process of this name, which shares the partitions."""

    def run(name: str) -> subprocess.Popen[str]:
        return process("consume", TARGET, more={"CATEGORY": category, "MEMBER": name})

    return run


def read(command: Command, category: str) -> dict[str, Any]:
    """Return the row of the consumer; an empty one before it is there."""
    rows = command("consumers", "status", category).rows
    return rows[0] if rows else {"owned": None, "processes": []}


def find_owners(command: Command, category: str) -> list[str | None]:
    """Return the owner of each partition."""
    rows = command("consumers", "status", category, "--partitions").rows
    return [each["owner"] for each in rows]


def shares(command: Command, category: str) -> list[int]:
    """Return how many partitions each process owns."""
    return [each["owned"] for each in read(command, category)["processes"]]


def test_status_says_which_partitions_have_no_owner_and_who_took_them(
    store_url: str, command: Command, start: Callable[[str], subprocess.Popen[str]], category: str
) -> None:
    """One process is killed, and one is stopped and goes on."""
    with Client(store_url, max_size=1) as client:
        for n in range(8):
            client.write_message(f"{category}-{n}", NewMessage("Noted"))
    first, second = start("first"), start("second")
    try:
        eventually(lambda: shares(command, category) == [2, 2], 40)
        row = read(command, category)
        assert (row["consumer"], row["size"]) == (f"{category}:position-sharing", 4)
        assert row["partitions"] == "4/4 owned, 2 processes"
        assert sorted(find_owners(command, category), key=str) == [*["first"] * 2, *["second"] * 2]
        number = find_owners(command, category).index("first")
        done = command("consumers", "release", category, "sharing", str(number)).rows
        assert done == [{"consumer": row["consumer"], "partition": number, "released_by": "first"}]
        eventually(lambda: find_owners(command, category)[number] == "second", 20)
        first.kill()
        second.send_signal(signal.SIGSTOP)
        eventually(lambda: read(command, category)["owned"] == 0, 20)
        row = read(command, category)
        assert (row["state"], row["unowned"]) == ("not running", [0, 1, 2, 3])
        free = command("consumers", "status", category, "--partitions").rows
        assert [each["state"] for each in free] == ["no owner"] * 4
        assert all(each["unowned_seconds"] >= 0 for each in free)
        second.send_signal(signal.SIGCONT)
        eventually(lambda: find_owners(command, category) == ["second"] * 4, 30)
        assert [each["name"] for each in read(command, category)["processes"]] == ["second"]
    finally:
        for each in (first, second):
            each.kill()
            each.communicate()


def test_the_number_of_partitions_is_changed(
    store_url: str, command: Command, start: Callable[[str], subprocess.Popen[str]], category: str
) -> None:
    """While a process runs; of a consumer that has none it is refused."""
    names = (category, "sharing")
    refused = command("consumers", "resize", *names, "6")
    assert (refused.code, refused.out) == (1, "")
    assert "Nothing was changed" in refused.err
    with Client(store_url, max_size=1) as client:
        for n in range(8):
            client.write_message(f"{category}-{n}", NewMessage("Noted"))
    only = start("only")
    try:
        eventually(lambda: shares(command, category) == [4], 40)
        row = {"consumer": f"{category}:position-sharing", "old_size": 4, "size": 6}
        assert command("consumers", "resize", *names, "6").rows == [row]
        assert command("consumers", "resize", *names, "6").rows == [{**row, "old_size": 6}]
        eventually(lambda: shares(command, category) == [6], 20)
    finally:
        only.kill()
        only.communicate()
