"""Instances of plain classes are encoded with fewer checks, and with the same result."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb._messages.class_codecs import Codec, get_codec
from messagedb._messages.class_fields import is_plain
from messagedb._messages.json_objects import encode_as_read
from messagedb.errors import ValidationError
from tests.support.json_values import texts


class Level(Enum):
    LOW = "low"


class Node(msgspec.Struct):
    below: list[Node] = []
    text: str = ""


class Plain(msgspec.Struct, rename="camel", omit_defaults=True):
    share: float = 0.0
    whole_number: int = 0
    text: str | None = None
    level: Level = Level.LOW
    seen_at: datetime | None = None
    owner: UUID | None = None
    limits: dict[str, float] = {}
    pair: tuple[int, ...] = ()


class Tagged(msgspec.Struct):
    tags: set[str]


class Numbered(msgspec.Struct):
    names: dict[int, str]


class Raw(msgspec.Struct):
    content: bytes


class Free(msgspec.Struct):
    anything: Any


class Lenient(msgspec.Struct):
    """All instances are equal, also one with a value that JSON does not have."""

    share: float | None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Lenient)


class Holder(msgspec.Struct):
    inner: Lenient


def deep(levels: int) -> Node:
    node = Node(text="the innermost")
    for _ in range(levels):
        node = Node([node])
    return node


def outcome(codec: Codec, instance: object, *, is_full: bool) -> str:
    encode = Codec.encode_checked if is_full else type(codec).encode_checked
    try:
        return encode(codec, instance, False)
    except ValidationError as error:
        return f"refused: {error}"


@pytest.mark.parametrize(
    "instance",
    [
        Plain(),
        Plain(share=2),
        Plain(share=1e16),
        Plain(share=-0.0),
        Plain(share=math.nan),
        Plain(share=math.inf),
        Plain(whole_number=True),
        Plain(whole_number=10**30),
        Plain(whole_number=10**5000),
        Plain(whole_number=1.0),  # type: ignore[arg-type]
        Plain(text="a\0b"),
        Plain(text="\ud800"),
        Plain(text='"e16}'),
        Plain(text=b"bytes"),  # type: ignore[arg-type]
        Plain(text=Level.LOW),  # type: ignore[arg-type]
        Plain(seen_at=datetime(2024, 2, 29, 12, tzinfo=UTC)),
        Plain(owner=UUID(int=7)),
        Plain(limits={"a": 1}),
        Plain(limits={"a\0": 1.5}),
        Plain(limits={1: 1.5}),  # type: ignore[dict-item]
        Plain(pair=[1, 2]),  # type: ignore[arg-type]
        deep(10),
        deep(150),
        Tagged({"a"}),
        Numbered({1: "a"}),
        Raw(b"a"),
        Free((1, 2)),
        Free({"a": math.nan}),
        Lenient(math.nan),
        Holder(Lenient(math.nan)),
    ],
    ids=lambda instance: type(instance).__name__,
)
def test_an_instance_is_stored_or_refused_as_by_all_checks(instance: Any) -> None:
    codec = get_codec(instance.__class__)
    assert outcome(codec, instance, is_full=False) == outcome(codec, instance, is_full=True)


@given(st.builds(Plain, share=st.floats(), whole_number=st.integers(), text=st.none() | texts()))
def test_any_instance_is_stored_or_refused_as_by_all_checks(instance: Plain) -> None:
    codec = get_codec(Plain)
    assert outcome(codec, instance, is_full=False) == outcome(codec, instance, is_full=True)


def test_classes_of_which_an_equal_instance_may_be_refused_are_not_plain() -> None:
    assert is_plain(Plain)
    assert is_plain(Node)
    assert [cls for cls in (Tagged, Numbered, Raw, Free, Lenient, Holder) if is_plain(cls)] == []


def test_the_fewer_checks_are_enough_for_what_most_events_are() -> None:
    decode = msgspec.json.Decoder(Plain).decode
    assert encode_as_read(Plain(2.5, 3, "text"), decode) == (
        '{"share":2.5,"wholeNumber":3,"text":"text"}'
    )
    assert encode_as_read(Plain(share=math.nan), decode) is None
