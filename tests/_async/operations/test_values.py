"""Properties: reads return the written values, and the ways to write and read agree."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any, cast

import msgspec
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
from messagedb._messages.jsonb_size import compute_min_size
from messagedb._operations import batch_plan
from tests.support import json_values
from tests.support.setup import get_sql_version

# The workers of a pool, which are threads in one of the variants, draw random delays at any time.
pytestmark = pytest.mark.filterwarnings("ignore:Do not use the .random. module inside strategies")

SOME = settings(max_examples=60, deadline=None, derandomize=True)


@pytest.fixture(scope="session")
async def functions(store_url: str) -> AsyncIterator[AsyncClient]:
    """Return a client that writes by the server's functions only."""
    async with AsyncClient(store_url, direct_writes=False) as client:
        yield client


def new_category() -> str:
    return f"values{uuid.uuid4().hex}"


@SOME
@given(
    data=st.none() | json_values.json_objects(),
    metadata=st.none() | json_values.json_objects(),
    type_name=json_values.texts().filter(bool),
    id=json_values.texts(),
)
async def test_written_values_read_back_equal(
    client: AsyncClient, data: Any, metadata: Any, type_name: str, id: str
) -> None:
    category = new_category()
    stream = f"{category}-{id}"
    message = NewMessage(type_name, data, metadata=metadata)
    assert await client.write_message(stream, message) == 0
    assert await client.write_messages(
        f"{category}-batch", [NewMessage(type_name, data, metadata=metadata)]
    ) == [0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(batch_plan, "COPY_THRESHOLD", 1)
        copied_stream = f"{category}-copied-{id}"
        assert await client.write_messages(
            copied_stream, [NewMessage(type_name, data, metadata=metadata)]
        ) == [0]
    one, batched, copied = await client.get_category_messages(category)
    assert one.id == message.id
    assert (one.stream_name, copied.stream_name) == (stream, copied_stream)
    for stored in (one, batched, copied):
        assert stored.type == type_name
        assert kinds(stored.data) == kinds(data)
        assert kinds(stored.metadata) == kinds(metadata)
    assert one._data == batched._data == copied._data
    assert one._metadata == batched._metadata == copied._metadata


def kinds(value: Any) -> Any:
    """Return the value with the type of each part: 1 and 1.0 and True are three values."""
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


WAYS = ("batches", "copied", "functions", "bound", "transaction", "copied in a transaction")


@SOME
@given(WRITES)
async def test_a_batch_is_as_many_single_writes(
    client: AsyncClient,
    functions: AsyncClient,
    store_url: str,
    writes: list[tuple[str, list[int], Any]],
) -> None:
    # The same writes in separate stores: single writes that are rolled back on an error, and
    # batches in each way that they can be written. All outcomes and all rows are the same.
    outcomes: dict[str, list[Any]] = {}
    rows: dict[str, list[Any]] = {}
    async with await AsyncConnection.connect(store_url, autocommit=True) as conn:
        for way in ("single", *WAYS):
            category = new_category()
            ids = [uuid.uuid4() for _ in range(6)]
            results: list[Any] = []
            for stream, numbers, expected in writes:
                messages = [NewMessage("Numbered", {"n": n}, id=ids[n]) for n in numbers]
                name = f"{category}-{stream}"
                write = _write_singly if way == "single" else _write_batch
                by = functions if way == "functions" else client
                with pytest.MonkeyPatch.context() as patch:
                    if "copied" in way:
                        patch.setattr(batch_plan, "COPY_THRESHOLD", 1)
                    result = await write(by, conn, way, name, messages, expected)
                results.append(_without(category, result))
            outcomes[way] = results
            rows[way] = [
                (m.stream_name.removeprefix(category), m.position, m.type, m.data, m.metadata)
                for m in await client.get_category_messages(category)
            ]
    for way in WAYS:
        assert outcomes[way] == outcomes["single"], way
        assert rows[way] == rows["single"], way


async def _write_singly(
    client: AsyncClient,
    conn: AsyncConnection[Any],
    way: str,
    stream: str,
    messages: list[NewMessage],
    expected: Any,
) -> Any:
    bound = client.bind(conn)
    try:
        async with conn.transaction():
            return [
                await bound.write_message(
                    stream,
                    message,
                    expected_version=expected + k if isinstance(expected, int) else expected,
                )
                for k, message in enumerate(messages)
            ]
    except WrongExpectedVersionError as error:
        # A batch tells the version that the stream has when none of it is written.
        version = await client.stream_version(stream)
        return WrongExpectedVersionError(stream, error.expected_version, version)
    except DuplicateMessageError as error:
        return error


async def _write_batch(
    client: AsyncClient,
    conn: AsyncConnection[Any],
    way: str,
    stream: str,
    messages: list[NewMessage],
    expected: Any,
) -> Any:
    try:
        if way == "bound":
            async with conn.transaction():
                return await client.bind(conn).write_messages(
                    stream, messages, expected_version=expected
                )
        if "transaction" in way:
            async with client.transaction() as tx:
                return await tx.write_messages(stream, messages, expected_version=expected)
        return await client.write_messages(stream, messages, expected_version=expected)
    except (WrongExpectedVersionError, DuplicateMessageError) as error:
        return error


def _without(category: str, result: Any) -> Any:
    if isinstance(result, WrongExpectedVersionError):
        return ("wrong", result.expected_version, result.actual_version)
    if isinstance(result, DuplicateMessageError):
        existing = str(result.existing_stream_name).removeprefix(category)
        return ("duplicate", existing, result.existing_position)
    return result


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
        arguments |= {"group_member": group[0], "group_size": group[1]}
    first = (await client.get_category_messages(category, batch_size=1))[0].global_position
    arguments["position"] += first
    async with await AsyncConnection.connect(store_url) as conn:
        bound = client.bind(conn)
        stream = f"{category}-{id}"
        assert await bound.get_stream_messages(
            stream, **stream_read
        ) == await client.get_stream_messages(stream, **stream_read)
        read = await bound.get_category_messages(category, **arguments)
        assert read == await client.get_category_messages(category, **arguments)
        by_server = await read_by_function(conn, category, **category_read | arguments)
        assert [m.global_position for m in read] == by_server
        assert await bound.stream_version(stream) == await client.stream_version(stream)
        for type_name in (None, "Even", "None"):
            assert await bound.get_last_stream_message(
                stream, type=type_name
            ) == await client.get_last_stream_message(stream, type=type_name)


async def read_by_function(
    conn: AsyncConnection[Any],
    category: str,
    *,
    position: int,
    batch_size: int,
    correlation: str | None,
    group: tuple[int, int] | None,
    condition: str | None,
    **_: Any,
) -> list[int]:
    """Return the global positions that the server's own function gives, with its own filters."""
    await conn.execute(
        "SELECT set_config('search_path', 'message_store, public', true),"
        " set_config('message_store.sql_condition', 'on', true)"
    )
    if batch_size == -1 and get_sql_version() == "1.1.6":
        batch_size = 1_000_000  # its functions do not understand -1
    cursor = await conn.execute(
        "SELECT global_position FROM get_category_messages(%s::varchar, %s::bigint, %s::bigint,"
        " %s::varchar, %s::bigint, %s::bigint, %s::varchar)",
        (category, position, batch_size, correlation, *(group or (None, None)), condition),
    )
    return [row[0] for row in await cursor.fetchall()]


_filled: list[str] = []


async def filled(client: AsyncClient) -> str:
    """Return a category with some of everything, the same one each time."""
    if not _filled:
        category = new_category()
        for n in range(20):
            id = ["", "a", "a+b", "é", "x-y"][n % 5]
            origin = [None, "origin-1", "origin", "origin:command-1"][n % 4]
            metadata = None if origin is None else {"correlationStreamName": origin}
            await client.write_message(
                f"{category}-{id}",
                NewMessage("Even" if n % 2 == 0 else "Odd", {"n": n}, metadata=metadata),
            )
        await client.write_message(category, NewMessage("NoId"))
        _filled.append(category)
    return _filled[0]


VALUES: list[dict[str, Any]] = [
    {},
    {"a": None, "b": True, "c": [False] * 50},
    {"text": "é𝄞\\\n\u0001" * 20, "": ""},
    {"numbers": [0, 1, -7, 10**30, 1.5, 1e-7], "nested": [[[]], {"k": {"k": {}}}]},
    {f"key {number}": [number] * number for number in range(20)},
]


@pytest.mark.parametrize("value", VALUES)
async def test_the_size_that_is_counted_is_never_more_than_the_servers(
    conn: AsyncConnection[Any], value: Any
) -> None:
    text = msgspec.json.encode(value).decode()
    cursor = await conn.execute("select pg_column_size(%s::jsonb)", [text])
    rows = await cursor.fetchall()
    assert compute_min_size(text, 10**9) <= rows[0][0]
