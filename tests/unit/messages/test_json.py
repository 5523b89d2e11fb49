"""JSON both ways: what is accepted reads back equal, and all else is refused by its path."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import types
from collections import ChainMap, OrderedDict, UserDict, deque
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb._messages.json_objects import decode_object, encode_object
from messagedb.errors import ValidationError
from tests.support.json_values import json_objects, json_objects_with_decimals

if TYPE_CHECKING:
    from collections.abc import Callable

DEEPEST = 100


class Level(enum.Enum):
    LOW = 1
    HIGH = "high"
    NONE = float("nan")


class Name(str):
    __slots__ = ()


class Kind(enum.StrEnum):
    A = "a"


class Count(int):
    pass


class Item(msgspec.Struct):
    price: Any
    note: Any = msgspec.UNSET


class Renamed(msgspec.Struct, rename="camel", tag="renamed", omit_defaults=True):
    account_id: str
    note: str = ""


class Row(msgspec.Struct, array_like=True):
    a: int


@dataclasses.dataclass
class Order:
    items: list[Any]
    _rest: int = 0
    start: dataclasses.InitVar[int] = 3


class Pair(NamedTuple):
    a: int
    b: int


def nested(levels: int, leaf: Any = None) -> dict[str, Any]:
    """Return an object with this many levels, itself included; lists and objects in turn."""
    value: Any = leaf
    for level in range(levels - 1):
        value = [value] if level % 2 else {"a": value}
    return {"a": value}


def encode(value: Any, **options: Any) -> str:
    text = encode_object(value, label="data", **options)
    assert text is not None
    return text


def same(one: Any, other: Any) -> bool:
    """Equal, and of equal types all the way down, as 1 == 1.0 == True hides much."""
    if type(one) is not type(other):
        return False
    if one.__class__ is dict:
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if one.__class__ is list:
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def holds(value: Any, wanted: Callable[[Any], bool]) -> bool:
    """Return True if the tree of lists has such a leaf."""
    if value.__class__ is list:
        return any(holds(child, wanted) for child in value)
    return wanted(value)


def refused(leaf: Any) -> bool:
    if isinstance(leaf, float):
        return not math.isfinite(leaf)
    return isinstance(leaf, str) and ("\0" in leaf or is_broken(leaf))


def is_broken(text: str) -> bool:
    return text.encode(errors="replace") != text.encode(errors="surrogatepass")


@given(json_objects())
def test_json_reads_back_equal(value: dict[str, Any]) -> None:
    text = encode(value)
    assert same(decode_object(text), value)
    assert "\\u0000" not in text.replace("\\\\", "")
    text.encode()


@given(json_objects())
def test_other_readers_read_the_same(value: dict[str, Any]) -> None:
    assert same(json.loads(encode(value)), value)


@given(json_objects_with_decimals())
def test_decimals_are_read_as_decimals(value: dict[str, Any]) -> None:
    assert same(decode_object(encode(value, decimals=True), decimals=True), value)


@given(json_objects())
def test_decimals_change_nothing_for_those_who_write_none(value: dict[str, Any]) -> None:
    assert encode(value, decimals=True) == encode(value)


@given(st.recursive(st.none() | st.floats() | st.text(st.characters()), lambda c: st.lists(c)))
def test_refuses_what_would_change_and_accepts_all_else(value: Any) -> None:
    if holds(value, refused):
        with pytest.raises(ValidationError, match=r"^data\.a"):
            encode({"a": value})
    else:
        assert same(decode_object(encode({"a": value})), {"a": value})


def test_none_is_null_and_an_empty_object_is_one() -> None:
    assert encode_object(None, label="data") is None
    assert encode_object(None, label="data", decimals=True) is None
    assert encode({}) == "{}"
    assert encode({}, decimals=True) == "{}"


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(2**53 + 1, id="beyond a float's digits"),
        pytest.param(2**64, id="beyond 64 bits"),
        pytest.param(-(2**63) - 1, id="beyond 64 bits, negative"),
        pytest.param(10**4300 - 1, id="4300 digits"),
        pytest.param(1 - 10**4299, id="4299 digits, negative"),
    ],
)
def test_integers_keep_every_digit(number: int) -> None:
    assert encode({"n": number}) == f'{{"n":{number}}}'
    assert decode_object(encode({"n": number}))["n"] == number
    assert same(decode_object(encode({"n": number}), decimals=True)["n"], number)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (1.0, "1.0"),
        (1e15, "1000000000000000.0"),
        (1e16, "10000000000000000.0"),
        (-1e16, "-10000000000000000.0"),
        (1e23, "1" + "0" * 23 + ".0"),
        (1.2345678901234568e17, "123456789012345680.0"),
        (1.7976931348623157e308, "17976931348623157" + "0" * 292 + ".0"),
    ],
)
def test_integral_floats_are_written_so_that_jsonb_keeps_them(number: float, text: str) -> None:
    # jsonb writes exponents out: from 1e16 it would make an integer
    assert encode({"n": number}) == f'{{"n":{text}}}'
    assert encode({"a": [number, "1e16,"]}) == f'{{"a":[{text},"1e16,"]}}'
    assert same(decode_object(encode({"n": number}))["n"], number)


@pytest.mark.parametrize("text", ["1e16", '1e16,"', '\\"1e16,', "\\", '\\\\"', "1e16}", ":1e16]"])
def test_texts_that_look_like_numbers_stay(text: str) -> None:
    value = {"a": text, text: [1e16, text, {text: -2.5e20}]}
    assert same(decode_object(encode(value)), value)


def test_an_escaped_backslash_is_not_a_nul() -> None:
    value = {"path": "C:\\u0000", "\\\\u0000": "\\u0000\n"}
    assert same(decode_object(encode(value)), value)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        ({"a": (1, (2,))}, {"a": [1, [2]]}),
        ({"a": Pair(1, 2)}, {"a": [1, 2]}),
        ({"a": Level.LOW, "b": [Level.HIGH]}, {"a": 1, "b": ["high"]}),
        ({Kind.A: Kind.A}, {"a": "a"}),
        ({Name("k"): 1}, {"k": 1}),
        ({"a": datetime(2024, 5, 1, 12, 30, tzinfo=UTC)}, {"a": "2024-05-01T12:30:00Z"}),
        ({"a": [date(2024, 5, 1), time(12, 30)]}, {"a": ["2024-05-01", "12:30:00"]}),
        ({"a": timedelta(hours=1)}, {"a": "PT3600S"}),
        (
            {"a": UUID("00000000-0000-4000-8000-000000000001")},
            {"a": "00000000-0000-4000-8000-000000000001"},
        ),
        (Item(price=1), {"price": 1}),
        (Item(price=[Item(2, "x")]), {"price": [{"price": 2, "note": "x"}]}),
        (Renamed("x"), {"type": "renamed", "accountId": "x"}),
        ({"a": Row(1)}, {"a": [1]}),
        (Order([Item(1)]), {"items": [{"price": 1}], "_rest": 0}),
        (OrderedDict[str, int](a=1), {"a": 1}),
        (types.MappingProxyType({"a": UserDict({"b": 1})}), {"a": {"b": 1}}),
        (ChainMap({"a": 1}, {"b": 2}), {"a": 1, "b": 2}),
    ],
)
def test_some_values_read_back_as_plain_json(value: Any, read: dict[str, Any]) -> None:
    assert same(decode_object(encode(value)), read)
    assert same(decode_object(encode(value, decimals=True)), read)


@pytest.mark.parametrize(
    ("value", "start", "cure"),
    [
        ({"items": [0, 1, 2, {"price": float("nan")}]}, "data.items[3].price is nan", "None"),
        ({"a": float("inf")}, "data.a is inf", "None"),
        ({"a": -float("inf")}, "data.a is -inf", "None"),
        ({"a": {1: 2}}, "data.a is a mapping with the key 1 of type int", "str(key)"),
        ({"1": 1, 1: 2}, "data is a mapping with the key 1 of type int", "str(key)"),
        ({None: 1}, "data is a mapping with the key None", "str(key)"),
        ({"a": Decimal("1.10")}, "data.a is a Decimal", "decimals=True"),
        ({"a": "x\0y"}, "data.a contains a NUL", "remove"),
        ({"a": "\\u0000\0"}, "data.a contains a NUL", "remove"),
        ({"a": [{"k\0": 1}]}, "data.a[0]['k\\x00'] is a key that contains a NUL", "remove"),
        ({"a": "\ud83d"}, "data.a contains a lone surrogate", "remove"),
        ({"a": "\ud83d\ude00"}, "data.a contains a lone surrogate", "remove"),
        ({"\ud83d": 1}, "data['\\ud83d'] is a key that contains a lone surrogate", "remove"),
        ({"odd key": {"": b"x"}}, "data['odd key'][''] is bytes", "string"),
        ({"é": bytearray(b"x")}, "data['é'] is bytearray", "string"),
        ({"a": memoryview(b"x")}, "data.a is memoryview", "string"),
        ({"a": {1, 2}}, "data.a is a set", "list"),
        ({"a": frozenset([1])}, "data.a is a frozenset", "list"),
        ({"a": msgspec.Raw(b"1")}, "data.a is a msgspec.Raw", "write the value"),
        ({"a": object()}, "data.a is of type builtins.object", "convert"),
        ({"a": Count(1)}, "data.a is of type ", "convert"),
        ({"a": Name("x")}, "data.a is of type ", "convert"),
        ({"a": deque([1])}, "data.a is of type collections.deque", "convert"),
        ({"a": Item}, "data.a is of type ", "convert"),
        ({"a": 1j}, "data.a is of type builtins.complex", "convert"),
        ({"a": Level.NONE}, "data.a is nan", "None"),
        ({"a": 10**4300}, "data.a is an integer of more than 4300 digits", "string"),
        (Item(price=Item(float("nan"))), "data.price.price is nan", "None"),
        (Item(price={1}), "data.price is a set", "list"),
        (Order([1, Decimal(1)]), "data.items[1] is a Decimal", "decimals=True"),
        (UserDict({"a": {1: 1}}), "data.a is a mapping with the key 1", "str(key)"),
        (nested(DEEPEST + 1), "data.a", "flatter"),
        (nested(100_000), "data.a", "flatter"),
        ([1], "data must be a mapping", "under a key"),
        ("text", "data must be a mapping", "under a key"),
        (5, "data must be a mapping", "under a key"),
        (True, "data must be a mapping", "under a key"),
        (Row(1), "data must be a mapping", "under a key"),
        (Level.LOW, "data must be a mapping", "under a key"),
        (Item, "data is of type ", "convert"),
        (b"{}", "data is bytes", "string"),
        (msgspec.Raw(b"{}"), "data is a msgspec.Raw", "write the value"),
    ],
)
def test_refuses_by_path_and_says_what_to_do(value: Any, start: str, cure: str) -> None:
    with pytest.raises(ValidationError) as caught:
        encode_object(value, label="data")
    text = str(caught.value)
    assert text.startswith(start)
    assert cure in text
    assert text.endswith("Nothing was sent.")
    assert len(text) < 400


@pytest.mark.parametrize(
    "value",
    [
        {"a": float("nan")},
        {1: 2},
        {"a": "\0"},
        {"a": {1}},
        [Decimal(1)],
        nested(DEEPEST + 1),
        {"a": -(10**4299)},
    ],
)
def test_refuses_the_same_when_decimals_are_numbers(value: Any) -> None:
    with pytest.raises(ValidationError, match=r"^metadata.*Nothing was sent"):
        encode_object(value, label="metadata", decimals=True)


def test_refuses_a_cycle_as_too_deep() -> None:
    value: dict[str, Any] = {}
    value["self"] = [value]
    with pytest.raises(ValidationError, match=r"^data\.self\[0\].*…"):
        encode(value)


def test_refuses_a_struct_with_an_unset_field() -> None:
    item = Item(1)
    del item.price
    with pytest.raises(ValidationError, match=r"^data cannot be written as JSON: .*price"):
        encode(item)


def test_a_hundred_levels_are_accepted() -> None:
    for leaf in (None, "x" * 500, float(10**20)):
        value = nested(DEEPEST, leaf)
        assert same(decode_object(encode(value)), value)
    with pytest.raises(ValidationError, match="more than 100 levels"):
        encode({"a": [nested(DEEPEST - 1)]})


def test_many_objects_side_by_side_are_not_deep() -> None:
    items: list[Any] = [{"a": [n, {}]} for n in range(500)]
    value = {"items": items}
    assert same(decode_object(encode(value)), value)


@pytest.mark.parametrize(
    ("number", "text"),
    [
        ("1.10", "1.10"),
        ("5", "5.0"),
        ("-5E+3", "-5000.0"),
        ("1.5E-7", "0.00000015"),
        ("0E+3", "0.0"),
        ("0.00", "0.00"),
        ("123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
    ],
)
def test_decimals_are_written_as_numbers_with_a_fraction(number: str, text: str) -> None:
    assert encode({"n": [Decimal(number)]}, decimals=True) == f'{{"n":[{text}]}}'
    read = decode_object(f'{{"n":{text}}}', decimals=True)["n"]
    assert same(read, Decimal(number))


@pytest.mark.parametrize(
    "number",
    ["1E+131071", "9" * 131072, "1E-16383", "1." + "1" * 16383],
    ids=["one and zeros", "nines", "smallest", "longest fraction"],
)
def test_decimals_reach_as_far_as_postgresqls(number: str) -> None:
    text = encode({"n": Decimal(number)}, decimals=True)
    assert same(decode_object(text, decimals=True)["n"], Decimal(number))


@pytest.mark.parametrize(
    "number",
    ["NaN", "sNaN", "Infinity", "-Infinity", "1E+131072", "1E-16384", "0E-16384", "1E+999999"],
)
def test_refuses_decimals_that_postgresql_cannot_store(number: str) -> None:
    with pytest.raises(ValidationError, match=r"^data\.n\[0\] is a Decimal .*Nothing was sent"):
        encode({"n": (Decimal(number),)}, decimals=True)


def test_decimals_in_structs_and_mappings() -> None:
    value = {"a": Item(Decimal("1.1")), "b": UserDict({"c": (Decimal(2), 1e16, 2**70)})}
    assert (
        encode(value, decimals=True)
        == '{"a":{"price":1.1},"b":{"c":[2.0,10000000000000000.0,1180591620717411303424]}}'
    )


def test_floats_are_read_as_decimals_of_their_shortest_text() -> None:
    assert same(decode_object('{"a": 0.1}', decimals=True), {"a": Decimal("0.1")})
    assert same(decode_object('{"a": 1, "b": 1.50}'), {"a": 1, "b": 1.5})


@pytest.mark.parametrize("text", ["null", "[1, 2]", '"x"', "1.5", "true"])
def test_decodes_what_is_not_an_object(text: str) -> None:
    assert same(decode_object(text), json.loads(text))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{"a": 1%s.5}' % ("0" * 400), "out of range.*decimals=True"),
        ('{"a": -1e400}', "out of range.*decimals=True"),
        ('{"a": 1%s}' % ("0" * 4300), "out of range"),
        ('{"a": ', "not JSON"),
        ("", "not JSON"),
        ("[" * 20_000 + "]" * 20_000, "nested too deeply"),
    ],
    ids=["digits", "exponent", "integer", "cut off", "empty", "deep"],
)
def test_refuses_to_decode_to_something_else(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        decode_object(text)


def test_decodes_large_fractions_as_decimals() -> None:
    text = "1" + "0" * 400 + ".5"
    assert decode_object(f"[{text}]", decimals=True) == [Decimal(text)]
    with pytest.raises(ValueError, match="out of range"):
        decode_object("1" + "0" * 4300, decimals=True)
