"""Data that PostgreSQL would refuse for its size is refused before it is sent."""

from __future__ import annotations

import json
from typing import Any

import pytest

from messagedb import NewMessage, ValidationError
from messagedb._messages.jsonb_size import MAX_JSONB_BYTES, check_size, compute_min_size
from messagedb._messages.registry import MessageRegistry
from messagedb._operations.requests import build_message_write
from messagedb.expected_version import ANY

LIMIT = 1_000


@pytest.mark.parametrize(
    "value",
    [
        {"text": "x" * 1_001},
        {"text": "é" * 501},
        {"x" * 1_001: 1},
        {"list": ["xx"] * 300},
        {"numbers": [123456] * 200},
        {"objects": [{"a": "b"}] * 120},
    ],
)
def test_json_that_is_too_large_is_refused(value: Any) -> None:
    with pytest.raises(ValidationError, match=r"^data is larger than PostgreSQL allows.*Nothing"):
        check_size(json.dumps(value, ensure_ascii=False), "data", max_bytes=LIMIT)


@pytest.mark.parametrize(
    "value",
    [
        None,
        {},
        {"text": "x" * 900},
        {"text": "\x01" * 900},
        {"text": "\\" * 900},
        {"flags": [False] * 200},
    ],
)
def test_json_that_may_fit_is_left_to_the_server(value: Any) -> None:
    text = None if value is None else json.dumps(value)
    check_size(text, "data", max_bytes=LIMIT)


def test_it_counts_no_further_than_it_has_to() -> None:
    assert 10 < compute_min_size(json.dumps([["x"] * 1_000] * 1_000), 10) < 1_000_000


def test_a_message_of_more_than_256_mb_is_refused_before_it_is_sent() -> None:
    large = NewMessage("Large", {"text": "x" * (MAX_JSONB_BYTES + 1)})
    with pytest.raises(ValidationError, match="bytes of JSON, and jsonb holds 268,435,455"):
        build_message_write("a-1", large, None, None, ANY, False, MessageRegistry())
