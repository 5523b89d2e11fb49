"""Stream names: tables of what the server and Eventide answer, and properties."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb import streams

# name, category, id, cardinal id, is a category: as Message DB 1.3.0 answered
SERVER_ANSWERS = [
    ("someStream", "someStream", None, None, True),
    ("someStream-123", "someStream", "123", "123", False),
    ("some-stream-123", "some", "stream-123", "stream-123", False),
    ("someStream-", "someStream", "", "", False),
    ("-123", "", "123", "123", False),
    ("-", "", "", "", False),
    ("", "", None, None, True),
    ("account:command-123", "account:command", "123", "123", False),
    ("account:command+position-xyz", "account:command+position", "xyz", "xyz", False),
    ("someCategory-a+b+c", "someCategory", "a+b+c", "a", False),
    ("someCategory-+b", "someCategory", "+b", "", False),
    ("someCategory-a+", "someCategory", "a+", "a", False),
    ("someCategory-a-b+c", "someCategory", "a-b+c", "a-b", False),
    ("a:b-c:d+e", "a:b", "c:d+e", "c:d", False),
]

# name, types, base category: as Eventide's Ruby toolkit answered
EVENTIDE_TYPES: list[tuple[str, list[str], str]] = [
    ("someStream", [], "someStream"),
    ("someStream-123", [], "someStream"),
    ("someStream:someType+someOtherType-someID", ["someType", "someOtherType"], "someStream"),
    ("account:command", ["command"], "account"),
    ("account:command-123", ["command"], "account"),
    ("account:command+position-xyz", ["command", "position"], "account"),
    ("a:b-c:d+e", ["b"], "a"),
    ("a:b:c-d", ["b"], "a"),
    ("someCategory:command:t-x", ["command"], "someCategory"),
    ("a:-d", [], "a"),
    (":t-1", ["t"], ""),
    ("a:", [], "a"),
    ("a:+t-1", ["", "t"], "a"),
    ("a:t+-1", ["t"], "a"),
    ("a:t++u-1", ["t", "", "u"], "a"),
    ("a+b-c", [], "a+b"),
    ("a+b:t-c", ["t"], "a+b"),
    ("日本:型-鍵", ["型"], "日本"),
    ("x-:y", [], "x"),
]

IDS: list[tuple[str, list[str]]] = [
    ("someStream", []),
    ("someStream-123", ["123"]),
    ("someCategory-some_id+some_other_id", ["some_id", "some_other_id"]),
    ("someCategory-a++b", ["a", "", "b"]),
    ("someCategory-+b", ["", "b"]),
    ("someCategory-a+", ["a", ""]),
    ("someStream-", [""]),
    ("a-x-y+z", ["x-y", "z"]),
]

UUID_TEXT = "00000000-0000-4000-8000-000000000001"


@pytest.mark.parametrize(("name", "category", "id", "cardinal_id", "is_category"), SERVER_ANSWERS)
def test_parses_as_the_server_does(
    name: str, category: str, id: str | None, cardinal_id: str | None, is_category: bool
) -> None:
    assert streams.category(name) == category
    assert streams.id(name) == id
    assert streams.cardinal_id(name) == cardinal_id
    assert streams.is_category(name) is is_category


@pytest.mark.parametrize(("name", "types", "base"), EVENTIDE_TYPES)
def test_parses_types_as_eventide_does(name: str, types: list[str], base: str) -> None:
    assert streams.category_types(name) == types
    assert streams.base_category(name) == base


@pytest.mark.parametrize(("name", "ids"), IDS)
def test_ids_keep_the_empty_ones(name: str, ids: list[str]) -> None:
    assert streams.ids(name) == ids


@given(st.text(st.characters() | st.sampled_from("-+:")))
def test_the_parts_of_any_text_are_the_text(name: str) -> None:
    id = streams.id(name)
    category = streams.category(name)
    assert name == (category if id is None else f"{category}-{id}")
    assert streams.is_category(name) is (id is None)
    assert "-" not in category
    assert category == streams.base_category(name) or category.startswith(
        streams.base_category(name) + ":"
    )
    ids = streams.ids(name)
    assert "+".join(ids) == (id or "")
    assert streams.cardinal_id(name) == (ids[0] if ids else None)


@pytest.mark.parametrize(
    ("args", "options", "name"),
    [
        (("someCategory",), {}, "someCategory"),
        (("someCategory", "some_id"), {}, "someCategory-some_id"),
        (("someCategory",), {"id": "i"}, "someCategory-i"),
        (("someCategory",), {"ids": ["a", "b"]}, "someCategory-a+b"),
        (("someCategory",), {"ids": []}, "someCategory"),
        (("someCategory",), {"cardinal_id": "c"}, "someCategory-c"),
        (("someCategory", "a+b"), {}, "someCategory-a+b"),
        (("someCategory", "a-b"), {}, "someCategory-a-b"),
        (("someCategory", UUID_TEXT), {}, f"someCategory-{UUID_TEXT}"),
        (("a",), {"ids": iter([UUID_TEXT, "x:y"])}, f"a-{UUID_TEXT}+x:y"),
        (("someCategory", "x"), {"type": "t"}, "someCategory:t-x"),
        (("someCategory",), {"type": "t"}, "someCategory:t"),
        (("someCategory", "x"), {"types": ("t", "u")}, "someCategory:t+u-x"),
        (("someCategory",), {"type": "t", "types": ["u", "v"]}, "someCategory:t+u+v"),
        (("someCategory:command", "x"), {}, "someCategory:command-x"),
        (("someCategory:command", "x"), {"type": "t"}, "someCategory:command+t-x"),
        (("C:someType",), {"type": "position"}, "C:someType+position"),
        (("a:b:c", "d"), {}, "a:b:c-d"),
        (("a+b", "c"), {"type": "t"}, "a+b:t-c"),
        (
            ("someCategory", "some_id"),
            {
                "cardinal_id": "some_cardinal_id",
                "ids": ["some_other_id", "yet_another_id"],
                "type": "someType",
                "types": ["someOtherType", "yetAnotherType"],
            },
            "someCategory:someType+someOtherType+yetAnotherType"
            "-some_cardinal_id+some_id+some_other_id+yet_another_id",
        ),
    ],
)
def test_composes(args: tuple[str, ...], options: dict[str, Any], name: str) -> None:
    assert streams.stream_name(*args, **options) == name


@pytest.mark.parametrize(
    ("args", "options", "text"),
    [
        ((None, "x"), {}, "category of a stream name must be a str, not NoneType"),
        (("", "x"), {}, "category of a stream name must not be empty"),
        (("a-b", "x"), {}, "category of a stream name must not contain '-'"),
        (("a\0b", "x"), {}, "NUL"),
        (("a", "\ud800"), {}, "surrogate"),
        (("a", "x\0"), {}, "NUL"),
        (("a", ""), {}, "an id of a stream name must not be empty"),
        (("a", 5), {}, "not int: pass str(value)"),
        (("a", "b+c"), {"ids": ["d"]}, "an id of a stream name must not contain '+'"),
        (("a", "b"), {"cardinal_id": "c+d"}, "must not contain '+'"),
        (("a",), {"cardinal_id": "c+d"}, "must not contain '+'"),
        (("a",), {"ids": ["b+c"]}, "must not contain '+'"),
        (("a",), {"ids": ["b", None]}, "not NoneType"),
        (("a",), {"ids": "bc"}, "ids must be several strings"),
        (("a",), {"ids": 5}, "ids must be several strings"),
        (("a",), {"types": "bc"}, "types must be several strings"),
        (("a",), {"type": ""}, "a type of a stream name must not be empty"),
        (("a",), {"type": "b-c"}, "a type of a stream name must not contain '-'"),
        (("a",), {"type": "b+c"}, "must not contain '+'"),
        (("a",), {"types": ["b:c"]}, "must not contain ':'"),
        (("a",), {"type": 5}, "a type of a stream name must be a str"),
        (("a:b:c",), {"type": "t"}, "cannot take further types"),
        (("a:",), {"type": "t"}, "cannot take further types"),
        (("a:b+",), {"type": "t"}, "cannot take further types"),
    ],
)
def test_refuses_what_would_not_parse_back(
    args: tuple[Any, ...], options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        streams.stream_name(*args, **options)


_parts = st.text(st.characters(codec="utf-8", exclude_characters="\0-+:"), min_size=1)
_ids = st.text(st.characters(codec="utf-8", exclude_characters="\0+"), min_size=1)


@given(
    _parts,
    st.none() | _ids,
    st.lists(_ids, max_size=3),
    st.none() | _ids,
    st.none() | _parts,
    st.lists(_parts, max_size=3),
)
def test_composed_stream_names_parse_back(
    category: str,
    id: str | None,
    ids: list[str],
    cardinal_id: str | None,
    type: str | None,
    types: list[str],
) -> None:
    name = streams.stream_name(
        category, id, ids=ids, cardinal_id=cardinal_id, type=type, types=types
    )
    assert streams.base_category(name) == category
    assert streams.category_types(name) == [*([type] if type else []), *types]
    assert streams.ids(name) == [*filter(None, (cardinal_id, id)), *ids]


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_name_composes_from_its_category_and_id(name: str) -> None:
    category, id = streams.category(name), streams.id(name)
    if category and id != "":
        assert streams.stream_name(category, id) == name
    else:
        with pytest.raises(ValueError, match="must not be empty"):
            streams.stream_name(category, id)
