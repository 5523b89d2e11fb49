"""The stream names of one component, in the form of the Eventide toolkit."""

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

    The name is used unchanged: Eventide writes names in camelCase; `camel` converts
    ``"some_category"`` to this. Two with the same name are equal. ``"account-1" in category`` is
    True if `parse_id` returns the id of that stream: for streams of the category and of its command
    category.

    Example::

        account = streams.Category("account")
        print(account.stream_name("123"))  # account-123
        print(account.command_stream_name("123"))  # account:command-123

    Args:
        name: such as ``"account"``, without ``-``; may have types: ``"account:special"``.

    Raises:
        ValueError: the name is not a category's, a part of it is empty, or it does not have the
            form ``category:type+type``.
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
        """The name, including its types.

        Example::

            print(streams.Category("account").name)  # account
        """
        return self._name

    @property
    def command_category(self) -> str:
        """The category of the commands to the component: ``account:command``.

        Example::

            print(streams.Category("account").command_category)  # account:command
        """
        return typed_stream_name(self._name, _COMMAND, None)

    def stream_name(
        self, id: str, *ids: str, type: str | None = None, types: Iterable[str] = ()
    ) -> str:
        """Return the stream of an entity: ``account-123``.

        Example::

            print(streams.Category("account").stream_name("123"))  # account-123

        Args:
            id: if it is the only one it may be a compound id, joined with ``+``.
            ids: further ids; consumer groups partition by the first of all ids.
            type: a type to add to the category.
            types: further types.

        Raises:
            ValueError: a part is not a string, is empty, or contains a separator.
        """
        return stream_name(self._name, _id(id), ids=ids, type=type, types=types)

    def command_stream_name(self, id: str, *ids: str) -> str:
        """Return the stream of the commands to an entity: ``account:command-123``.

        Example::

            print(streams.Category("account").command_stream_name("123"))  # account:command-123

        Raises:
            ValueError: an id is not a string, is empty, or contains a separator.
        """
        return stream_name(self.command_category, _id(id), ids=ids)

    def position_stream_name(self, identifier: str | None = None) -> str:
        """Return the stream in which a consumer of this category stores its position.

        A consumer of the commands has another: see the function `position_stream_name`.

        Example::

            print(streams.Category("account").position_stream_name("report"))

        Raises:
            ValueError: the identifier is not a string, or is empty.
        """
        return position_stream_name(self._name, identifier)

    def snapshot_stream_name(
        self, id: str, entity: type[Any] | str | None = None, specifier: str | None = None
    ) -> str:
        """Return the stream of an entity's snapshots, which is named after the entity's class.

        Example::

            print(streams.Category("account").snapshot_stream_name("123"))

        Args:
            id: the entity's id; may be a compound id.
            entity: the class or its name; by default the name of the category without its types,
                which is the class's in most components (``account``, ``Account``).
            specifier: a string appended unchanged to the class's name.

        Raises:
            ValueError: a part is not a string, is empty, or contains a separator.
        """
        name = base_category(self._name) if entity is None else entity
        return snapshot_stream_name(name, id, specifier)

    def parse_id(self, stream_name: str) -> str:
        """Return the id in the name of an entity's stream, or of the stream of its commands.

        A compound id is returned whole.

        Example::

            print(streams.Category("account").parse_id("account-123"))  # 123

        Raises:
            ValueError: a stream of another category, or without an id. The error describes the
                expected name.
        """
        found = id_of(stream_name) if self._has(stream_name) else None
        if not found:
            raise ValueError(
                f"stream {stream_name!r} is not one of category {self._name!r}: it should be "
                f"'{self._name}-<id>' or '{self.command_category}-<id>'"
            )
        return found

    def parse_ids(self, stream_name: str) -> list[str]:
        """Return the ids in the name of such a stream, in order.

        Example::

            print(streams.Category("account").parse_ids("account-1+2"))  # ['1', '2']

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
    """Return the stream in which a consumer stores its position: ``account:position-identifier``.

    ``position`` is added to the category's types (``account:command+position``), unless it is one
    of them; text after a second colon is omitted.

    Example::

        print(streams.position_stream_name("account", "report"))

    Args:
        category: the category that the consumer reads; may have types.
        identifier: the consumer's, if it has one.

    Raises:
        ValueError: a part is not a string, is empty, or the category contains a ``-``.
    """
    check_part("the category", category, "-")
    if identifier is not None:
        check_part("the identifier", identifier, "")
    return typed_stream_name(category, _POSITION, identifier)


def snapshot_stream_name(entity: type[Any] | str, id: str, specifier: str | None = None) -> str:
    """Return the stream of an entity's snapshots: ``someEntity:snapshot-123`` of SomeEntity.

    Example::

        print(streams.snapshot_stream_name("Account", "123"))

    Args:
        entity: the class, whose name without its module is used, or that name.
        id: the entity's id; may be a compound id.
        specifier: a string appended unchanged to the class's name.

    Raises:
        ValueError: a part is not a string, is empty, or contains a separator.
    """
    name: Any = entity.__name__ if isinstance(entity, type) else entity
    check_part("the entity", name, "-:+")
    if specifier is not None:
        check_part("the specifier", specifier, "-:+")
    return stream_name(camel(name) + (specifier or ""), _id(id), type=_SNAPSHOT)


def typed_stream_name(category: str, type: str, id: str | None) -> str:
    """Return a category with a type added once, and an id, following Eventide's parsing."""
    parts = category.split(":")
    types = [part for part in parts[1].split("+") if part] if len(parts) > 1 else []
    if type not in types:
        types.append(type)
    name = f"{parts[0]}:{'+'.join(types)}"
    return name if id is None else f"{name}-{id}"


def _id(value: Any) -> str:
    if value is None:
        raise ValueError("the id of a stream name must not be None: pass the entity's id as a str")
    checked: str = value  # stream_name() checks that it is a str
    return checked
