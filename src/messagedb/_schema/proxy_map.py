"""The map of several nodes: which node has which category. No I/O."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from .._errors import IncompatibleServerError
from ..streams import hash_64

SLOTS: Final = 1024
"""The number of slots: a category is in the one that its hash says, a slot is on one node."""

_SHOWN: Final = 5


def get_slot(category: str) -> int:
    """Return the slot of a category, which is given without its types."""
    return hash_64(category) & (SLOTS - 1)


def share_slots(nodes: int) -> list[int]:
    """Return the node of each slot for the first *nodes* nodes, which get equal shares."""
    return [slot % nodes for slot in range(SLOTS)]


def give_slots(slots: Sequence[int], node: int) -> list[int]:
    """Return the node of each slot after a further one has got its equal share.

    It is taken one by one from the node that has most of them.
    """
    result = list(slots)
    counts = Counter(result)
    share = SLOTS // (len({*slots, node}))
    last = dict.fromkeys(counts, SLOTS)
    for _ in range(share):
        owner = max(counts, key=lambda each: (counts[each], -each))
        place = max(at for at in range(last[owner]) if slots[at] == owner)
        last[owner] = place
        result[place] = node
        counts[owner] -= 1
    return result


def place_categories(found: Mapping[int, Iterable[str]]) -> dict[str, int]:
    """Return the node of each category that has messages.

    Args:
        found: the categories of each node, without their types.

    Raises:
        IncompatibleServerError: a category is on two nodes.
    """
    places: dict[str, int] = {}
    twice: list[str] = []
    for node, categories in found.items():
        for category in categories:
            if places.setdefault(category, node) != node:
                twice.append(category)
    if twice:
        names = ", ".join(repr(name) for name in sorted(twice)[:_SHOWN])
        more = "" if len(twice) <= _SHOWN else f" and {len(twice) - _SHOWN} more"
        raise IncompatibleServerError(
            f"categories with messages on two nodes: {names}{more}. A category has to be on one "
            "node, with all of its types. Nothing was changed. Copy the messages of each to one of "
            "its nodes and delete them on the other (messagedb export, messagedb import)."
        )
    return places


def find_exceptions(
    places: Mapping[str, int], slots: Sequence[int], known: Mapping[str, int]
) -> dict[str, int]:
    """Return the categories that are not where their slot says, with their nodes.

    Args:
        places: the node of each category that has messages.
        slots: the node of each slot.
        known: the exceptions that the map already has.
    """
    return {
        category: node
        for category, node in places.items()
        if category not in known and slots[get_slot(category)] != node
    }
