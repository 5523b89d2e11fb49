"""Writing: positions, expected versions, and idempotence by message id."""

from __future__ import annotations

import uuid
from decimal import Decimal

import pytest

from messagedb import (
    ANY,
    NO_STREAM,
    STREAM_EXISTS,
    AsyncClient,
    DuplicateMessageError,
    NewMessage,
    ValidationError,
    WrongExpectedVersionError,
)


def deposited(amount: int = 1) -> NewMessage:
    return NewMessage("Deposited", {"amount": amount})


async def test_positions_count_from_0(client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    assert [await client.write_message(stream, deposited(n)) for n in range(3)] == [0, 1, 2]
    assert await client.stream_version(stream) == 2


async def test_a_batch_has_consecutive_positions_and_one_time(
    client: AsyncClient, category: str
) -> None:
    stream = f"{category}-1"
    await client.write_message(stream, deposited(0))
    positions = await client.write_messages(stream, (deposited(n) for n in range(1, 4)))
    assert positions == [1, 2, 3]
    stored = await client.get_stream_messages(stream)
    assert [message.data["amount"] for message in stored] == [0, 1, 2, 3]
    assert [message.position for message in stored] == [0, 1, 2, 3]
    assert len({message.time for message in stored[1:]}) == 1
    globals_ = [message.global_position for message in stored]
    assert globals_ == sorted(set(globals_))


async def test_a_long_batch_goes_in_several_statements(client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    positions = await client.write_messages(stream, [deposited(n) for n in range(5_500)])
    assert positions == list(range(5_500))
    stored = [m async for m in client.read_stream(stream)]
    assert [m.data["amount"] for m in stored] == list(range(5_500))


async def test_an_empty_batch_does_nothing(client: AsyncClient, category: str) -> None:
    assert await client.write_messages(f"{category}-1", []) == []
    assert await client.stream_version(f"{category}-1") == NO_STREAM


async def test_a_category_name_is_a_stream_to_write(client: AsyncClient, category: str) -> None:
    stream = f"{category}:position"
    assert await client.write_message(stream, NewMessage("Recorded", {"position": 11})) == 0
    last = await client.get_last_stream_message(stream)
    assert last is not None
    assert last.data == {"position": 11}
    assert [m.stream_name for m in await client.get_category_messages(stream)] == [stream]


@pytest.mark.parametrize("as_batch", [False, True])
@pytest.mark.parametrize(
    ("stored", "expected", "actual"),
    [
        (0, NO_STREAM, None),
        (0, ANY, None),
        (0, STREAM_EXISTS, -1),
        (0, 0, -1),
        (2, 1, None),
        (2, STREAM_EXISTS, None),
        (2, ANY, None),
        (2, NO_STREAM, 1),
        (2, 0, 1),
        (2, 2, 1),
    ],
)
async def test_expected_versions(
    client: AsyncClient,
    category: str,
    stored: int,
    expected: int,
    actual: int | None,
    as_batch: bool,
) -> None:
    stream = f"{category}-1"
    await client.write_messages(stream, [deposited() for _ in range(stored)])

    async def write() -> None:
        if as_batch:
            batch = [deposited(), deposited()]
            await client.write_messages(stream, batch, expected_version=expected)
        else:
            await client.write_message(stream, deposited(), expected_version=expected)

    if actual is None:
        await write()
        assert await client.stream_version(stream) == stored + as_batch
        return
    with pytest.raises(WrongExpectedVersionError, match="Nothing was written") as caught:
        await write()
    error = caught.value
    assert (error.actual_version, error.expected_version) == (actual, expected)
    assert error.stream_name == stream
    assert await client.stream_version(stream) == stored - 1


@pytest.mark.parametrize("expected", [ANY, NO_STREAM, 0, 5])
async def test_the_same_id_again_gives_the_position_it_has(
    client: AsyncClient, category: str, expected: int
) -> None:
    stream = f"{category}-1"
    message = deposited()
    await client.write_message(stream, message, expected_version=NO_STREAM)
    await client.write_message(stream, deposited())
    assert await client.write_message(stream, message, expected_version=expected) == 0
    changed = NewMessage("Other", {"amount": 99}, id=message.id)
    assert await client.write_message(stream, changed, expected_version=expected) == 0
    assert await client.stream_version(stream) == 1


async def test_a_batch_again_gives_its_positions_again(client: AsyncClient, category: str) -> None:
    stream = f"{category}-1"
    batch = [deposited(n) for n in range(3)]
    first = await client.write_messages(stream, batch, expected_version=NO_STREAM)
    await client.write_message(stream, deposited())
    again = await client.write_messages(stream, batch, expected_version=NO_STREAM)
    assert first == again == [0, 1, 2]
    longer = [*batch, deposited(3)]
    assert await client.write_messages(stream, longer) == [0, 1, 2, 4]
    with pytest.raises(WrongExpectedVersionError):
        await client.write_messages(stream, [*batch, deposited(3)], expected_version=NO_STREAM)
    assert await client.stream_version(stream) == 4


@pytest.mark.parametrize("as_batch", [False, True])
@pytest.mark.parametrize("expected", [ANY, NO_STREAM, 7])
async def test_the_same_id_in_another_stream_is_refused_and_names_both(
    client: AsyncClient, category: str, expected: int, as_batch: bool
) -> None:
    message = deposited()
    await client.write_message(f"{category}-1", deposited())
    await client.write_message(f"{category}-1", message)
    other = f"{category}-2"
    with pytest.raises(DuplicateMessageError) as caught:
        await (
            client.write_messages(other, [deposited(), message])
            if as_batch
            else client.write_message(other, message, expected_version=expected)
        )
    error = caught.value
    assert error.existing_stream_name == f"{category}-1"
    assert error.existing_position == 1
    assert error.stream_name == f"{category}-2"
    assert str(message.id) in str(error)
    assert f"{category}-1" in str(error)
    assert await client.stream_version(f"{category}-2") == NO_STREAM
    if not as_batch:
        assert error.__cause__ is not None


async def test_a_conflict_keeps_its_cause(client: AsyncClient, category: str) -> None:
    await client.write_message(f"{category}-1", deposited())
    with pytest.raises(WrongExpectedVersionError) as caught:
        await client.write_message(f"{category}-1", deposited(), expected_version=NO_STREAM)
    assert "Wrong expected version" in str(caught.value.__cause__)


async def test_a_batch_with_a_bad_message_writes_nothing_and_names_it(
    client: AsyncClient, category: str
) -> None:
    batch = [deposited(), NewMessage("Deposited", {"amount": float("nan")})]
    with pytest.raises(ValidationError, match=r"messages\[1\]\.data\.amount"):
        await client.write_messages(f"{category}-1", batch)
    assert await client.stream_version(f"{category}-1") == NO_STREAM


async def test_a_batch_with_one_id_twice_is_refused(client: AsyncClient, category: str) -> None:
    message = deposited()
    with pytest.raises(ValidationError, match=r"messages\[0\] and messages\[2\]"):
        await client.write_messages(f"{category}-1", [message, deposited(), message])
    assert await client.stream_version(f"{category}-1") == NO_STREAM


async def test_id_and_metadata_may_be_given_apart(client: AsyncClient, category: str) -> None:
    id = uuid.uuid4()
    message = NewMessage("Deposited", {"amount": 1}, metadata={"a": 1})
    await client.write_message(f"{category}-1", message, id=str(id).upper(), metadata={"b": 2})
    (stored,) = await client.get_stream_messages(f"{category}-1")
    assert stored.id == id
    assert stored.metadata == {"b": 2}


async def test_no_data_is_sql_null_and_an_empty_object_stays_one(
    client: AsyncClient, category: str
) -> None:
    nothing, empty = NewMessage("A"), NewMessage("A", {}, metadata={})
    await client.write_message(f"{category}-1", nothing)
    await client.write_messages(f"{category}-1", [empty, NewMessage("A")])
    first, second, third = await client.get_stream_messages(
        f"{category}-1", condition="data IS NULL OR data = '{}'"
    )
    assert (first.data, first.metadata) == (None, None)
    assert (second.data, second.metadata) == ({}, {})
    assert (third.data, third.metadata) == (None, None)
    nulls = await client.get_stream_messages(
        f"{category}-1", condition="data IS NULL AND metadata IS NULL"
    )
    assert [message.position for message in nulls] == [0, 2]


async def test_decimals_are_written_when_asked_for(store_url: str, category: str) -> None:
    price = Decimal("123456789012345678901234567890.10")
    async with AsyncClient(store_url, decimals=True) as exact, AsyncClient(store_url) as plain:
        with pytest.raises(ValidationError, match=r"data\.price"):
            await plain.write_message(f"{category}-1", NewMessage("Priced", {"price": price}))
        await exact.write_message(
            f"{category}-1", NewMessage("Priced", {"price": price, "n": 10**40})
        )
        (message,) = await exact.get_stream_messages(f"{category}-1")
        assert message.data == {"price": price, "n": 10**40}
        assert str(message.data["price"]) == str(price)
        (message,) = await plain.get_stream_messages(f"{category}-1")
        assert message.data == {"price": float(price), "n": 10**40}
