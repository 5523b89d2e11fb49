"""Parse and compose stream names: ``category[:type[+type…]][-id[+id…]]``.

The first ``-`` ends the category; ``+`` joins the ids of a compound id, and types. ``category``,
``id``, ``cardinal_id`` and ``is_category`` give what the server's functions of these names give,
for every text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def category(stream_name: str) -> str:
    """Return the part before the first ``-``, types included; without a ``-`` the whole name."""
    return stream_name.partition("-")[0]


def id(stream_name: str) -> str | None:
    """Return the part after the first ``-``, or None for the name of a category.

    A compound id is given whole. The id of ``"account-"`` is ``""``.
    """
    _, dash, rest = stream_name.partition("-")
    return rest if dash else None


def ids(stream_name: str) -> list[str]:
    """Return the ids of a compound id, in order; empty for the name of a category.

    Empty ids are kept, at the end too, so that the first is always the cardinal id and the ids
    joined with ``+`` are the id again: those of ``"account-a+"`` are ``["a", ""]``. (Eventide's
    Ruby leaves out empty ids at the end.)
    """
    _, dash, rest = stream_name.partition("-")
    return rest.split("+") if dash else []


def cardinal_id(stream_name: str) -> str | None:
    """Return the first id of a compound id, the one that consumer groups share work by.

    None for the name of a category. An empty id is ``""``, as on the server. (Eventide's Ruby says
    nil.)
    """
    _, dash, rest = stream_name.partition("-")
    return rest.partition("+")[0] if dash else None


def is_category(stream_name: str) -> bool:
    """Tell whether the name has no ``-``, and so no id."""
    return "-" not in stream_name


def category_types(name: str) -> list[str]:
    """Return the types in a name: ``["command", "retry"]`` of ``"account:command+retry-1"``.

    Only Eventide gives types a meaning; to the server they are part of the category. As there, a
    second ``:`` ends them, and empty types at the end are left out.
    """
    parts = category(name).split(":")
    types = parts[1].rstrip("+") if len(parts) > 1 else ""
    return types.split("+") if types else []


def base_category(name: str) -> str:
    """Return the category without its types: ``"account"`` of ``"account:command-1"``.

    Eventide calls it the *entity name*.
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

    The ids follow each other as *cardinal_id*, *id*, *ids*, the types as those that the category
    has, *type*, *types*. What is composed parses back into what was given; whatever would not is
    refused.

    Args:
        category: not empty and without ``-``. May have types (``account:command``), which are then
            the first.
        id: when it is the only one it may be a compound id, joined with ``+``.
        ids: further ids, each without ``+``.
        cardinal_id: the id that consumer groups share work by, without ``+``.
        type: without ``-``, ``:`` and ``+``.
        types: further types, each likewise.

    Raises:
        ValueError: a part is not text, is empty, holds a NUL character or a lone surrogate, or a
            separator that would make it parse as something else.
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
                "give it as 'category' or as 'category:type+type'"
            )
        name += ("+" if colons else ":") + "+".join(given_types)
    return name + "-" + "+".join(given_ids) if given_ids else name


def _as_list(label: str, values: Any) -> Sequence[Any]:
    if isinstance(values, str | bytes):
        raise ValueError(
            f"{label} must be several texts, such as a list, not the text {values!r} itself"
        )
    try:
        return list(values)
    except TypeError:
        raise ValueError(f"{label} must be several texts, such as a list, not {values!r}") from None


def check_part(label: str, value: Any, separators: str) -> None:
    """Raise ValueError for what cannot be a part of a stream name."""
    if not isinstance(value, str):
        raise ValueError(
            f"{label} of a stream name must be text, not {type(value).__name__}: give str(value)"
        )
    if not value:
        raise ValueError(
            f"{label} of a stream name must not be empty: leave it out, or give its value"
        )
    for separator in separators:
        if separator in value:
            raise ValueError(
                f"{label} of a stream name must not contain {separator!r}, which separates the "
                f"parts of a name: {value!r}"
            )
    if "\0" in value:
        raise ValueError(f"{label} holds a NUL character, which PostgreSQL cannot store: {value!r}")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{label} holds a lone surrogate, which is not Unicode text: {value!r}"
        ) from None
