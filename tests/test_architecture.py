"""The page on the architecture agrees with the code: files, names, layers, roads and numbers."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import AsyncIterator
from functools import partial
from types import FrameType
from typing import Any

import pytest
import roads
from roads import IO, PAGE, PURE, Step

from messagedb import AsyncClient, AsyncConsumer, DuplicateMessageError, NewMessage
from messagedb._consumers.activity_log import ActivityLog
from tests.support.background_async import eventually
from tests.support.store import stored

ROOT = PAGE.parents[1]
TEXT = PAGE.read_text()
WRITE, CONFLICT, LOST, CONSUME = roads.roads_of()
FILES = [
    path.relative_to(ROOT).as_posix()
    for root in (PURE, IO)
    for path in (ROOT / root).rglob("*.py")
    if "_sync" not in path.parts
]
CODE = re.compile(r"`([^`\n]+)`")


def names_in(file: str) -> set[str]:
    """Return the functions, classes and methods of a file, methods with their class."""
    found: set[str] = set()
    for node in ast.parse((ROOT / file).read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{each.name}"
                for each in node.body
                if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef)
            }
    return found


@pytest.mark.parametrize("step", [step for road in roads.roads_of() for step in road if step.file])
def test_a_step_of_a_road_names_a_function_of_its_file(step: Step) -> None:
    assert step.file in FILES
    assert not step.name or step.name in names_in(step.file)


def test_the_files_and_methods_in_the_text_exist() -> None:
    everything = {name for file in FILES for name in names_in(file)}
    for code in CODE.findall(TEXT):
        if re.fullmatch(r"[\w/]+\.py", code):
            there = (ROOT / code).exists() or any(file.endswith(f"/{code}") for file in FILES)
            assert there, f"the page names {code}"
        elif re.fullmatch(r"[A-Z]\w+\.\w+", code):
            assert code in everything, f"the page names {code}"


def test_the_answers_name_functions_of_their_files() -> None:
    rows = TEXT.partition("## Where do I look for")[2].splitlines()[4:]
    assert len(rows) == 14
    for row in rows:
        codes = CODE.findall(row)
        files = [code for code in codes if code in FILES]
        folders = [code for code in codes if code.endswith("/")]
        assert files or folders, row
        assert all((ROOT / folder).is_dir() for folder in folders), row
        known = {name for file in files for name in names_in(file)}
        for code in codes:
            if re.fullmatch(r"[\w.]+", code) and not code.endswith(".py"):
                owner = code in known or "." in code  # methods are checked above
                assert owner, f"{code} is not in {files}"


def test_the_table_of_layers_is_the_contract() -> None:
    table = TEXT.partition("## Layers")[2].partition("\n## ")[0]
    found: list[set[str]] = []
    for line in table.splitlines():
        if line.startswith("|"):
            pure, io = line.split("|")[1:3]
            names = {f"messagedb.{name}" for name in CODE.findall(pure)}
            found.append(names | {f"_messagedb_async.{name}" for name in CODE.findall(io)})
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]
    (contract,) = (each for each in settings["contracts"] if each["type"] == "layers")
    layers = [{name.strip() for name in layer.split(":")} for layer in contract["layers"]]
    assert found[2:] == layers  # without the head of the table and the line below it


class Trace:
    """The functions of this library that are called in a block."""

    def __init__(self) -> None:
        self.steps: set[tuple[str, str]] = set()

    @property
    def modules(self) -> set[str]:
        return {module for module, _ in self.steps}

    def __enter__(self) -> Trace:
        self.steps.clear()
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        module: str = frame.f_globals.get("__name__", "")
        if event == "call" and module.partition(".")[0] in ("messagedb", "_messagedb_async"):
            self.steps.add((module, frame.f_code.co_qualname))

    def check(self, road: list[Step]) -> None:
        for step in road:
            if step.name and step.file:
                assert (step.module, step.name) in self.steps, f"{step.name} was not called"


def stated(pattern: str) -> int:
    """Return the number that the page states, to be compared with the smallest of some runs.

    The pool of the client works in the same thread, and adds modules to some of them.
    """
    (number,) = re.findall(pattern, TEXT)
    return int(number)


@pytest.fixture
async def client(store_url: str) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(store_url) as client:
        yield client


async def ignore(_: Any) -> None: ...


def new_message() -> NewMessage:
    return NewMessage("Deposited", {"amount": 5})


async def test_a_write_takes_its_road(client: AsyncClient, category: str) -> None:
    await client.write_message(f"{category}-1", new_message())
    counts: list[int] = []
    for _ in range(5):
        message = new_message()
        with Trace() as trace:
            await client.write_message(f"{category}-1", message)
        trace.check(WRITE)
        counts.append(len(trace.modules))
    assert min(counts) == stated(r"passes (\d+) of our modules")


async def test_a_refused_write_takes_its_road(client: AsyncClient, category: str) -> None:
    message = new_message()
    await client.write_message(f"{category}-1", message)
    with Trace() as trace, pytest.raises(DuplicateMessageError):
        await client.write_message(f"{category}-2", message)
    trace.check(CONFLICT)


async def test_a_consumed_message_takes_its_road(client: AsyncClient, category: str) -> None:
    consumer = AsyncConsumer(client, category, identifier="a")
    consumer.handler("Deposited")(ignore)

    counts: list[int] = []
    for number in range(6):
        await client.write_message(f"{category}-1", new_message())
        with Trace() as trace:
            await consumer.run(until="caught_up")
        if number:  # the first run has no stored position yet
            trace.check(CONSUME)
            counts.append(len(trace.modules))
    assert min(counts) == stated(r"its return, passes (\d+) modules")


def has_passed(trace: Trace, url: str, stream: str, count: int) -> bool:
    """Return True if a stream has more messages than that, and the consumer has looked again.

    The stored position is seen from outside before the consumer's next look, which is the last
    of the road, has begun.
    """
    is_caught_up = (ActivityLog.__module__, "ActivityLog.note_caught_up") in trace.steps
    return is_caught_up and len(stored(url, stream)) > count


async def test_a_message_of_a_running_consumer_passes_as_many_modules(
    client: AsyncClient, store_url: str, category: str
) -> None:
    options: dict[str, Any] = {"lease_timeout": None, "position_update_interval": 1}
    consumer = AsyncConsumer(client, category, identifier="a", poll_interval=0.02, **options)
    consumer.handler("Deposited")(ignore)
    stream = consumer.name
    samples: list[set[str]] = []
    async with consumer.running():
        while len(samples) < 12:
            # Before the write: its position may be stored as soon as that returns.
            count = len(stored(store_url, stream))
            await client.write_message(f"{category}-1", new_message())
            before = consumer.status()
            with Trace() as trace:
                # The trace would show a call of ours, such as status().
                await eventually(partial(has_passed, trace, store_url, stream, count), 30)
            after = consumer.status()
            is_within = before.next_position == before.stored_next_position != after.next_position
            if is_within and after.next_position == after.stored_next_position:
                samples.append(set(trace.modules))
    # Beside it others work in the same thread, not always the same ones.
    passed = {module for module in samples[0] if all(module in each for each in samples)}
    assert len(passed) == stated(r"message passes\n(\d+) modules")
