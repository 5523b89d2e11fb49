"""The commands of docs/recipes/outbox.md, run in the archive that the page offers."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import subprocess
import sysconfig
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import example_files
import pytest

from messagedb import AsyncClient
from tests.recipes.broker_readers import QUEUE
from tests.recipes.test_outbox import CASES, has, write
from tests.support.brokers import NoBrokerError
from tests.test_examples_downloads import outside, unpack

PAGE = (Path(__file__).parents[2] / "docs" / "recipes" / "outbox.md").read_text("utf-8")
BLOCKS = {
    shlex.split(block, comments=True)[-2]: block
    for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.S | re.M)
}
BROKER = re.compile(r"(?:amqp|nats|redis)://\S+")


def test_each_broker_has_its_commands() -> None:
    assert set(BLOCKS) == set(CASES)
    for name, block in BLOCKS.items():
        assert ("# --sync" in block) == (CASES[name].with_threads is not None)


@pytest.mark.parametrize("name", CASES)
async def test_the_commands_of_a_broker_publish_until_they_are_stopped(
    name: str, new_database: Any, tmp_path: Path
) -> None:
    case = CASES[name]
    example_files.write_archive("outbox", tmp_path / "outbox.zip")
    folder = unpack(tmp_path, "outbox", tmp_path)
    try:
        broker = case.broker()
    except NoBrokerError as error:
        pytest.fail(f"a broker is missing: {error}", pytrace=False)
    store = new_database()
    address, *before, command = BROKER.sub(lambda _: broker.url, BLOCKS[name]).splitlines()
    assert address.startswith("export MESSAGEDB_URL=")
    command = command.partition(" #")[0]
    reader = case.reader(broker.url)
    try:
        await asyncio.to_thread(broker.start)
        if before:
            (create,) = before
            create = create.replace(" orders ", f" {QUEUE} ")
            for _ in range(2):  # the stream may be there
                done = await asyncio.to_thread(call, create, folder, store)
                assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        else:
            await reader.prepare()
        ids: set[str] = set()
        async with AsyncClient(store) as client:
            for variant in ("", " --sync") if case.with_threads else ("",):
                with running(command + variant, folder, store):
                    ids |= await write(client, "order")
                    await has(reader, len(ids))
        found = await reader.read()
    finally:
        broker.close()
    assert len(found) == len(ids)
    assert {id for id, _ in found} == {event["id"] for _, event in found} == ids


def call(line: str, folder: Path, store: str) -> subprocess.CompletedProcess[str]:
    """Run a line in a shell, as its reader does."""
    return subprocess.run(
        ["sh", "-ec", line],
        cwd=folder,
        env=environment(store),
        capture_output=True,
        text=True,
        timeout=120,
    )


@contextmanager
def running(line: str, folder: Path, store: str) -> Generator[None]:
    """Run a line until SIGTERM, which it obeys."""
    with subprocess.Popen(
        ["sh", "-ec", f"exec {line}"],
        cwd=folder,
        env=environment(store),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield
            process.send_signal(signal.SIGTERM)
            printed, errors = process.communicate(timeout=60)
            assert (process.returncode, printed, errors) == (0, "", "")
        finally:
            process.kill()


def environment(store: str) -> dict[str, str]:
    """Return an environment whose programs are those beside this Python."""
    found = outside(MESSAGEDB_URL=store)
    return {**found, "PATH": f"{sysconfig.get_path('scripts')}:{found['PATH']}"}
