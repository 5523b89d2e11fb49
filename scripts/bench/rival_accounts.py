"""The same account as an aggregate of eventsourcing, with its application."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from eventsourcing.application import Application  # pyright: ignore[reportMissingImports]
from eventsourcing.domain import Aggregate, event  # pyright: ignore[reportMissingImports]

from . import payload, rivals


class RivalAccount(Aggregate):  # type: ignore[misc]
    """An account that makes an event of the payload at each deposit."""

    def __init__(self) -> None:
        self.balance = 0.0
        self.deposits = 0

    def deposit(self, amount: float) -> None:
        """Decide as ours does."""
        if amount <= 0 or self.balance < 0:
            raise ValueError("only a deposit into an account that is not overdrawn is allowed")
        self._deposited(
            account_id=payload.DATA["accountId"],
            amount=amount,
            currency=payload.DATA["currency"],
            reference=payload.DATA["reference"],
            deposited_by=payload.DATA["depositedBy"],
            branch=payload.DATA["branch"],
            confirmed=payload.DATA["confirmed"],
        )

    @event("Deposited")  # type: ignore[untyped-decorator]
    def _deposited(
        self,
        account_id: str,
        amount: float,
        currency: str,
        reference: str,
        deposited_by: str,
        branch: int,
        confirmed: bool,
    ) -> None:
        self.balance += amount
        self.deposits += 1


class RivalAccounts:
    """An application with a repository of accounts, on the tables of eventsourcing.

    Args:
        admin: a database, for a role that may create tables in it.
        cache_size: of its aggregate cache; 0 for none.
        fast_forward: whether a cached aggregate is updated to the newest event.
    """

    def __init__(self, admin: str, *, cache_size: int = 0, fast_forward: bool = True) -> None:
        environment = rivals.eventsourcing_environment(admin, functions=True)
        if cache_size:
            environment["AGGREGATE_CACHE_MAXSIZE"] = str(cache_size)
            environment["AGGREGATE_CACHE_FASTFORWARD"] = "y" if fast_forward else "n"
        self._application: Any = Application(environment)

    def fill(self, entities: int, events: int) -> Sequence[UUID]:
        """Create accounts, each with a number of events, including its first one."""
        made: list[UUID] = []
        for _ in range(entities):
            account = RivalAccount()
            for _ in range(events - 1):
                account.deposit(payload.DATA["amount"])
            self._application.save(account)
            made.append(account.id)
        return made

    def load(self, id: UUID) -> RivalAccount:
        """Load an account from the repository."""
        account: RivalAccount = self._application.repository.get(id)
        return account

    def deposit(self, id: UUID, amount: float) -> None:
        """Load an account, decide, and save it."""
        account = self.load(id)
        account.deposit(amount)
        self._application.save(account)

    def close(self) -> None:
        """Close its connections."""
        self._application.close()
