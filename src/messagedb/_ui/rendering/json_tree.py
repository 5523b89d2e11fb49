"""JSON as a tree of a bounded size, with all digits of its numbers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final, Literal, cast

import msgspec

MOST_NODES: Final = 400
LONGEST_STRING: Final = 600
_DEEPEST: Final = 24
_MOST_CHARACTERS: Final = 24_000


class _Number(str):
    """The digits of a number, as they are stored."""

    __slots__ = ()


class JSONNode(msgspec.Struct):
    """One value of a tree.

    Attributes:
        key: its key, or its place in an array; None for the root.
        kind: of the value.
        text: the value, or the number of members of an object or array.
        children: the members that are shown.
        left_out: the number of members that are not.
        length: the characters of a string that was cut.
        depth: from 0 for the root.
    """

    key: str | None
    kind: Literal["object", "array", "string", "number", "literal"]
    text: str = ""
    children: list[JSONNode] = []
    left_out: int = 0
    length: int | None = None
    depth: int = 0


def build_tree(text: str) -> JSONNode | None:
    """Return the tree of a JSON text; None if Python cannot parse it.

    It has at most ``MOST_NODES`` nodes, and says at each place how many are left out.
    """
    try:
        value = json.loads(text, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
    except (ValueError, RecursionError):
        return None
    return _Builder().build(None, value, 0)


class _Builder:
    """Builds nodes until the budget is used up."""

    def __init__(self) -> None:
        self._nodes = 0
        self._characters = 0

    def build(self, key: str | None, value: Any, depth: int) -> JSONNode:
        """Return the node of a value."""
        self._nodes += 1
        key = key if key is None or len(key) <= LONGEST_STRING else key[:LONGEST_STRING] + "…"
        self._characters += len(key or "")
        if isinstance(value, dict):
            members = list(cast("dict[str, Any]", value).items())
            return self._build_members(JSONNode(key, "object", depth=depth), members)
        if isinstance(value, list):
            items = cast("Sequence[Any]", value)
            places = [(str(at), each) for at, each in enumerate(items)]
            return self._build_members(JSONNode(key, "array", depth=depth), places)
        if isinstance(value, str):
            shown = value[:LONGEST_STRING]
            self._characters += len(shown)
            length = len(value) if len(value) > LONGEST_STRING else None
            kind: Literal["number", "string"] = "number" if isinstance(value, _Number) else "string"
            return JSONNode(key, kind, shown, length=length, depth=depth)
        return JSONNode(key, "literal", json.dumps(value), depth=depth)

    def _build_members(self, node: JSONNode, members: list[tuple[str, Any]]) -> JSONNode:
        node.text = str(len(members))
        node.children = []
        for key, value in members:
            is_full = self._nodes >= MOST_NODES or self._characters >= _MOST_CHARACTERS
            if is_full or node.depth >= _DEEPEST:
                break
            node.children.append(self.build(key, value, node.depth + 1))
        node.left_out = len(members) - len(node.children)
        return node
