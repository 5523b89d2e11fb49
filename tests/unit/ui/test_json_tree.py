"""JSON on the pages of the UI: all digits, a bounded size, and the user's redact."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest

from messagedb._ui.rendering.json_text import HIDDEN, redact_text, write_json
from messagedb._ui.rendering.json_tree import LONGEST_STRING, MOST_NODES, JSONNode, build_tree


def count(node: JSONNode) -> int:
    return 1 + sum(count(each) for each in node.children)


def build(text: str) -> JSONNode:
    node = build_tree(text)
    assert node is not None
    return node


@pytest.mark.parametrize("digits", ["1.10", "123456789012345678901234567890", "1e400", "-0.0"])
def test_numbers_keep_their_digits(digits: str) -> None:
    node = build(f"[{digits}]").children[0]
    assert (node.kind, node.text) == ("number", digits)


def test_values_have_kinds() -> None:
    tree = build('{"a": "x", "b": [true, null], "c": {}}')
    assert [(each.key, each.kind, each.text) for each in tree.children] == [
        ("a", "string", "x"),
        ("b", "array", "2"),
        ("c", "object", "0"),
    ]
    assert [each.text for each in tree.children[1].children] == ["true", "null"]


def test_a_large_tree_says_what_is_left_out() -> None:
    tree = build(json.dumps({"list": list(range(10_000)), "after": 1}))
    assert count(tree) <= MOST_NODES + 1
    assert tree.children[0].left_out == 10_000 - len(tree.children[0].children)
    assert tree.left_out == 1


def test_a_long_string_says_its_length() -> None:
    node = build(json.dumps(["x" * 5000])).children[0]
    assert (len(node.text), node.length) == (LONGEST_STRING, 5000)


def test_deep_json_ends_and_too_deep_json_is_no_tree() -> None:
    node = build("[" * 200 + "]" * 200)
    while node.children:
        node = node.children[0]
    assert node.left_out == 1
    assert build_tree("[" * 200_000 + "]" * 200_000) is None
    assert build_tree("{") is None


@pytest.mark.parametrize(
    "text",
    [
        '{"a": [1.10, 12345678901234567890, null, true, "\\u00fc\\"\\n"], "b": {}}',
        "[]",
        "1e3",
        '"x"',
    ],
)
def test_json_is_written_with_all_digits(text: str) -> None:
    shown = redact_text(text, "Noted", lambda _, value: value)
    assert shown is not None
    assert json.loads(shown, parse_float=Decimal) == json.loads(text, parse_float=Decimal)


def test_what_is_no_json_becomes_a_string() -> None:
    assert write_json({1: Decimal("1.50"), "b": (1, {2})}) == '{"1": 1.50, "b": [1, "{2}"]}'


def test_redact_gets_the_type_and_the_value() -> None:
    def redact(message_type: str, value: Any) -> Any:
        return [message_type, value["a"]]

    assert redact_text('{"a": 1, "b": 2}', "Noted", redact) == '["Noted", 1]'
    assert redact_text(None, "Noted", redact) is None
    assert redact_text("{}", "Noted", None) == "{}"


@pytest.mark.parametrize("text", ['{"secret": 1', '{"a": 1}'])
def test_if_redact_fails_nothing_is_shown(text: str, caplog: pytest.LogCaptureFixture) -> None:
    assert redact_text(text, "Noted", lambda _, value: value["b"]) == HIDDEN
    assert "Noted" in caplog.text
