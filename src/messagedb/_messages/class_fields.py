"""The JSON of a class's fields: floats, and times in Ruby's format."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import inspect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_RUBY_TIME: Final = re.compile(
    r'"(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d(?:\.\d+)?) (?:(UTC)|([+-]\d\d):?(\d\d))"(?!\s*:)'
)
"""A JSON string, not a key, in the format of Ruby's Time#to_s."""

_MAX_RUBY_TIMES: Final = 200
"""The most strings of that format that are tried one by one."""


def has_floats(cls: type[Any]) -> bool:
    """Return True if a field of a class is a float, at any depth."""
    try:
        return any(
            isinstance(each, inspect.FloatType) for each in iter_types(inspect.type_info(cls))
        )
    except (TypeError, NameError, AttributeError):
        return False


_PLAIN: Final = (
    *(inspect.NoneType, inspect.BoolType, inspect.IntType, inspect.FloatType, inspect.StrType),
    *(inspect.DateTimeType, inspect.DateType, inspect.TimeType, inspect.TimeDeltaType),
    *(inspect.UUIDType, inspect.EnumType, inspect.LiteralType, inspect.UnionType),
    *(inspect.ListType, inspect.VarTupleType, inspect.TupleType),
)


def is_plain(cls: type[Any]) -> bool:
    """Return True if instances of a class that read back from JSON as equal ones can be stored.

    Some instances of other classes cannot, such as those with sets, bytes, keys that are not
    strings, or an ``__eq__`` of the class.
    """
    try:
        return all(map(_is_plain_type, iter_types(inspect.type_info(cls))))
    except (TypeError, NameError, AttributeError):
        return False


def _is_plain_type(info: inspect.Type) -> bool:
    if isinstance(info, inspect.StructType):
        return info.cls.__eq__ is msgspec.Struct.__eq__
    if isinstance(info, inspect.DictType):
        return isinstance(info.key_type, inspect.StrType)
    return isinstance(info, _PLAIN)


def has_other_keys_than_strings(cls: type[Any]) -> bool:
    """Return True if a field of a class is a mapping with other keys, or if that is unknown."""
    try:
        types = list(iter_types(inspect.type_info(cls)))
    except (TypeError, NameError, AttributeError):
        return True
    strings = (inspect.StrType, inspect.AnyType)
    keys = [key for each in types if (key := getattr(each, "key_type", None)) is not None]
    return not all(isinstance(key, strings) for key in keys)


def iter_types(info: Any) -> Iterator[inspect.Type]:
    """Return all types that a type contains, itself first, each once."""
    seen: set[int] = set()
    kept: list[Any] = [info]  # keeps each object alive, so that no other one gets its id
    for each in kept:
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, inspect.Type):
            yield each
        kept.extend(_iter_inner_types(each))


def _iter_inner_types(info: Any) -> Iterator[Any]:
    if isinstance(info, inspect.Field):
        yield info.type
    elif isinstance(info, inspect.Type):
        for name in info.__struct_fields__:
            value: Any = getattr(info, name)
            if isinstance(value, inspect.Type | inspect.Field):
                yield value
            elif value.__class__ is tuple:
                for one in value:
                    if isinstance(one, inspect.Type | inspect.Field):
                        yield one


def decode_with_ruby_times(text: str, decode: Callable[[str], Any]) -> Any:
    """Decode JSON that did not fit, with strings in Ruby's time format read as times.

    Such a string stays unchanged if it fits a field of strings.

    Raises:
        Exception: the JSON does not fit in this way either.
    """
    matches = list(_RUBY_TIME.finditer(text))
    if not matches or len(matches) > _MAX_RUBY_TIMES:
        return decode(text)
    changed = {match.start() for match in matches}
    value = decode(_replace_ruby_times(text, matches, changed))
    for match in matches:
        try:
            value = decode(_replace_ruby_times(text, matches, changed - {match.start()}))
        except Exception:
            continue
        changed.discard(match.start())
    return value


def _replace_ruby_times(text: str, matches: list[re.Match[str]], changed: set[int]) -> str:
    parts: list[str] = []
    end = 0
    for match in matches:
        if match.start() in changed:
            day, time, utc, hours, minutes = match.groups()
            zone = "Z" if utc else f"{hours}:{minutes}"
            parts += [text[end : match.start()], f'"{day}T{time}{zone}"']
            end = match.end()
    return "".join([*parts, text[end:]])
