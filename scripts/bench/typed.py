"""Typed messages: decoding into classes, beside decoding into dicts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from messagedb import Client, Message, MessageRegistry, NewMessage

from . import payload
from .accounts import Deposited
from .measure import Contender, measure, times_as_fast
from .report import RATE, Section
from .topic import Bench, Topic

_DICTS = "messagedb: message.data, dicts"
_CLASS = "messagedb: message.decode(Struct)"
_REGISTRY = "messagedb: registry.decode"
_TYPES = "messagedb: message.decode(types)"
_DATACLASS = "messagedb: message.decode(dataclass)"
_VERSION = "messagedb: registry.decode, version 1 of 1"
_UPCAST = "messagedb: registry.decode, from version 1 to 2"
_READ_DICTS = "messagedb: read_stream, every .data, dicts"
_READ_TYPED = "messagedb: read_stream(types=), every .data"

# At most 1.25 times the time; an upcaster needs a dict and the instance that is made of it.
_WANTED = 1 / 1.25
_WANTED_UPCAST = 0.4


@dataclasses.dataclass(frozen=True)
class PlainDeposited:
    """The payload as a dataclass, whose fields have the names of the keys."""

    accountId: str
    amount: float
    currency: str
    reference: str
    depositedBy: str
    branch: int
    confirmed: bool


class NewDeposited(Deposited, frozen=True, rename="camel"):
    """The payload with a field that older messages do not have."""

    channel: str


def run(bench: Bench) -> Iterator[Section]:
    """Measure decoding alone, then with the reading."""
    count = bench.pick(100_000, 1_000)
    turns = bench.pick(2, 1)
    registry = _registry(Deposited)
    types = registry.types(Deposited)
    with bench.server.genuine() as genuine:
        stream = payload.stream(payload.category("typed"))
        with Client(genuine.conninfo, registry=registry) as client:
            marked_stream = payload.stream(payload.category("typed"))
            client.write_messages(stream, [payload.message() for _ in range(count)])
            client.write_messages(
                marked_stream,
                [
                    NewMessage(payload.TYPE, payload.DATA, metadata={"schemaVersion": "1"})
                    for _ in range(count)
                ],
            )
            genuine.settle()
            messages = list(client.read_stream(stream))
            marked = list(client.read_stream(marked_stream))
            yield _decoding(bench, messages, marked, registry)
            del messages, marked

            def read_dicts() -> None:
                for message in client.read_stream(stream):
                    _ = message.data

            def read_typed() -> None:
                for message in client.read_stream(stream, types=types):
                    _ = message.data

            measures = measure(
                [
                    Contender(_READ_DICTS, read_dicts, count),
                    Contender(_READ_TYPED, read_typed, count),
                ],
                bench.rounds,
                turns,
            )
    dicts, typed = measures
    yield Section(
        title=f"a stream of {count:,} messages is read and decoded",
        unit=RATE,
        measures=measures,
        comparisons=[times_as_fast(typed, dicts, _WANTED)],
    )


def _registry(cls: type[Any], version: int | None = None) -> MessageRegistry:
    registry = MessageRegistry()
    registry.add(cls, type=payload.TYPE, version=version)
    return registry


def _decoding(
    bench: Bench,
    messages: list[Message[Any]],
    marked: list[Message[Any]],
    registry: MessageRegistry,
) -> Section:
    count = len(messages)
    types = registry.types(Deposited)
    versioned = _registry(Deposited, version=1)
    newer = _registry(NewDeposited, version=2)

    @newer.upcaster(payload.TYPE, from_version=1)
    def add_channel(data: dict[str, Any]) -> dict[str, Any]:
        data["channel"] = "branch"
        return data

    newer.check()

    def dicts() -> None:
        for message in messages:
            _ = message.data

    def with_class(cls: type[Any]) -> Callable[[], None]:
        def run() -> None:
            for message in messages:
                message.decode(cls)

        return run

    def with_types() -> None:
        for message in messages:
            message.decode(types)

    def with_registry(registry: MessageRegistry, given: list[Message[Any]]) -> Callable[[], None]:
        def run() -> None:
            for message in given:
                registry.decode(message)

        return run

    measures = measure(
        [
            Contender(_DICTS, dicts, count),
            Contender(_CLASS, with_class(Deposited), count),
            Contender(_REGISTRY, with_registry(registry, messages), count),
            Contender(_TYPES, with_types, count),
            Contender(_DATACLASS, with_class(PlainDeposited), count),
            Contender(_VERSION, with_registry(versioned, marked), count),
            Contender(_UPCAST, with_registry(newer, marked), count),
        ],
        bench.rounds,
        bench.pick(3, 1),
    )
    first, *others = measures
    return Section(
        title=f"{count:,} messages are decoded",
        unit=RATE,
        measures=measures,
        comparisons=[
            times_as_fast(each, first, _WANTED_UPCAST if each.name == _UPCAST else _WANTED)
            for each in others
        ],
    )


TOPIC = Topic(
    "typed",
    "Typed messages",
    "Messages that were read before are decoded, all in memory: into dicts by message.data, and"
    " into instances of a class with the payload's fields, which are checked against their types."
    " The last two read the version in the metadata, too, and one of them converts a dict to the"
    " next version. Then both with the reading, from a genuine Message DB.",
    run,
)
