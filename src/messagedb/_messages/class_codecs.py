"""A message class and JSON: its instances are decoded, and refused if they would not read back."""

from __future__ import annotations

import dataclasses
import functools
from abc import ABC, abstractmethod
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from .._errors import ValidationError
from .class_fields import (
    decode_with_ruby_times,
    has_floats,
    has_other_keys_than_strings,
    is_plain,
)
from .decode_errors import describe_decode_error
from .json_objects import decode_object, encode_as_read, encode_object, is_encoding_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .codecs import MessageCodec


class Codec(ABC):
    """A codec that writes the instances of one class as JSON strings, and reads them."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls

    @abstractmethod
    def encode(self, instance: Any, decimals: bool) -> str:
        """Return the JSON of an instance.

        Raises:
            ValidationError: it would not read back as an equal instance. Nothing was sent.
        """

    @abstractmethod
    def decode(self, text: str | None, decimals: bool) -> Any:
        """Return the instance that a JSON string represents; SQL NULL is an object without keys.

        Raises:
            Exception: the JSON does not fit the class: the error of its decoder, or one that the
                class itself raises.
        """

    @abstractmethod
    def convert(self, tree: dict[str, Any]) -> Any:
        """Return the instance that decoded data represents.

        Raises:
            Exception: as for ``decode``.
        """

    def encode_checked(self, instance: Any, decimals: bool) -> str:
        """Return the JSON to be stored for an instance.

        Raises:
            ValidationError: it would not read back as an equal instance. Nothing was sent.
        """
        return self.check_round_trip(instance, self.encode(instance, decimals), decimals)

    def build_stored_json(self, read: Any, text: str, decimals: bool) -> str:
        """Return the JSON to be stored for an instance that was read back from JSON as equal."""
        return text

    def check_round_trip(self, written: Any, text: str, decimals: bool) -> str:
        """Refuse an instance that its JSON does not read back to; return the JSON to be stored.

        Raises:
            ValidationError: with the path of the value that would change. Nothing was sent.
        """
        try:
            read = self.decode(text, decimals)
        except Exception as error:
            field, reason = describe_decode_error(error)
            raise ValidationError(
                f"{field} does not fit {self.cls.__qualname__} and would fail to decode: "
                f"{reason}. Use a value of the field's type, or annotate the field with the type "
                "of the value. Nothing was sent."
            ) from error
        if read == written:
            return self.build_stored_json(read, text, decimals)
        for path, was, comes in self._iter_differences(written, read):
            raise ValidationError(
                f"{path} {_describe_difference(was, comes)}: use a value of its annotated "
                f"type, or annotate it in {self.cls.__qualname__} with the value's type. "
                "Nothing was sent."
            )
        return self.build_stored_json(read, text, decimals)

    def _iter_differences(self, written: Any, read: Any) -> Iterator[tuple[str, Any, Any]]:
        return _iter_value_differences(written, read, "data")


class StructCodec(Codec):
    """A codec that reads a Struct or a dataclass directly from JSON, without a dict between."""

    def __init__(self, cls: type[Any]) -> None:
        super().__init__(cls)
        self._decode: Callable[[str | bytes], Any] | None = None
        self._decode_decimals: Callable[[str | bytes], Any] | None = None
        self._convert: Callable[[Any, type[Any]], Any] | None = None
        self._has_floats: bool | None = None
        self._is_plain: bool | None = None

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[type[Any]]]:
        return get_codec, (self.cls,)

    def prepare(self) -> None:
        """Make the decoder, unless an annotation names something that is defined later.

        Raises:
            ValidationError: msgspec cannot read an annotation.
        """
        try:
            self._build_decoder(decimals=False)
        except (NameError, AttributeError):
            pass  # as in a class that names itself; an undefined name fails at the first write
        except (TypeError, ValueError) as error:
            raise ValidationError(
                f"{self.cls.__qualname__} cannot be a message type: msgspec cannot read its "
                f"fields from JSON ({error})"
            ) from error

    def encode(self, instance: Any, decimals: bool) -> str:
        return cast("str", encode_object(instance, label="data", decimals=decimals))

    def decode(self, text: str | None, decimals: bool) -> Any:
        decode = self._decode_decimals if decimals else self._decode
        if decode is None:
            decode = self._build_decoder(decimals)
        if text is None:
            return decode("{}")
        try:
            return decode(text)
        except msgspec.ValidationError:
            return decode_with_ruby_times(text, decode)

    def convert(self, tree: dict[str, Any]) -> Any:
        convert = self._convert
        if convert is None:
            convert = self._convert = _choose_convert(self.cls)
        try:
            return convert(tree, self.cls)
        except msgspec.ValidationError as error:
            try:
                text = encode_object(tree, label="data", decimals=True)
            except ValidationError:
                raise error from None
            return decode_with_ruby_times(
                cast("str", text),
                lambda text: convert(decode_object(text, decimals=True), self.cls),
            )

    def encode_checked(self, instance: Any, decimals: bool) -> str:
        if self._is_plain is None:
            self._is_plain = is_plain(self.cls)
        if self._is_plain and not decimals:
            text = encode_as_read(instance, self._decode or self._build_decoder(decimals))
            if text is not None:
                return text
        return super().encode_checked(instance, decimals)

    def build_stored_json(self, read: Any, text: str, decimals: bool) -> str:
        # An integer in a field of floats was read as a float, and is stored as one.
        if not self._has_float_fields() or is_encoding_of(read, text):
            return text
        return self.encode(read, decimals)

    def encode_unchecked(self, instance: Any, decimals: bool) -> str:
        """Return the JSON of an instance that need not fit its class or be readable as one."""
        text = self.encode(instance, decimals)
        if not self._has_float_fields():
            return text
        try:
            read = self.decode(text, decimals)
            return self.build_stored_json(read, text, decimals) if read == instance else text
        except Exception:
            return text

    def _has_float_fields(self) -> bool:
        if self._has_floats is None:
            self._has_floats = has_floats(self.cls)
        return self._has_floats

    def _build_decoder(self, decimals: bool) -> Callable[[str | bytes], Any]:
        # msgspec does not call the hook for a field with an explicit number type.
        decode = msgspec.json.Decoder(self.cls, float_hook=Decimal if decimals else None).decode
        if decimals:
            self._decode_decimals = decode
        else:
            self._decode = decode
        return decode


def _choose_convert(cls: type[Any]) -> Callable[[Any, type[Any]], Any]:
    """Return the function that converts plain JSON to a class."""
    # msgspec spends more time on reading this argument than on converting a small message.
    if has_other_keys_than_strings(cls):
        return functools.partial(msgspec.convert, str_keys=True)
    return msgspec.convert


class CustomCodec(Codec):
    """A codec that passes the data of a class to a codec of the user."""

    def __init__(self, cls: type[Any], codec: MessageCodec) -> None:
        super().__init__(cls)
        self.codec = codec

    def encode(self, instance: Any, decimals: bool) -> str:
        name = type(self.codec).__qualname__
        try:
            data: Any = self.codec.encode(instance)
        except Exception as error:
            raise ValidationError(
                f"data could not be encoded by {name}: {describe_decode_error(error)[1]}. Nothing "
                "was sent."
            ) from error
        if not isinstance(data, Mapping):
            raise ValidationError(
                f"data was encoded by {name} as {type(data).__name__}: its encode() must return a "
                "mapping. Nothing was sent."
            )
        return cast("str", encode_object(data, label="data", decimals=decimals))

    def decode(self, text: str | None, decimals: bool) -> Any:
        given = "{}" if text is None else text
        try:
            return self.convert(decode_object(given, decimals=decimals))
        except Exception:
            return decode_with_ruby_times(
                given, lambda text: self.convert(decode_object(text, decimals=decimals))
            )

    def convert(self, tree: dict[str, Any]) -> Any:
        if type(tree) is not dict:
            raise TypeError(f"Expected an object, got {type(cast('object', tree)).__name__}")
        instance = self.codec.decode(self.cls, tree)
        if not isinstance(instance, self.cls):
            raise TypeError(
                f"{type(self.codec).__qualname__} decoded it as {type(instance).__name__}"
            )
        return instance

    def _iter_differences(self, written: Any, read: Any) -> Iterator[tuple[str, Any, Any]]:
        # The class defines its equality: this may use more than its fields.
        were, come = getattr(written, "__dict__", {}), getattr(read, "__dict__", {})
        for name in were:
            if name not in come or were[name] != come[name]:
                yield f"data.{name}", were[name], come.get(name)
        yield "data", written, read


class _StructCodecs(dict[type[Any], StructCodec]):
    """The codecs that were made. Another one is made when its class is first looked up."""

    def __missing__(self, cls: type[Any]) -> StructCodec:
        _check_fields(cls)
        codec = StructCodec(cls)
        codec.prepare()
        return self.setdefault(cls, codec)


# A dict, as functools.cache takes twice as long to find a class.
STRUCT_CODECS: Final = _StructCodecs()


def get_codec(cls: type[Any]) -> StructCodec:
    """Return the one codec of a Struct or a dataclass, as ``STRUCT_CODECS[cls]`` does.

    Raises:
        ValidationError: the class is neither of them, is not a JSON object, or has a field that
            msgspec cannot read.
    """
    return STRUCT_CODECS[cls]


def _check_fields(cls: type[Any]) -> None:
    if issubclass(cls, msgspec.Struct):
        if cls.__struct_config__.array_like:
            raise ValidationError(
                f"{get_class_name(cls)} is array_like, but the data of a message is a JSON object: "
                "remove array_like"
            )
    # A subclass of a dataclass has its fields, but without those that it only annotates itself.
    elif not dataclasses.is_dataclass(cls) or "__dataclass_fields__" not in vars(cls):
        raise ValidationError(
            f"{get_class_name(cls)} is neither a msgspec Struct nor a dataclass: make it one of "
            "them (as a decorator, @registry.add stands above @dataclass), or register it with a "
            "codec, such as codec=PydanticCodec()"
        )


def get_class_name(cls: type[Any]) -> str:
    """Return the name of a class for an error."""
    return f"{cls.__module__}.{cls.__qualname__}"


def _describe_difference(original: Any, decoded: Any) -> str:
    old, new = type(original).__name__, type(decoded).__name__
    if old == new:
        return f"would not be equal to the written {old} after decoding"
    return f"is of type {old} and would read back as {new}"


def _iter_value_differences(
    original: Any, decoded: Any, path: str
) -> Iterator[tuple[str, Any, Any]]:
    """Find where two values differ, also if their classes compare by identity."""
    if original == decoded:
        return
    kind: Any = original.__class__
    new: Any = decoded.__class__
    if kind is float and new is Decimal and original == float(decoded):
        return  # in a field without a type: with decimals=True such floats are read as Decimals
    if issubclass(kind, datetime) and new is datetime:
        if not _is_same_moment(original, decoded):
            yield path, original, decoded
    elif issubclass(kind, Mapping) and new is dict and original.keys() == decoded.keys():
        for key in original:
            yield from _iter_value_differences(original[key], decoded[key], f"{path}[{key!r:.60}]")
    elif kind is not new:
        yield path, original, decoded
    elif kind in (list, tuple) and len(original) == len(decoded):
        for index, child in enumerate(original):
            yield from _iter_value_differences(child, decoded[index], f"{path}[{index}]")
    elif names := _get_field_names(original):
        for name in names:
            yield from _iter_value_differences(
                getattr(original, name, msgspec.UNSET),
                getattr(decoded, name, msgspec.UNSET),
                f"{path}.{name}",
            )
    else:
        yield path, original, decoded


def _is_same_moment(original: datetime, decoded: datetime) -> bool:
    # Between zones, a time that a clock change skips or repeats is unequal to all others.
    if original.utcoffset() is None or decoded.utcoffset() is None:
        return False
    try:
        return original.astimezone(UTC) == decoded.astimezone(UTC)
    except OverflowError:
        return False


def _get_field_names(value: Any) -> tuple[str, ...]:
    if isinstance(value, msgspec.Struct):
        return value.__struct_fields__
    if dataclasses.is_dataclass(value):
        return tuple(field.name for field in dataclasses.fields(value) if field.compare)
    return ()
