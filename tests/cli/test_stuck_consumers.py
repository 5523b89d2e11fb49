"""Another process is asked why a consumer is stuck, and answers within five seconds."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx2
import pytest

from messagedb import AsyncClient, Client, NewMessage
from messagedb.testing import FaultProxy
from messagedb.ui import create_app
from tests.cli.conftest import Command
from tests.cli.test_terminal import see, without_colors
from tests.support.background_sync import sleep

Process = Callable[..., subprocess.Popen[str]]

TARGET = "tests.cli.consumers_to_run:stuck"


@pytest.fixture
def started(process: Process) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Return a function that starts a consumer of a category, which is killed in the end."""
    with ExitStack() as stack:

        def start(category: str, **more: str) -> subprocess.Popen[str]:
            running = process(
                "consume",
                TARGET,
                more={"CATEGORY": category, "MESSAGEDB_CONSUME_LOG_LEVEL": "warning", **more},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            stack.callback(running.wait)
            stack.callback(running.kill)
            return running

        yield start


def see_when(
    command: Command, category: str, condition: Callable[[dict[str, Any]], object], limit: float
) -> dict[str, Any]:
    """Return the row of the category's consumer when a condition holds; within so many seconds."""
    until = time.monotonic() + limit
    while True:
        done = command("consumers", "status", category)
        if done.rows and condition(done.rows[0]):
            return done.rows[0]
        assert time.monotonic() < until, f"not so within {limit} s: {done}"
        sleep(0.2)


def has_in_flight(row: dict[str, Any]) -> bool:
    return row["in_flight"] is not None


def read_consumers_page(url: str, wanted: str) -> list[str]:
    """Return the rows of the page of consumers in the UI, without HTML."""
    token = "the token of the test"

    async def read() -> str:
        async with AsyncClient(url) as client:
            transport = httpx2.ASGITransport(create_app(client, token=token))
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx2.AsyncClient(
                transport=transport, base_url="http://127.0.0.1", headers=headers
            ) as browser:
                response = await browser.get("/consumers", params={"q": wanted})
                assert response.status_code == 200
                return response.text

    rows = asyncio.run(read()).partition("<tbody>")[2].split("<tr>")[1:]
    return [re.sub(r"\s+", " ", re.sub("<[^>]*>", "", row)) for row in rows]


def in_state(state: str) -> Callable[[dict[str, Any]], bool]:
    return lambda row: row["state"] == state


def test_why_a_consumer_is_stuck(
    store_url: str,
    command: Command,
    started: Callable[..., subprocess.Popen[str]],
    process: Process,
    category: str,
) -> None:
    with Client(store_url) as client, FaultProxy(store_url) as proxy:
        for name in ("killed", "paused", "away"):
            client.write_message(f"{category}{name}-1", NewMessage("Slow"))
        processes = {
            name: started(f"{category}{name}") for name in ("failing", "killed", "paused")
        } | {"away": started(f"{category}away", MESSAGEDB_URL=proxy.url)}
        owners = {name: f"{socket.gethostname()}:{each.pid}" for name, each in processes.items()}
        before = {
            name: see_when(command, f"{category}{name}", has_in_flight, 60)
            for name in ("killed", "paused", "away")
        }
        see_when(command, f"{category}failing", in_state("caught up"), 60)

        processes["killed"].kill()
        processes["paused"].send_signal(signal.SIGSTOP)
        proxy.stall()
        client.write_messages(f"{category}failing-1", [NewMessage("A"), NewMessage("Bad")])

        row = see_when(command, f"{category}failing", lambda row: row["last_failure"], 5)
        failure, in_flight = row["last_failure"], row["in_flight"]
        assert (failure["stream_name"], failure["position"]) == (f"{category}failing-1", 1)
        assert (failure["type"], failure["error"]) == ("Bad", "ValueError: no such address")
        assert failure["attempt"] == in_flight["attempt"] >= 1
        assert row["since"] <= in_flight["since"] <= failure["failed_at"]
        assert (row["owner"], row["state"]) == (owners["failing"], "retrying")

        for name, state in (("killed", "not running"), ("paused", "no report")):
            row = see_when(command, f"{category}{name}", in_state(state), 5)
            assert row["owner"] == owners[name]
            assert row["in_flight"] == before[name]["in_flight"]
        # Its lease lasts for a while: the server takes a silent connection for a live one.
        row = see_when(command, f"{category}away", in_state("no report"), 5)
        assert (row["owner"], row["in_flight"]) == (owners["away"], before["away"]["in_flight"])

        page = {
            name: row
            for row in read_consumers_page(store_url, category)
            for name in processes
            if f"{category}{name}" in row.partition(",")[0]
        }
        # Meanwhile its attempts may have come to an end.
        expected = {"failing": ("retrying", "failed"), "killed": ("not running",)}
        for name in processes:
            assert f"{owners[name]}, began " in page[name]
            assert any(state in page[name] for state in expected.get(name, ("no report",)))
            assert f"{category}{name}-1/{int(name == 'failing')}, attempt " in page[name]
        assert "ValueError: no such address" in page["failing"]

        shown = without_colors(see(process, 400, "consumers", "status", f"{category}failing"))
        assert f"{category}failing-1/1, attempt " in shown
        assert "ValueError: no such address" in shown
        assert "1 consumer: 1 " in shown


def test_a_position_without_a_report_may_be_of_another_library(
    store_url: str, command: Command, category: str
) -> None:
    with Client(store_url) as client:
        client.write_message(f"{category}:position-ruby", NewMessage("Recorded", {"position": 1}))
    (row,) = command("consumers", "status", category).rows
    assert (row["state"], row["owner"], row["next_position"]) == ("not ours", None, 2)


def test_a_category_without_a_consumer(command: Command, category: str) -> None:
    done = command("consumers", "status", category)
    assert (done.code, done.out) == (1, "")
    assert f"no consumer of category '{category}'" in done.err


def test_it_is_watched_until_it_is_interrupted(
    store_url: str, process: Process, command: Command, category: str
) -> None:
    refused = command("consumers", "status", "--watch", "--max-lag", "1")
    assert refused.code == 1
    with Client(store_url) as client:
        client.write_message(f"{category}:position-ruby", NewMessage("Recorded", {"position": 1}))
    running = process("consumers", "status", category, "--watch", "--every", "0.1", "--json")
    assert running.stdout is not None
    lines = [running.stdout.readline() for _ in range(2)]
    assert all('"not ours"' in line for line in lines)
    running.send_signal(signal.SIGINT)
    running.communicate(timeout=20)
    assert running.returncode == 130
