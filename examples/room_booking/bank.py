"""Stands for the API of a bank, which charges once for each key."""

from __future__ import annotations

from uuid import UUID


class BankUnavailable(Exception):
    """The bank does not answer."""


class Bank:
    """Remembers what it has charged; a test makes it unavailable."""

    def __init__(self) -> None:
        self.charges: dict[UUID, int] = {}
        self.is_available = True

    def charge(self, key: UUID, amount: int) -> None:
        """Charge an amount, unless that was done with this key."""
        if not self.is_available:
            raise BankUnavailable("the bank does not answer")
        self.charges.setdefault(key, amount)


bank = Bank()
