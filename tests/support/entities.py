"""Commands of an entity that are in progress or wait."""

from __future__ import annotations

from typing import Any


def count_commands(store: Any, id: str = "1") -> int:
    """Return how many commands of an entity are not answered yet, of a store of either variant."""
    handler: Any = store._handler
    line = handler._queue._lines.get(id)
    return 0 if line is None else len(line.waiting)
