"""Parse and compose stream names: ``category[:type[+type…]][-id[+id…]]``.

The first ``-`` ends the category; ``+`` joins the ids of a compound id, and types. ``category``,
``id``, ``cardinal_id`` and ``is_category`` return the same as the server's functions of these
names, for every string.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any


def category(stream_name: str) -> str:
    """Return the part before the first ``-`` with its types; without a ``-`` the whole name.

    Example::

        print(streams.category("account:command-123"))  # account:command
    """
    return stream_name.partition("-")[0]


def id(stream_name: str) -> str | None:
    """Return the part after the first ``-``, or None for the name of a category.

    A compound id is returned whole. The id of ``"account-"`` is ``""``.

    Example::

        print(streams.id("account-1+2"))  # 1+2
    """
    _, dash, id_part = stream_name.partition("-")
    return id_part if dash else None


def ids(stream_name: str) -> list[str]:
    """Return the ids of a compound id, in order; empty for the name of a category.

    Empty ids are kept, also at the end, so that the first is always the cardinal id and joining the
    ids with ``+`` restores the id: those of ``"account-a+"`` are ``["a", ""]``. (Eventide's Ruby
    omits empty ids at the end.)

    Example::

        print(streams.ids("account-1+2"))  # ['1', '2']
    """
    _, dash, id_part = stream_name.partition("-")
    return id_part.split("+") if dash else []


def cardinal_id(stream_name: str) -> str | None:
    """Return the first id of a compound id, by which consumer groups partition streams.

    None for the name of a category. An empty id is ``""``, as on the server. (Eventide's Ruby
    returns nil.)

    Example::

        print(streams.cardinal_id("account-1+2"))  # 1
    """
    _, dash, id_part = stream_name.partition("-")
    return id_part.partition("+")[0] if dash else None


def is_category(stream_name: str) -> bool:
    """Return True if the name has no ``-``, and so no id.

    Example::

        print(streams.is_category("account"))  # True
    """
    return "-" not in stream_name


def category_types(name: str) -> list[str]:
    """Return the types in a name: ``["command", "retry"]`` of ``"account:command+retry-1"``.

    Only Eventide gives types a meaning; for the server they are part of the category. As there, a
    second ``:`` ends them, and empty types at the end are omitted.

    Example::

        print(streams.category_types("account:command"))  # ['command']
    """
    parts = category(name).split(":")
    types = parts[1].rstrip("+") if len(parts) > 1 else ""
    return types.split("+") if types else []


def base_category(name: str) -> str:
    """Return the category without its types: ``"account"`` of ``"account:command-1"``.

    Eventide calls it the entity name.

    Example::

        print(streams.base_category("account:command"))  # account
    """
    return category(name).partition(":")[0]


def stream_name(
    category: str,
    id: str | None = None,
    *,
    ids: Iterable[str] = (),
    cardinal_id: str | None = None,
    type: str | None = None,
    types: Iterable[str] = (),
) -> str:
    """Compose a stream name, or with neither id nor ids the name of a category.

    The ids follow each other as ``cardinal_id``, ``id``, ``ids``, the types as those that the
    category has, ``type``, ``types``. The result must parse back into the arguments, or they are
    refused.

    Example::

        print(streams.stream_name("account", "123", type="command"))  # account:command-123

    Args:
        category: not empty and without ``-``. May have types (``account:command``), which are then
            the first.
        id: if it is the only one it may be a compound id, joined with ``+``.
        ids: further ids, each without ``+``.
        cardinal_id: the id by which consumer groups partition streams, without ``+``.
        type: without ``-``, ``:`` and ``+``.
        types: further types, each likewise.

    Raises:
        ValueError: a part is not a string, is empty, contains a NUL character, a lone surrogate, or
            a separator with which it would parse differently.
    """
    check_part("category", category, "-")
    given_ids = [*([] if cardinal_id is None else [cardinal_id]), *([] if id is None else [id])]
    given_ids += _as_list("ids", ids)
    for value in given_ids:
        check_part("an id", value, "+" if value is not id or len(given_ids) > 1 else "")
    given_types = [*([] if type is None else [type]), *_as_list("types", types)]
    for value in given_types:
        check_part("a type", value, "-:+")
    name = category
    if given_types:
        colons = category.count(":")
        if colons > 1 or category.endswith((":", "+")):
            raise ValueError(
                f"the category {category!r} cannot take further types: "
                "pass it as 'category' or as 'category:type+type'"
            )
        name += ("+" if colons else ":") + "+".join(given_types)
    return name + "-" + "+".join(given_ids) if given_ids else name


def _as_list(label: str, values: Any) -> Sequence[Any]:
    if isinstance(values, str | bytes):
        raise ValueError(
            f"{label} must be several strings, such as a list, not the str {values!r} itself"
        )
    try:
        return list(values)
    except TypeError:
        raise ValueError(
            f"{label} must be several strings, such as a list, not {values!r}"
        ) from None


def check_part(label: str, value: Any, separators: str) -> None:
    """Refuse an invalid part of a stream name with a ValueError."""
    if not isinstance(value, str):
        raise ValueError(
            f"{label} of a stream name must be a str, not {type(value).__name__}: pass str(value)"
        )
    if not value:
        raise ValueError(
            f"{label} of a stream name must not be empty: leave it out, or pass its value"
        )
    for separator in separators:
        if separator in value:
            raise ValueError(
                f"{label} of a stream name must not contain {separator!r}, which separates the "
                f"parts of a name: {value!r}"
            )
    if "\0" in value:
        raise ValueError(
            f"{label} contains a NUL character, which PostgreSQL cannot store: {value!r}"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{label} contains a lone surrogate, which is not Unicode: {value!r}"
        ) from None
