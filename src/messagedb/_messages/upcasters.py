"""The upcasters of a registry: each converts data of one version of a type to the next."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeAlias

from .._errors import MessageDecodeError, ValidationError
from .annotations import get_qualified_name
from .class_codecs import get_class_name
from .json_objects import decode_object
from .schema_version import check_version, get_stored_version

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .message import Message
    from .registry_entry import RegistryEntry

# The stored JSON of a message: a call that returns it would be a twentieth of an upcast's time.
# pyright: reportPrivateUsage=false

Upcaster: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]
"""Converts data of one version to the next."""


class Upcasters:
    """The upcasters, by the class or the type name that they were registered for."""

    def __init__(self) -> None:
        self._registered: dict[str | type[Any], dict[int, Upcaster]] = {}
        self._steps: dict[type[Any], dict[int, Upcaster]] = {}  # filled on demand

    def add(self, key: str | type[Any], function: Upcaster, from_version: int) -> None:
        """Register an upcaster.

        Raises:
            ValidationError: there is another, or an argument is invalid. Nothing was registered.
        """
        subject: Any = key
        if not isinstance(subject, str | type):
            raise ValidationError(
                f"upcaster() takes a message type or its class first, not {subject!r:.60}"
            )
        check_version(from_version, "from_version")
        if not callable(function):
            raise ValidationError(
                f"an upcaster must be a function that takes and returns a dict, not {function!r}"
            )
        registered = self._registered.get(key, {}).get(from_version)
        if registered is not None and registered is not function:
            raise _duplicate_upcaster_error(registered, function, from_version, _describe_key(key))
        self._registered.setdefault(key, {})[from_version] = function
        self._steps.clear()

    def upcasters_by_version(self, entry: RegistryEntry) -> dict[int, Upcaster]:
        """Return the upcasters of a class, by the version that they take.

        Raises:
            ValidationError: one version has different upcasters under two of the class's names.
        """
        steps: dict[int, Upcaster] = {}
        keys: tuple[str | type[Any], ...] = (entry.cls, *entry.names)
        for key in keys:
            for version, function in self._registered.get(key, {}).items():
                if steps.setdefault(version, function) is not function:
                    raise _duplicate_upcaster_error(
                        steps[version], function, version, repr(entry.name)
                    )
        return steps

    def iter_problems(self, entries: Iterable[RegistryEntry]) -> Iterator[str]:
        """Find versions that could not be read, and upcasters that are never used."""
        known: set[str | type[Any]] = set()
        for entry in entries:
            known.update((entry.cls, *entry.names))
            try:
                yield from _iter_entry_problems(entry, self.upcasters_by_version(entry))
            except ValidationError as error:
                yield str(error)
        for key, steps in self._registered.items():
            if key not in known:
                for function in steps.values():
                    yield (
                        f"{get_qualified_name(function)} is an upcaster of {_describe_key(key)}, "
                        "which is not registered"
                    )

    def upcast(self, entry: RegistryEntry, message: Message[Any]) -> dict[str, Any] | None:
        """Return the data of a message, converted from an older version to its class's version.

        Return None if the message has the class's version: its data needs no conversion.

        Raises:
            MessageDecodeError: the version is invalid, or newer than the class's; an upcaster is
                missing, raised an error, or did not return a dict; the data is not an object.
        """
        wanted = entry.version or 1
        metadata = message._metadata
        try:
            stored_version = get_stored_version(metadata)
        except ValueError as error:
            raise _decode_error(message, f"{error}", "metadata.schemaVersion") from error
        if stored_version == wanted:
            return None
        if stored_version > wanted:
            raise _decode_error(
                message,
                f"it is of version {stored_version}, and {entry.cls.__qualname__} is known here up "
                f"to version {wanted}: upgrade this service first, then the writing services",
            )
        text, decimals = message._data, message._decimals
        try:
            data: Any = decode_object(text or "{}", decimals=decimals)
        except ValueError as error:
            raise _decode_error(message, str(error)) from error
        if data.__class__ is not dict:
            raise _decode_error(message, "it is not a JSON object, which upcasters need")
        steps = self._steps.get(entry.cls)
        if steps is None:
            try:
                steps = self._steps[entry.cls] = self.upcasters_by_version(entry)
            except ValidationError as error:
                raise _decode_error(message, f"its upcasters are ambiguous: {error}") from error
        version = stored_version
        while version < wanted:
            step = steps.get(version)
            if step is None:
                raise _decode_error(
                    message,
                    f"it is of version {stored_version}, and there is "
                    f"{_missing_upcaster_text(entry, version)}: register one with "
                    "registry.upcaster()",
                )
            try:
                data = step(data)
            except Exception as error:
                reason = f"raised {type(error).__name__}: {error}"
                raise _upcaster_error(message, step, version, reason) from error
            if data.__class__ is not dict:
                reason = f"returned {type(data).__name__}: it must return the changed dict"
                raise _upcaster_error(message, step, version, reason)
            version += 1
        upcast: dict[str, Any] = data
        return upcast


def _iter_entry_problems(entry: RegistryEntry, steps: dict[int, Upcaster]) -> Iterator[str]:
    if entry.version is None:
        for function in steps.values():
            yield (
                f"{get_qualified_name(function)} is an upcaster of {entry.name!r}, which has no "
                "version"
            )
        return
    for version in range(1, entry.version):
        if version not in steps:
            yield _missing_upcaster_text(entry, version)
    for version, function in sorted(steps.items()):
        if version >= entry.version:
            yield (
                f"{get_qualified_name(function)} is an upcaster from version {version} of "
                f"{entry.name!r}, which is at version {entry.version}"
            )


def _missing_upcaster_text(entry: RegistryEntry, version: int) -> str:
    return f"no upcaster from version {version} to {version + 1} of {entry.name!r}"


def _duplicate_upcaster_error(
    first: Upcaster, second: Upcaster, version: int, label: str
) -> ValidationError:
    return ValidationError(
        f"{label} already has an upcaster from version {version}, {get_qualified_name(first)}: "
        f"{get_qualified_name(second)} would be a second one. Remove one of them"
    )


def _describe_key(key: str | type[Any]) -> str:
    return repr(key) if isinstance(key, str) else get_class_name(key)


def _upcaster_error(
    message: Message[Any], step: Upcaster, version: int, reason: str
) -> MessageDecodeError:
    name = get_qualified_name(step)
    return _decode_error(message, f"the upcaster {name} from version {version} {reason}")


def _decode_error(message: Message[Any], reason: str, field: str = "data") -> MessageDecodeError:
    return message.decode_error(field, reason)
