"""Copies of fields, to make a message from the one that it follows."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar, cast

import msgspec

from .._errors import ValidationError

__all__ = ["copy_fields"]

C = TypeVar("C")


def copy_fields(
    cls: type[C],
    source: Any,
    *,
    include: Iterable[str] | None = None,
    exclude: Iterable[str] = (),
    rename: Mapping[str, str] | None = None,
    **values: Any,
) -> C:
    """Make an instance of a class with fields of another one, such as an event from a command.

    Nothing is left out silently: a field that the class lacks is an error, unless ``exclude`` or
    ``include`` leaves it out. Values are shared, not copied.

    Example::

        event = copy_fields(Deposited, Deposit(5))

    Args:
        cls: a msgspec Struct or a dataclass.
        source: an instance of one.
        include: the source's fields to copy; all by default.
        exclude: fields not to copy.
        rename: the class's name for a field of the source that has another name there.
        values: further fields of the class; they override the source's.

    Raises:
        ValidationError: a named field does not exist, two would be the same, the class refuses the
            values or lacks one, or an argument is neither a Struct nor a dataclass.
    """
    target_fields = _get_field_names(cls, "the class")
    source_fields = _get_field_names(type(source), "the source")
    renamed = dict(rename or {})
    excluded = set(_as_name_tuple(exclude))
    wanted = source_fields if include is None else _as_name_tuple(include)
    for name in (*wanted, *excluded, *renamed):
        if name not in source_fields:
            raise ValidationError(
                f"{type(source).__name__} has no field {name!r} to copy: it has "
                f"{', '.join(source_fields) or 'none'}"
            )
    fields: dict[str, Any] = {}
    for name in wanted:
        if name in excluded:
            continue
        target = renamed.get(name, name)
        if target not in target_fields:
            raise ValidationError(
                f"{cls.__name__} has no field {target!r} for that of {type(source).__name__}: put "
                f"it into exclude, put its name there into rename, or add it to {cls.__name__}"
            )
        if target in fields:
            raise ValidationError(
                f"two fields of {type(source).__name__} would be {target!r} of {cls.__name__}: "
                "put one of them into exclude"
            )
        fields[target] = getattr(source, name)
    try:
        return cls(**{**fields, **values})
    except (TypeError, ValueError) as error:
        raise ValidationError(f"{cls.__name__} could not be created: {error}") from error


def _as_name_tuple(given: Iterable[str]) -> tuple[str, ...]:
    if isinstance(given, str):
        raise ValidationError(f"names of fields must be a list, not the str {given!r}")
    return tuple(given)


def _get_field_names(cls: Any, label: str) -> tuple[str, ...]:
    if isinstance(cls, type) and issubclass(cast("type[Any]", cls), msgspec.Struct):
        return cast("type[msgspec.Struct]", cls).__struct_fields__
    if dataclasses.is_dataclass(cast("Any", cls)):
        return tuple(field.name for field in dataclasses.fields(cls) if field.init)
    name = getattr(cls, "__name__", "a value")
    raise ValidationError(f"{label} must be a msgspec Struct or a dataclass, not {name}")
