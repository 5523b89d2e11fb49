"""Causes of events. The events' ids are derived from the cause, so repeated writes are found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, cast
from uuid import UUID, uuid4

import msgspec

from .._argument_checks import is_storable
from .._errors import ValidationError
from .._messages.ids import derive_id
from .._messages.json_objects import decode_object
from .._messages.message import Message, NewMessage
from .._messages.metadata import Metadata, encode_metadata

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .._messages.registry import MessageRegistry

_LOCAL: Final = "localProperties"
_RECORD: Final = "idempotency"
_COMMAND: Final = "command"
_CALL: Final = "call"


class CommandKey(msgspec.Struct, frozen=True):
    """The key of a command, and the facts that are recorded with the first event of the command."""

    text: str
    names: tuple[str, ...]
    """The type name of the command's class, followed by its earlier names."""
    call: str
    """Unique per call: distinguishes its events from those of another call with the same key."""


class Causation(msgspec.Struct, frozen=True):
    """Causing message or key of the events to write, with their name and metadata."""

    following: Message[Any] | None
    name: str
    metadata: Mapping[str, Any] | msgspec.Struct | None
    key: CommandKey | None = None

    @property
    def has_fixed_ids(self) -> bool:
        """True if the events' ids are derived, and so the same each time."""
        return self.following is not None or self.key is not None

    def build_event_id(self, stream_name: str, index: int) -> UUID:
        """Derive the id of an event. It is the same each time."""
        if self.key is not None:
            return derive_id("key", self.key.text, stream_name, self.name, str(index))
        assert self.following is not None
        return derive_id("event", str(self.following.id), stream_name, self.name, str(index))

    def count_events(self, messages: Iterable[Message[Any]], stream_name: str) -> int:
        """Count the messages at the beginning that are the events of this cause, in order."""
        number = 0
        for message in messages:
            if message.id != self.build_event_id(stream_name, number):
                break
            number += 1
        return number

    def add_key_record(self, metadata: Any, *, decimals: bool) -> Any:
        """Return the metadata of the first event, with the record of the key added.

        Raises:
            ValidationError: the metadata has no place for the record. Nothing was sent.
        """
        if self.key is None:
            return metadata
        record = {_COMMAND: self.key.names[0], _CALL: self.key.call}
        if metadata is None:
            metadata = Metadata()
        if isinstance(metadata, Metadata):
            return metadata.with_local_properties({_RECORD: record})
        text = encode_metadata(metadata, decimals=decimals) or "{}"
        stored: dict[str, Any] = decode_object(text, decimals=decimals)
        local: Any = stored.get(_LOCAL) or {}
        if not isinstance(local, dict):
            raise ValidationError(
                f"with id= the command's class is recorded in {_LOCAL} of the first event's "
                f"metadata. {_LOCAL} must be an object, not {type(local).__name__}. Nothing was "
                "sent."
            )
        return {**stored, _LOCAL: {**cast("dict[str, Any]", local), _RECORD: record}}

    def is_other_call(self, first: Message[Any]) -> bool:
        """Return True if the first event is known to be of another call with the same key."""
        call = _get_key_record(first).get(_CALL)
        return self.key is not None and isinstance(call, str) and call != self.key.call

    def check_same_command(self, first: Message[Any]) -> None:
        """Raise if the stored first event of the key is the result of a command of another class.

        Raises:
            ValidationError: the key was used for another class. Nothing was written.
        """
        name = _get_key_record(first).get(_COMMAND)
        if self.key is None or not isinstance(name, str) or name in self.key.names:
            return
        raise ValidationError(
            f"the key {self.key.text!r:.80} was used for a command of class {name!r}, whose first "
            f"event is at position {first.position} of stream {first.stream_name!r}. It cannot be "
            f"used for a command of class {self.key.names[0]!r}. Nothing was written. Give each "
            "command its own key."
        )


def build_causation(
    following: Message[Any] | None,
    name: str,
    metadata: Mapping[str, Any] | msgspec.Struct | None,
    key: CommandKey | None = None,
) -> Causation:
    """Check the arguments and return the cause of events.

    Raises:
        ValidationError: ``following`` is not a Message, or the name is not a storable string.
            Nothing was sent.
    """
    given: Any = following
    if given is not None and not isinstance(given, Message):
        raise ValidationError(
            f"following must be the Message that was read, such as context.message, not "
            f"{type(given).__name__}. Nothing was sent."
        )
    if not _is_storable_string(name):
        raise ValidationError(
            f"name must be a string without NUL and lone surrogates, not {name!r:.80}. Nothing was "
            "sent."
        )
    return Causation(following, name, metadata, key)


def build_command_key(id: Any, command: Any, registry: MessageRegistry) -> CommandKey | None:
    """Return the key of a command, None for a command without a key.

    Raises:
        ValidationError: the id is neither a non-empty Unicode string nor a UUID. Nothing was sent.
    """
    if id is None:
        return None
    text = str(id) if isinstance(id, UUID) else id
    if not text or not _is_storable_string(text):
        raise ValidationError(
            f"id must be the key of the command, a string that is not empty (without NUL and lone "
            f"surrogates) or a UUID, not {id!r:.80}. Nothing was sent."
        )
    return CommandKey(text, _get_command_names(command, registry), uuid4().hex)


def _get_command_names(command: object, registry: MessageRegistry) -> tuple[str, ...]:
    if isinstance(command, Message | NewMessage):
        return (cast("NewMessage", command).type,)
    cls = type(command)
    return registry.get_type_names(cls) if cls in registry else (cls.__name__,)


def _is_storable_string(value: Any) -> bool:
    return isinstance(value, str) and is_storable(value)


def _get_key_record(message: Message[Any]) -> dict[str, Any]:
    """Return the record of the key in the first event's metadata, empty if there is none."""
    found: Any = message.metadata
    for name in (_LOCAL, _RECORD):
        found = cast("dict[str, Any]", found).get(name) if isinstance(found, dict) else None
    return cast("dict[str, Any]", found) if isinstance(found, dict) else {}
