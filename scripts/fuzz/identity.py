"""Generated values are read as they were written, or refused by the rule that is documented."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, cast

from hypothesis import given, seed
from trials.figures import Part

from messagedb import NewMessage, ValidationError
from tests.support import json_values

from . import hostile
from .generation import build_settings, describe_failure
from .steps import COPY_FROM
from .stores import Store

MAX_STREAM_NAME_BYTES = 2672


def check_values(stores: list[Store], examples: int, number: int, part: Part) -> list[str]:
    """Write data and metadata of generated JSON in each way, and read them in each way."""
    objects = json_values.json_objects()
    test = given(data=objects, metadata=objects, type_name=json_values.texts().filter(bool))
    return _run(stores, examples, number, part, "values", _check_value, test)


def check_names(stores: list[Store], examples: int, number: int, part: Part) -> list[str]:
    """Write to streams, and messages of types, with hostile names."""
    strings = hostile.strings()
    test = given(category=strings, id=strings, type_name=strings)
    return _run(stores, examples, number, part, "names", _check_name, test)


def _run(
    stores: list[Store],
    examples: int,
    number: int,
    part: Part,
    what: str,
    check: Callable[..., int],
    strategies: Callable[..., Any],
) -> list[str]:
    differences: list[str] = []
    part.measured[what] = 0
    for place, store in enumerate(stores):

        def attempt(store: Store = store, **values: Any) -> None:
            part.measured[what] += check(store, **values)

        test = seed(number + place)(strategies(_without_store(attempt)))
        test = build_settings(examples)(test)
        try:
            test()
        except Exception as error:
            differences.append(describe_failure(store.name, number + place, error))
    return differences


def _check_value(store: Store, data: Any, metadata: Any, type_name: str) -> int:
    category = f"i{uuid.uuid4().hex}"
    new = [NewMessage(type_name, data, metadata=metadata) for _ in range(COPY_FROM + 3)]
    _write_in_each_way(store, f"{category}-1", new)
    wanted = [(message.id, type_name, _kinds(data), _kinds(metadata)) for message in new]
    for read in _read_in_each_way(store, category, f"{category}-1", type_name):
        found = [(m.id, m.type, _kinds(m.data), _kinds(m.metadata)) for m in read]
        assert found == wanted[-len(found) :], f"{found} instead of {wanted}"
        assert len(found) in (1, len(wanted))
    return len(new)


def _check_name(store: Store, category: str, id: str, type_name: str) -> int:
    stream = f"n{uuid.uuid4().hex}{category}-{id}"
    size = len(stream.encode(errors="surrogatepass"))
    is_valid = (
        size <= MAX_STREAM_NAME_BYTES
        and hostile.can_be_stored(stream)
        and hostile.can_be_stored(type_name)
        and type_name != ""
    )
    before = store.ask("select coalesce(max(global_position), 0) from messages")
    try:
        new = [NewMessage(type_name, {"n": n}) for n in range(COPY_FROM + 3)]
        _write_in_each_way(store, stream, new)
    except ValidationError:
        assert not is_valid, "a name that can be stored was refused"
        count = store.ask("select count(*) from messages where global_position > %s", before)
        assert count == 0, "a message of a refused name was stored"
        return 1
    assert is_valid, "a name that cannot be stored was accepted"
    category = stream.split("-", 1)[0]
    for read in _read_in_each_way(store, category, stream, type_name):
        assert {(m.stream_name, m.type) for m in read} == {(stream, type_name)}
        assert [m.id for m in read] == [m.id for m in new][-len(read) :]
        assert len(read) in (1, len(new))
    assert store.variant.call(store.client.stream_version, stream) == len(new) - 1
    return 1


def _write_in_each_way(store: Store, stream: str, new: list[NewMessage]) -> None:
    """Write the first three by one, in a transaction and as a batch, the others by COPY."""
    call, client = store.variant.call, store.client
    call(client.write_message, stream, new[0])
    block = client.transaction()
    transaction = store.variant.enter(block)
    call(transaction.write_message, stream, new[1])
    store.variant.leave(block)
    call(client.write_messages, stream, new[2:3])
    call(client.write_messages, stream, new[3:])


def _read_in_each_way(store: Store, category: str, stream: str, type_name: str) -> list[list[Any]]:
    """Return all messages, or the last one, from each read."""
    call, client = store.variant.call, store.client
    return [
        call(client.get_stream_messages, stream),
        call(client.get_category_messages, category),
        store.variant.collect(client.read_stream(stream, batch_size=2)),
        store.variant.collect(client.read_category(category, batch_size=2)),
        [call(client.get_last_stream_message, stream)],
        [call(client.get_last_stream_message, stream, type=type_name)],
    ]


def _without_store(function: Callable[..., None]) -> Callable[..., None]:
    """Return the function with keyword arguments only: Hypothesis fills all that it finds."""

    def check(**values: Any) -> None:
        function(**values)

    return check


def _kinds(value: Any) -> Any:
    """Return the value with the type of each part: 1 and 1.0 and True are three values."""
    if isinstance(value, dict):
        return {name: _kinds(part) for name, part in cast("dict[str, Any]", value).items()}
    if isinstance(value, list):
        return [_kinds(part) for part in cast("Any", value)]
    return type(value), value
