"""The stream names of one component, as the Eventide toolkit composes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from .casing import camel
from .stream_name import base_category, category_types, check_part, ids, stream_name
from .stream_name import category as category_of
from .stream_name import id as id_of

_COMMAND: Final = "command"
_POSITION: Final = "position"
_SNAPSHOT: Final = "snapshot"


class Category:
    """The category of a component's entities, and the names of the streams around it.

    It is used as given: Eventide writes names in camelCase, and `camel` makes one of
    ``"some_category"``. Two with the same name are equal. ``"account-1" in category`` tells whether
    `parse_id` gives the id of that stream: for streams of the category and of its command category.

    Args:
        name: such as ``"account"``, without ``-``; may have types: ``"account:special"``.

    Raises:
        ValueError: not the name of a category, or with a part that is empty or not one of
            ``category:type+type``.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        check_part("the category", name, "-")
        types = category_types(name)
        if not base_category(name) or stream_name(base_category(name), types=types) != name:
            raise ValueError(
                f"the category {name!r} is not of the form 'category' or 'category:type+type', "
                "without empty parts"
            )
        self._name = name

    @property
    def name(self) -> str:
        """The name, with the types if it was given some."""
        return self._name

    @property
    def command_category(self) -> str:
        """The category of the commands to the component: ``account:command``."""
        return typed_stream_name(self._name, _COMMAND, None)

    def stream_name(
        self, id: str, *ids: str, type: str | None = None, types: Iterable[str] = ()
    ) -> str:
        """Give the stream of an entity: ``account-123``.

        Args:
            id: when it is the only one it may be a compound id, joined with ``+``.
            ids: further ids; the first is the one that consumer groups share work by.
            type: a type to add to the category.
            types: further types.

        Raises:
            ValueError: a part is not text, is empty, or has a separator in it.
        """
        return stream_name(self._name, _id(id), ids=ids, type=type, types=types)

    def command_stream_name(self, id: str, *ids: str) -> str:
        """Give the stream of the commands to an entity: ``account:command-123``.

        Raises:
            ValueError: an id is not text, is empty, or has a separator in it.
        """
        return stream_name(self.command_category, _id(id), ids=ids)

    def position_stream_name(self, identifier: str | None = None) -> str:
        """Give the stream that a consumer of this category keeps its position in.

        A consumer of the commands has another: see the function `position_stream_name`.

        Raises:
            ValueError: the identifier is not text, or empty.
        """
        return position_stream_name(self._name, identifier)

    def snapshot_stream_name(
        self, id: str, entity: type[Any] | str | None = None, specifier: str | None = None
    ) -> str:
        """Give the stream of an entity's snapshots, which is named by the entity's class.

        Args:
            id: the entity's; may be a compound id.
            entity: the class or its name; left out, the name of the category without its types,
                which is the class's in most components (``account``, ``Account``).
            specifier: a text after the class's name, as it is.

        Raises:
            ValueError: a part is not text, is empty, or has a separator in it.
        """
        name = base_category(self._name) if entity is None else entity
        return snapshot_stream_name(name, id, specifier)

    def parse_id(self, stream_name: str) -> str:
        """Give the id in the name of an entity's stream, or of the stream of its commands.

        A compound id is given whole.

        Raises:
            ValueError: a stream of another category, or without an id. The text says what it should
                be.
        """
        found = id_of(stream_name) if self._has(stream_name) else None
        if not found:
            raise ValueError(
                f"stream {stream_name!r} is not one of category {self._name!r}: it should be "
                f"'{self._name}-<id>' or '{self.command_category}-<id>'"
            )
        return found

    def parse_ids(self, stream_name: str) -> list[str]:
        """Give the ids in the name of such a stream, in order.

        Raises:
            ValueError: as `parse_id`.
        """
        self.parse_id(stream_name)
        return ids(stream_name)

    def __contains__(self, stream_name: object) -> bool:
        return isinstance(stream_name, str) and self._has(stream_name) and bool(id_of(stream_name))

    def _has(self, stream_name: str) -> bool:
        return category_of(stream_name) in (self._name, self.command_category)

    def __eq__(self, other: object) -> bool:
        return self._name == other._name if isinstance(other, Category) else NotImplemented

    def __hash__(self) -> int:
        return hash((Category, self._name))

    def __str__(self) -> str:
        return self._name

    def __repr__(self) -> str:
        return f"Category({self._name!r})"


def position_stream_name(category: str, identifier: str | None = None) -> str:
    """Give the stream that a consumer keeps its position in: ``account:position-identifier``.

    ``position`` becomes one of the category's types (``account:command+position``): it is not added
    a second time, and what a second colon parts is left out.

    Args:
        category: what the consumer reads; may have types.
        identifier: the consumer's, if it has one.

    Raises:
        ValueError: a part is not text, is empty, or the category has a ``-``.
    """
    check_part("the category", category, "-")
    if identifier is not None:
        check_part("the identifier", identifier, "")
    return typed_stream_name(category, _POSITION, identifier)


def snapshot_stream_name(entity: type[Any] | str, id: str, specifier: str | None = None) -> str:
    """Give the stream of an entity's snapshots: ``someEntity:snapshot-123`` of SomeEntity.

    Args:
        entity: the class, whose name without its module counts, or that name.
        id: the entity's; may be a compound id.
        specifier: a text after the class's name, as it is.

    Raises:
        ValueError: a part is not text, is empty, or has a separator in it.
    """
    name: Any = entity.__name__ if isinstance(entity, type) else entity
    check_part("the entity", name, "-:+")
    if specifier is not None:
        check_part("the specifier", specifier, "-:+")
    return stream_name(camel(name) + (specifier or ""), _id(id), type=_SNAPSHOT)


def typed_stream_name(category: str, type: str, id: str | None) -> str:
    """A category with a type that it has once, and an id: by Eventide's reading of its parts."""
    parts = category.split(":")
    types = [part for part in parts[1].split("+") if part] if len(parts) > 1 else []
    if type not in types:
        types.append(type)
    name = f"{parts[0]}:{'+'.join(types)}"
    return name if id is None else f"{name}-{id}"


def _id(value: Any) -> str:
    if value is None:
        raise ValueError("the id of a stream name must not be None: give the entity's, as text")
    checked: str = value  # stream_name() checks that it is text
    return checked
