"""The message that every contender writes, and names that no other run has used."""

from __future__ import annotations

import itertools
from typing import Any, Final

import msgspec

from messagedb import NewMessage

TYPE: Final = "Deposited"
"""The message type."""

DATA: Final[dict[str, Any]] = {
    "accountId": "7d0f7a52-52f1-4c86-9a3e-0d6b2f1f8c11",
    "amount": 1249.75,
    "currency": "EUR",
    "reference": "Order 4711, second instalment",
    "depositedBy": "Grace Hopper",
    "branch": 42,
    "confirmed": True,
}
"""The data: about 200 bytes of JSON."""

_numbers = itertools.count(1)


def message() -> NewMessage:
    """Make a new message of the payload, with a new id."""
    return NewMessage(TYPE, DATA)


def text() -> str:
    """Encode the payload, as bare calls of the server's functions need it."""
    return msgspec.json.encode(DATA).decode()


def category(word: str) -> str:
    """Return a category that nothing was written to in this process."""
    return f"{word}{next(_numbers)}"


def stream(category: str) -> str:
    """Return a stream of the category that nothing was written to in this process."""
    return f"{category}-{next(_numbers)}"
