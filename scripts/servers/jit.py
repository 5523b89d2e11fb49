"""The server's CPU for idle consumers and for the lag, with JIT and without, side by side."""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any, Final

import psycopg

from messagedb import AsyncClient, AsyncConsumer, Message, NewMessage, schema
from tests.support.server import OwnServer

from . import programs

_CONSUMERS: Final = 10
_ROUNDS: Final = 5
_SECONDS: Final = 10.0
_LAGS: Final = 200
_MESSAGES: Final = 20_000
_LIMIT: Final = 1.3
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def main(target: Path | None) -> int:
    """Measure both, print them, and return 1 if JIT costs more than the limit."""
    server = OwnServer(programs=programs.find(programs.DEBIAN), settings={"fsync": "off"})
    try:
        figures = asyncio.run(_measure(server))
    finally:
        server.close()
    print(f"PostgreSQL {figures['version']}, median of {_ROUNDS} rounds of each")
    print(f"{'':44} {'jit=on':>10} {'jit=off':>10} {'ratio':>6}")
    failed = False
    for name in ("consumers", "lag"):
        on, off = figures[name]["on"], figures[name]["off"]
        ratio = on / off
        failed |= ratio > _LIMIT
        print(f"{figures[name]['what']:44} {on:10.3f} {off:10.3f} {ratio:6.2f}")
        figures[name]["ratio"] = round(ratio, 2)
    if failed:
        print(f"FAILED: with JIT it costs more than {_LIMIT} times as much")
    if target is not None:
        target.write_text(json.dumps(figures, indent=2) + "\n")
    return int(failed)


async def _measure(server: OwnServer) -> dict[str, Any]:
    schema.install(server.url())
    with psycopg.connect(server.url(), autocommit=True) as conn:
        row = conn.execute("select split_part(version(), ' ', 2), pg_jit_available()").fetchone()
    assert row is not None
    assert row[1], "this server cannot compile"
    url = server.url(user="message_store")
    async with AsyncClient(url) as client:
        await _fill(client)
    with psycopg.connect(server.url(), autocommit=True) as conn:
        conn.execute("vacuum analyze message_store.messages")
    cpu: dict[str, list[float]] = {"on": [], "off": []}
    lags: dict[str, list[float]] = {"on": [], "off": []}
    for _ in range(_ROUNDS):
        for state in ("on", "off"):
            with psycopg.connect(server.url(), autocommit=True) as conn:
                conn.execute(f"alter role message_store set jit = {state}".encode())
            cpu[state].append(await _idle(server, url))
            lags[state] += await _lag(url)
    return {
        "version": row[0],
        "consumers": {
            "what": f"CPU in s: {_CONSUMERS} idle consumers, {_SECONDS:.0f} s",
            **{state: round(statistics.median(each), 3) for state, each in cpu.items()},
        },
        "lag": {
            "what": "ms: one get_lag() of a category",
            **{state: round(1000 * statistics.median(each), 3) for state, each in lags.items()},
        },
    }


async def _fill(client: AsyncClient) -> None:
    size = _MESSAGES // _CONSUMERS
    for number in range(_CONSUMERS):
        for stream in range(10):
            messages = [NewMessage("Filled", {"n": n}) for n in range(size // 10)]
            await client.write_messages(f"idle{number}-{stream}", messages)


async def _idle(server: OwnServer, url: str) -> float:
    """Return the seconds of the server's CPU while consumers wait for messages."""

    async def handle(message: Message) -> None:
        raise AssertionError(f"nothing is written meanwhile: {message.id}")

    async with AsyncClient(url, max_size=_CONSUMERS) as client:
        consumers = [
            AsyncConsumer(client, f"idle{number}", start="end") for number in range(_CONSUMERS)
        ]
        for consumer in consumers:
            consumer.handler(handle)
        tasks = [asyncio.create_task(consumer.run()) for consumer in consumers]
        # The time of a measurement, after the first look of each.
        await asyncio.sleep(1.0)
        before = _get_cpu(server)
        await asyncio.sleep(_SECONDS)
        used = _get_cpu(server) - before
        for consumer in consumers:
            await consumer.stop()
        await asyncio.gather(*tasks)
    return used


async def _lag(url: str) -> list[float]:
    async with AsyncClient(url) as client:
        times: list[float] = []
        for number in range(_LAGS):
            begun = time.perf_counter()
            lag = await client.get_lag([f"idle{number % _CONSUMERS}"], next_position=1)
            times.append(time.perf_counter() - begun)
            assert lag.messages == _MESSAGES // _CONSUMERS
    return times


def _get_cpu(server: OwnServer) -> float:
    """Return the seconds of CPU that a server and its processes, also ended ones, have used."""
    postmaster = int((server.data / "postmaster.pid").read_text().split("\n", 1)[0])
    ticks = 0
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            words = (folder / "stat").read_text().rpartition(") ")[2].split()
        except OSError:
            continue  # it has ended
        if int(folder.name) == postmaster:
            ticks += sum(map(int, words[11:15]))
        elif int(words[1]) == postmaster:
            ticks += sum(map(int, words[11:13]))
    return ticks / _TICKS
