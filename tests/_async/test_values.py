"""What is written is what is read, and the ways to write and read agree: properties."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import uuid
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from psycopg import AsyncConnection

from messagedb import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    AsyncClient,
    DuplicateMessageError,
    NewMessage,
    WrongExpectedVersionError,
)
from tests.support import json_values

# The workers of a pool, which are threads in one of the halves, draw random delays at any time.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")

SOME = settings(max_examples=60, deadline=None, derandomize=True)


def new_category() -> str:
    return f"values{uuid.uuid4().hex}"


@SOME
@given(
    data=st.none() | json_values.json_objects(),
    metadata=st.none() | json_values.json_objects(),
    type_name=json_values.texts().filter(bool),
    id=json_values.texts(),
)
async def test_what_is_written_is_what_is_read(
    client: AsyncClient, data: Any, metadata: Any, type_name: str, id: str
) -> None:
    category = new_category()
    stream = f"{category}-{id}"
    message = NewMessage(type_name, data, metadata)
    assert await client.write_message(stream, message) == 0
    assert await client.write_messages(
        f"{category}-batch", [NewMessage(type_name, data, metadata)]
    ) == [0]
    one, batched = await client.get_category_messages(category)
    assert one.id == message.id
    assert one.stream_name == stream
    for stored in (one, batched):
        assert stored.type == type_name
        assert kinds(stored.data) == kinds(data)
        assert kinds(stored.metadata) == kinds(metadata)
    assert one._data == batched._data
    assert one._metadata == batched._metadata


def kinds(value: Any) -> Any:
    """The value with the kind of each of its parts: 1 and 1.0 and True are three values."""
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value)
        return {name: kinds(part) for name, part in items.items()}
    if isinstance(value, list):
        return [kinds(part) for part in cast("Any", value)]
    return type(value), value


# A few ids, streams and versions, so that they meet often.
WRITES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b"]),
        st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True),
        st.sampled_from([ANY, NO_STREAM, STREAM_EXISTS, 0, 1, 2]),
    ),
    min_size=1,
    max_size=8,
)


@SOME
@given(WRITES)
async def test_a_batch_is_as_many_single_writes(
    client: AsyncClient, store_url: str, writes: list[tuple[str, list[int], Any]]
) -> None:
    # The same writes in three stores of their own: batches, single writes that are taken back on an
    # error, and batches in a transaction of the caller's. All outcomes and all rows are the same.
    outcomes: list[list[Any]] = []
    rows: list[list[Any]] = []
    async with await AsyncConnection.connect(store_url, autocommit=True) as conn:
        bound = client.bind(conn)
        for way in ("batches", "single", "bound"):
            category = new_category()
            ids = [uuid.uuid4() for _ in range(6)]
            results: list[Any] = []
            for stream, numbers, expected in writes:
                messages = [NewMessage("Numbered", {"n": n}, id=ids[n]) for n in numbers]
                name = f"{category}-{stream}"
                try:
                    if way == "batches":
                        result: Any = await client.write_messages(
                            name, messages, expected_version=expected
                        )
                    elif way == "bound":
                        async with conn.transaction():
                            result = await bound.write_messages(
                                name, messages, expected_version=expected
                            )
                    else:
                        async with conn.transaction():
                            result = [
                                await bound.write_message(
                                    name,
                                    message,
                                    expected_version=expected + k
                                    if isinstance(expected, int)
                                    else expected,
                                )
                                for k, message in enumerate(messages)
                            ]
                except WrongExpectedVersionError as error:
                    result = ("wrong", error.expected_version, error.actual_version)
                except DuplicateMessageError as error:
                    existing = str(error.existing_stream_name).removeprefix(category)
                    result = ("duplicate", existing, error.existing_position)
                results.append(result)
            outcomes.append(results)
            stored = await client.get_category_messages(category)
            rows.append(
                [(m.stream_name.removeprefix(category), m.position, m.data["n"]) for m in stored]
            )
    assert outcomes[0] == outcomes[1] == outcomes[2]
    assert rows[0] == rows[1] == rows[2]


READS = st.fixed_dictionaries(
    {
        "position": st.integers(-2, 30),
        "batch_size": st.sampled_from([-1, 0, 1, 3, 1000]),
    },
)
CATEGORY_READS = st.fixed_dictionaries(
    {
        "position": st.integers(-2, 30),
        "batch_size": st.sampled_from([-1, 0, 1, 3, 1000]),
        "correlation": st.sampled_from([None, "origin", "origin:command"]),
        "group": st.sampled_from([None, (0, 1), (0, 2), (1, 2), (2, 3), (6, 7)]),
        "condition": st.sampled_from([None, "position > 0", "type = 'Even' OR position = 1"]),
    },
)


@SOME
@given(
    stream_read=READS,
    category_read=CATEGORY_READS,
    id=st.sampled_from(["", "a", "a+b", "é", "x-y"]),
)
async def test_a_bound_connection_reads_what_the_functions_read(
    client: AsyncClient, store_url: str, stream_read: Any, category_read: Any, id: str
) -> None:
    category = await filled(client)
    group = category_read["group"]
    arguments = {name: value for name, value in category_read.items() if name != "group"}
    if group is not None:
        arguments |= {"consumer_group_member": group[0], "consumer_group_size": group[1]}
    first = (await client.get_category_messages(category, batch_size=1))[0].global_position
    arguments["position"] += first
    async with await AsyncConnection.connect(store_url) as conn:
        bound = client.bind(conn)
        stream = f"{category}-{id}"
        assert await bound.get_stream_messages(
            stream, **stream_read
        ) == await client.get_stream_messages(stream, **stream_read)
        assert await bound.get_category_messages(
            category, **arguments
        ) == await client.get_category_messages(category, **arguments)
        assert await bound.stream_version(stream) == await client.stream_version(stream)
        for type_name in (None, "Even", "None"):
            assert await bound.get_last_stream_message(
                stream, type=type_name
            ) == await client.get_last_stream_message(stream, type=type_name)


_filled: list[str] = []


async def filled(client: AsyncClient) -> str:
    """Give a category with some of everything, the same one each time."""
    if not _filled:
        category = new_category()
        for n in range(20):
            id = ["", "a", "a+b", "é", "x-y"][n % 5]
            origin = [None, "origin-1", "origin", "origin:command-1"][n % 4]
            metadata = None if origin is None else {"correlationStreamName": origin}
            await client.write_message(
                f"{category}-{id}", NewMessage("Even" if n % 2 == 0 else "Odd", {"n": n}, metadata)
            )
        await client.write_message(category, NewMessage("NoId"))
        _filled.append(category)
    return _filled[0]
