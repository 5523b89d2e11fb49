"""The three ways to a transaction: begun, as a block, and a bound connection of the user."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from .stores import Store


class RolledBackError(Exception):
    """Leaves a block so that it is rolled back."""


class Block(ABC):
    """An open transaction with its savepoints.

    Attributes:
        client: the operations in it.
    """

    client: Any

    def __init__(self, store: Store) -> None:
        self._variant = store.variant
        self._savepoints: list[Any] = []
        self._begin(store)

    def begin_savepoint(self) -> None:
        """Begin a savepoint in the innermost one."""
        savepoint = self._new_savepoint()
        self._variant.enter(savepoint)
        self._savepoints.append(savepoint)

    def end_savepoint(self, *, keep: bool) -> None:
        """Leave the innermost savepoint, or roll back to it."""
        error = None if keep else RolledBackError()
        self._variant.leave(self._savepoints.pop(), error)

    def end(self, *, commit: bool) -> None:
        """Leave all savepoints, and commit or roll back."""
        while self._savepoints:
            self.end_savepoint(keep=commit)
        self._end(commit)

    @property
    @abstractmethod
    def pid(self) -> int:
        """The server process of the transaction."""

    @abstractmethod
    def _begin(self, store: Store) -> None: ...

    @abstractmethod
    def _new_savepoint(self) -> Any: ...

    @abstractmethod
    def _end(self, commit: bool) -> None: ...


class BegunBlock(Block):
    """``client.begin()``, ended by ``commit()`` or ``rollback()``."""

    @property
    def pid(self) -> int:
        """The server process of the transaction."""
        # Not by the property `connection`: its use changes what the client does afterwards.
        return int(vars(self.client)["_state"].conn.info.backend_pid)

    def _begin(self, store: Store) -> None:
        self.client = self._variant.call(store.client.begin)

    def _new_savepoint(self) -> Any:
        return self.client.savepoint()

    def _end(self, commit: bool) -> None:
        self._variant.call(self.client.commit if commit else self.client.rollback)


class ManagedBlock(BegunBlock):
    """``with client.transaction()``, ended by the end of its block, or by an error in it."""

    def _begin(self, store: Store) -> None:
        self._block = store.client.transaction()
        self.client = self._variant.enter(self._block)

    def _end(self, commit: bool) -> None:
        self._variant.leave(self._block, None if commit else RolledBackError())


class BoundBlock(Block):
    """``client.bind()``, in a transaction and savepoints of psycopg."""

    @property
    def pid(self) -> int:
        """The server process of the transaction."""
        return int(self._conn.info.backend_pid)

    def _begin(self, store: Store) -> None:
        self._conn = self._variant.connect(store.conninfo)
        # Begins the transaction: the first block of psycopg would begin it, and commit it, else.
        self._variant.call(self._conn.execute, "select 1")
        self.client = store.client.bind(self._conn)

    def _new_savepoint(self) -> Any:
        return self._conn.transaction()

    def _end(self, commit: bool) -> None:
        self._variant.call(self._conn.commit if commit else self._conn.rollback)
        self._variant.call(self._conn.close)


BLOCKS: tuple[type[Block], ...] = (BegunBlock, ManagedBlock, BoundBlock)
