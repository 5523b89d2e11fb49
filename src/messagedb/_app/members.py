"""Members of an app: their names, what makes two of them the same, and the choice of some."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Generic, TypeVar

from .._errors import ValidationError
from .._subscriptions.validation import as_name_tuple

M = TypeVar("M")


class Members(Generic[M]):
    """The members of an app by name: each is one consumer or one read model."""

    def __init__(self) -> None:
        self._by_name: dict[str, M] = {}
        self._names_by_identity: dict[str, str] = {}

    def __iter__(self) -> Iterator[tuple[str, M]]:
        """Iterate over the names and the members, in the order of their declaration."""
        return iter(self._by_name.items())

    def __len__(self) -> int:
        """Return the number of members."""
        return len(self._by_name)

    def add(self, name: str, identity: str, member: M) -> None:
        """Add a member.

        Args:
            name: its name in the app.
            identity: what its position is stored under. Two members of one identity would wait for
                each other's lease.
            member: the member.

        Raises:
            ValidationError: the app has a member of this identity or name. Nothing was sent.
        """
        if identity in self._names_by_identity:
            raise ValidationError(
                f"the app already has {identity!r}, as {self._names_by_identity[identity]!r}: two"
                " consumers of one identity would share one position, and only one of them would"
                " run. Give the second one another identifier. Nothing was sent."
            )
        if name in self._by_name:
            raise ValidationError(
                f"the app already has a member of the name {name!r}: pass another name. Nothing was"
                " sent."
            )
        self._by_name[name] = member
        self._names_by_identity[identity] = name

    def select(self, only: Iterable[str] | None) -> dict[str, M]:
        """Return the members of these names; None for all of them.

        Raises:
            ValidationError: the app has no members, or none of such a name; the text lists the
                names. Nothing was sent.
        """
        if not self._by_name:
            raise ValidationError(
                "the app has no consumers and no read models: declare them in the module that"
                " creates it, or import there the modules that do. Nothing was sent."
            )
        names = as_name_tuple("only", only) or ()
        for name in names:
            if name not in self._by_name:
                raise ValidationError(
                    f"the app has no {name!r}. It has: {', '.join(self._by_name)}. Nothing was"
                    " sent."
                )
        return {name: self._by_name[name] for name in names or self._by_name}


def build_member_name(name: str | None, identifier: str | None, category: str | None) -> str:
    """Return the name of a member: the one that was passed, or else its identifier or category."""
    return name or identifier or category or "all"


def divide(names: Sequence[str], count: int) -> list[Sequence[str]]:
    """Divide the names of members among processes, as evenly as possible.

    Raises:
        ValidationError: there are more processes than members. Nothing was started.
    """
    if count > len(names):
        raise ValidationError(
            f"{count} workers are more than the {len(names)} consumers and read models of the app:"
            " some of the processes would have nothing to do. Nothing was started."
        )
    return [names[first::count] for first in range(count)]
