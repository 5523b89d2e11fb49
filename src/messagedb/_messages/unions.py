"""The members of a union, with aliases, ``Annotated`` and nested unions resolved at every depth."""

from __future__ import annotations

import sys
import types
import typing
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ForwardRef,
    TypeVar,
    Union,
    get_args,
    get_origin,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


def get_union_members(annotation: Any, scope: Mapping[str, Any] | None = None) -> list[Any]:
    """Return the members of an annotation, in their order, each once; itself if it is no union.

    Args:
        annotation: a class, a union, an alias of one, a string that names one; with or without
            metadata.
        scope: the values of names in strings. The module of an alias is searched as well.

    Raises:
        Exception: a string or an alias cannot be resolved; the error is Python's.
    """
    members = _iter_members(annotation, scope or {}, {}, ())
    unique: list[Any] = []
    for member in members:
        if member not in unique:  # a list, as some members are not hashable
            unique.append(member)
    return unique


def _iter_members(
    annotation: Any,
    scope: Mapping[str, Any],
    bindings: Mapping[Any, Any],
    inside: tuple[Any, ...],
) -> Iterator[Any]:
    if isinstance(annotation, str | ForwardRef):
        annotation = _resolve(annotation, scope)
    if isinstance(annotation, type) and get_origin(annotation) is None:
        yield annotation
    elif get_origin(annotation) in (Union, types.UnionType):
        for member in get_args(annotation):
            yield from _iter_members(member, scope, bindings, inside)
    elif get_origin(annotation) is Annotated:
        yield from _iter_members(get_args(annotation)[0], scope, bindings, inside)
    elif isinstance(annotation, TypeVar):
        yield from _iter_variable_members(annotation, scope, bindings, inside)
    elif (value := getattr(annotation, "__value__", None)) is not None:
        # A "type" statement, from Python 3.12 on, or the TypeAliasType of typing_extensions; an
        # alias with arguments forwards attributes to its generic alias.
        if any(annotation is one for one in inside):
            raise TypeError(f"{annotation} is an alias of itself")
        variables = getattr(annotation, "__type_params__", ())
        arguments = [(argument, bindings) for argument in get_args(annotation)]
        new_bindings = dict(zip(variables, arguments, strict=False))
        around = getattr(sys.modules.get(getattr(annotation, "__module__", "")), "__dict__", {})
        yield from _iter_members(value, {**around, **scope}, new_bindings, (*inside, annotation))
    else:
        yield annotation


def _iter_variable_members(
    variable: TypeVar,
    scope: Mapping[str, Any],
    bindings: Mapping[Any, Any],
    inside: tuple[Any, ...],
) -> Iterator[Any]:
    """Resolve a type variable: its argument in the alias, else its constraints or bound."""
    if variable in bindings:
        argument, around = bindings[variable]
        yield from _iter_members(argument, scope, around, inside)
    elif variable.__constraints__:
        for member in variable.__constraints__:
            yield from _iter_members(member, scope, bindings, inside)
    elif variable.__bound__ is not None:
        yield from _iter_members(variable.__bound__, scope, bindings, inside)
    else:
        yield variable


def _resolve(annotation: str | ForwardRef, scope: Mapping[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    return typing.get_type_hints(holder, dict(scope), include_extras=True)["it"]
