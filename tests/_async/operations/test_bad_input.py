"""Bad input: a typed error before anything is sent; nothing written, no connection lost."""

from __future__ import annotations

import random
import string
from typing import Any

import pytest

from messagedb import (
    AsyncClient,
    IncompatibleServerError,
    NewMessage,
    StoreUnavailableError,
    ValidationError,
)

MESSAGE = NewMessage("Noted")
SURROGATE = "a-\ud800"

WRITES: list[tuple[str, dict[str, Any], str]] = [
    ("", {}, "must not be empty"),
    ("a-\0", {}, "NUL"),
    (SURROGATE, {}, "surrogate"),
    (f"a-{'é' * 1400}", {}, "2672"),
    (None, {}, "must be a str"),  # type: ignore[list-item]
    ("a-1", {"expected_version": None}, "ANY for no check"),
    ("a-1", {"expected_version": -2}, "-1"),
    ("a-1", {"expected_version": True}, "expected_version"),
    ("a-1", {"expected_version": 1.0}, "expected_version"),
    ("a-1", {"expected_version": 2**63}, "64 bits"),
]

STREAM_READS: list[tuple[str, dict[str, Any], str]] = [
    ("account", {}, "is a category.*read_category"),
    ("", {}, "must not be empty"),
    ("a-\0", {}, "NUL"),
    ("a-1", {"batch_size": -2}, "batch_size"),
    ("a-1", {"batch_size": "5"}, "batch_size"),
    ("a-1", {"position": "0"}, "position"),
    ("a-1", {"position": 2**63}, "64 bits"),
    ("a-1", {"condition": " "}, "condition"),
    ("a-1", {"condition": 5}, "condition"),
]

CATEGORY_READS: list[tuple[str, dict[str, Any], str]] = [
    ("account-1", {}, "must be a category.*'account'.*get_stream_messages"),
    ("", {}, "must not be empty"),
    ("a\0", {}, "NUL"),
    ("a", {"batch_size": -2}, "batch_size"),
    ("a", {"correlation": "b-1"}, "correlation must be a category"),
    ("a", {"group_member": 0}, "together"),
    ("a", {"group_size": 1}, "together"),
    ("a", {"group_member": 0, "group_size": 0}, "between 1 and 32767"),
    ("a", {"group_member": 0, "group_size": 32768}, "between 1 and 32767"),
    ("a", {"group_member": 1, "group_size": 1}, "between 0 and 0"),
    ("a", {"group_member": -1, "group_size": 2}, "between 0 and 1"),
    ("a", {"group_member": True, "group_size": 2}, "integer"),
]


def incompressible(length: int) -> str:
    """Text of which an index has to take all bytes."""
    return "".join(random.choices(string.ascii_letters + string.digits, k=length))


@pytest.fixture
async def unreachable() -> AsyncClient:
    """Return a client that fails on sending: what it refuses otherwise is refused before."""
    return AsyncClient("host=127.0.0.1 port=1 dbname=none")


@pytest.mark.parametrize(("stream_name", "arguments", "text"), WRITES)
async def test_writes(
    unreachable: AsyncClient, stream_name: str, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValidationError, match=text):
        await unreachable.write_message(stream_name, MESSAGE, **arguments)
    with pytest.raises(ValidationError, match=text):
        await unreachable.write_messages(stream_name, [MESSAGE], **arguments)


@pytest.mark.parametrize(("stream_name", "arguments", "text"), STREAM_READS)
async def test_stream_reads(
    unreachable: AsyncClient, stream_name: str, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValidationError, match=text):
        await unreachable.get_stream_messages(stream_name, **arguments)
    with pytest.raises(ValidationError, match=text):
        assert [m async for m in unreachable.read_stream(stream_name, **arguments)] == []


@pytest.mark.parametrize(("category", "arguments", "text"), CATEGORY_READS)
async def test_category_reads(
    unreachable: AsyncClient, category: str, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValidationError, match=text):
        await unreachable.get_category_messages(category, **arguments)
    with pytest.raises(ValidationError, match=text):
        assert [m async for m in unreachable.read_category(category, **arguments)] == []


async def test_the_rest(unreachable: AsyncClient) -> None:
    with pytest.raises(ValidationError, match="at least 1"):
        assert [m async for m in unreachable.read_stream("a-1", batch_size=0)] == []
    with pytest.raises(ValidationError, match="must not be empty"):
        await unreachable.stream_version("")
    with pytest.raises(ValidationError, match="must be a str"):
        await unreachable.get_last_stream_message("a-1", type=5)  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match="id"):
        await unreachable.write_message("a-1", MESSAGE, id="not-a-uuid")
    with pytest.raises(ValidationError, match="NewMessage"):
        await unreachable.write_message("a-1", {"type": "A"})  # type: ignore[arg-type]
    with pytest.raises(ValidationError, match=r"messages\[1\] must be a NewMessage"):
        await unreachable.write_messages("a-1", [MESSAGE, None])  # type: ignore[list-item]
    with pytest.raises(ValidationError, match="data"):
        await unreachable.write_message("a-1", NewMessage("A", [1]))
    with pytest.raises(ValidationError, match="metadata"):
        await unreachable.write_message("a-1", MESSAGE, metadata={"a": float("inf")})
    with pytest.raises(StoreUnavailableError):
        await unreachable.stream_version("a-1")


async def test_nothing_was_lost_by_bad_input(store_url: str, category: str) -> None:
    async with AsyncClient(store_url, max_size=1, timeout=2) as single:
        for stream_name, arguments, text in WRITES:
            with pytest.raises(ValidationError, match=text):
                await single.write_message(stream_name, NewMessage("Noted"), **arguments)
        assert await single.write_message(f"{category}-1", NewMessage("Noted")) == 0


async def test_the_longest_stream_name_is_written_and_read(
    client: AsyncClient, category: str
) -> None:
    longest = f"{category}-{incompressible(2672)}"[:2672]
    assert await client.write_message(longest, NewMessage("Noted")) == 0
    assert (await client.get_stream_messages(longest))[0].stream_name == longest
    with pytest.raises(ValidationError, match="2672"):
        await client.write_message(longest + "x", NewMessage("Noted"))


async def test_a_server_refusal_says_how_to_fix_it(client: AsyncClient, category: str) -> None:
    stream = f"{category}{incompressible(2000)}-1"
    message = NewMessage("A", None, metadata={"correlationStreamName": incompressible(2000)})
    with pytest.raises(ValidationError, match="shorten the stream name") as caught:
        await client.write_message(stream, message)
    assert "Nothing was written" in str(caught.value)
    assert await client.stream_version(stream) == -1
    assert await client.write_message(f"{category}-1", NewMessage("Noted")) == 0


@pytest.mark.parametrize(
    "conninfo",
    [
        "postgresql://user:se/cret@host/db",
        "postgresql://user:12/secret@host/db",
        "postgresql://user:se@cret@host/db",
        "postgresql://user:se?cret@host/db",
        "postgresql://user:secret@host:port:port/db",
        "host=localhost port=secret",
        "password=secret host",
        "secret",
    ],
)
async def test_a_wrong_url_is_refused_and_not_shown(conninfo: str) -> None:
    with pytest.raises(ValidationError, match="connection string") as caught:
        AsyncClient(conninfo)
    assert "cret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"schema": ""}, "schema"),
        ({"schema": "x" * 64}, "schema"),
        ({"min_size": -1}, "min_size"),
        ({"max_size": 0}, "max_size"),
        ({"min_size": 5, "max_size": 4}, "max_size"),
        ({"timeout": 0}, "timeout"),
        ({"command_timeout": float("nan")}, "command_timeout"),
        ({"command_timeout": None}, "command_timeout"),
        ({"pooler": "yes"}, "pooler"),
        ({"direct_writes": 2}, "direct_writes"),
        ({"default_batch_size": 0}, "default_batch_size"),
        ({"pool": "postgresql://"}, "pool"),
        ({"decimals": "yes"}, "decimals"),
        ({"conninfo": "embedded://./data"}, "no '//'"),
        ({"conninfo": "embedded:a\0b"}, "NUL"),
    ],
)
async def test_options_out_of_range(arguments: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        AsyncClient(**arguments)


async def test_a_schema_that_is_not_there(store_url: str) -> None:
    with pytest.raises(IncompatibleServerError, match=r"no schema 'elsewhere'.*install"):
        await AsyncClient(store_url, schema="elsewhere").open()
