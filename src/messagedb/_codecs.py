"""A class of messages and JSON: its instances decoded, and those refused that would not return."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec

from .errors import ValidationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Codec:
    """Reads the instances of one class from JSON text, straight, without a dict between."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls
        self._decode: Callable[[str], Any] | None = None
        self._decode_decimals: Callable[[str], Any] | None = None

    def prepare(self) -> None:
        """Make the decoder, unless an annotation names what is defined later only.

        Raises:
            ValidationError: an annotation is one that msgspec cannot read.
        """
        try:
            self._made(decimals=False)
        except (NameError, AttributeError):
            pass  # as in a class that names itself; what never comes to be fails at the first write
        except (TypeError, ValueError) as error:
            raise ValidationError(
                f"{self.cls.__qualname__} cannot be a message type: msgspec does not read its "
                f"fields from JSON ({error})"
            ) from error

    def decode(self, text: str | None, decimals: bool) -> Any:
        """Return the instance that a text is of; SQL NULL is an object without keys.

        Raises:
            Exception: the text does not fit the class: msgspec's reason, or what the class itself
                raises.
        """
        decode = self._decode_decimals if decimals else self._decode
        if decode is None:
            decode = self._made(decimals)
        return decode("{}" if text is None else text)

    def _made(self, decimals: bool) -> Callable[[str], Any]:
        # Of a field that says what it holds, the hook is not asked.
        decode = msgspec.json.Decoder(self.cls, float_hook=Decimal if decimals else None).decode
        if decimals:
            self._decode_decimals = decode
        else:
            self._decode = decode
        return decode

    def refuse_unfaithful(self, written: Any, text: str, decimals: bool) -> None:
        """Raise for an instance that its text does not give back.

        Raises:
            ValidationError: with the path of what would not be the same. Nothing was sent.
        """
        try:
            read = self.decode(text, decimals)
        except Exception as error:
            raise ValidationError(
                f"data does not fit {self.cls.__qualname__} and could not be read back as one: "
                f"{error}. Give each field a value of its type, or annotate it as what it holds. "
                "Nothing was sent."
            ) from error
        if read == written:
            return
        for path, was, comes in _differences(written, read, "data"):
            raise ValidationError(
                f"{path} {_would_be(was, comes)}: give it a value of its annotated type, or "
                f"annotate it in {self.cls.__qualname__} as what it holds. Nothing was sent."
            )


def _would_be(was: Any, comes: Any) -> str:
    old, new = type(was).__name__, type(comes).__name__
    if old == new:
        return f"would read back as another {old} than it is"
    return f"is of type {old} and would read back as {new}"


def _differences(was: Any, comes: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """Where two values differ, also where classes compare by identity."""
    if was == comes:
        return
    kind: Any = was.__class__
    new: Any = comes.__class__
    if kind is float and new is Decimal and was == float(comes):
        return  # of a field without a type: with decimals=True such floats are read as Decimals
    if issubclass(kind, datetime) and new is datetime:
        if not _is_one_moment(was, comes):
            yield path, was, comes
    elif issubclass(kind, Mapping) and new is dict and was.keys() == comes.keys():
        for key in was:
            yield from _differences(was[key], comes[key], f"{path}[{key!r:.60}]")
    elif kind is not new:
        yield path, was, comes
    elif kind in (list, tuple) and len(was) == len(comes):
        for index, child in enumerate(was):
            yield from _differences(child, comes[index], f"{path}[{index}]")
    elif names := _field_names(was):
        for name in names:
            yield from _differences(
                getattr(was, name, msgspec.UNSET),
                getattr(comes, name, msgspec.UNSET),
                f"{path}.{name}",
            )
    else:
        yield path, was, comes


def _is_one_moment(was: datetime, comes: datetime) -> bool:
    # Between zones, a time that an hour's change skips or repeats is unequal to all others.
    if was.utcoffset() is None or comes.utcoffset() is None:
        return False
    try:
        return was.astimezone(UTC) == comes.astimezone(UTC)
    except OverflowError:
        return False


def _field_names(value: Any) -> tuple[str, ...]:
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if dataclasses.is_dataclass(value):
        return tuple(field.name for field in dataclasses.fields(value) if field.compare)
    return ()
