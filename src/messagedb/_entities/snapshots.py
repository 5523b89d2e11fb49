"""Snapshots of entities, in the format of the Eventide toolkit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar, cast
from uuid import UUID

import msgspec

from .._argument_checks import check_integer, is_integer
from .._errors import ValidationError
from .._messages.json_objects import decode_object, encode_object
from .._messages.message import Message, NewMessage
from .._operations.validation import LAST_POSITION
from ..expected_version import NO_STREAM
from ..streams import snapshot_stream_name
from .equality import is_deeply_equal

__all__ = ["SnapshotPolicy"]

S = TypeVar("S")

_RECORDED = "Recorded"
# Our keys, which Eventide ignores.
_STREAM = "streamName"
_EVENT = "lastEventId"


class SnapshotPolicy(Generic[S]):
    """Stores the state of entities at intervals, so that loading need not read all events.

    Snapshots are in stream ``<entityClass><specifier>:snapshot-<id>``, as messages of type
    ``Recorded`` with ``{"entityData": {…}, "entityVersion": n, "time": "…"}``, and the stream and
    the last id of the events. A Ruby service with Eventide can use them, and vice versa. (For that
    the state's keys must be camelCase: ``rename="camel"``.) Only the last message of a stream is
    read, so older ones may be deleted at any time. All of them may be deleted, too: they can be
    rebuilt from the events.

    When the class of the state changes so that older snapshots would be decoded to a wrong state,
    use another specifier; also if entities of two categories have the same class. A snapshot
    that does not fit the class any more is ignored, and all events are read.

    Example::

        snapshots = SnapshotPolicy(Account, every_events=100)
        accounts = EntityStore(client, "account", decider=decider, snapshots=snapshots)

    Args:
        entity: the class of the state: a msgspec Struct or a dataclass, or any class with *encode*
            and *decode*. The name of the stream is derived from its name.
        every_events: the number of new events after which a snapshot is stored.
        specifier: a string that follows the name of the class, such as ``"V2"``.
        encode: converts a state to a JSON object (a dict), if msgspec cannot.
        decode: converts such an object to a state.

    Raises:
        ValidationError: the interval is less than 1, or the stream name would be invalid.
    """

    def __init__(
        self,
        entity: type[S],
        *,
        every_events: int,
        specifier: str | None = None,
        encode: Callable[[S], Mapping[str, Any]] | None = None,
        decode: Callable[[dict[str, Any]], S] | None = None,
    ) -> None:
        check_integer("interval", every_events, least=1)
        if (encode is None) != (decode is None):
            raise ValidationError("give both encode and decode, or neither")
        self.every_events = every_events
        self._entity = entity
        self._specifier = specifier
        self._encode = encode
        self._decode = decode
        try:
            self.stream_name("1")
        except ValueError as error:
            raise ValidationError(str(error)) from error

    def stream_name(self, id: str) -> str:
        """Return the stream of the snapshots of an entity.

        Example::

            snapshots = SnapshotPolicy(Account, every_events=100)
            print(snapshots.stream_name("123"))  # account:snapshot-123
        """
        return snapshot_stream_name(self._entity, id, specifier=self._specifier)

    def is_due(self, version: int, snapshot_version: int) -> bool:
        """Return True if an entity at a version needs a new snapshot.

        Example::

            snapshots = SnapshotPolicy(Account, every_events=100)
            print(snapshots.is_due(version=99, snapshot_version=-1))  # True
        """
        return version - snapshot_version >= self.every_events

    def build_message(
        self,
        state: S,
        version: int,
        last_id: UUID | None,
        copy: Callable[[S], S],
        entity_stream: str,
        *,
        decimals: bool,
    ) -> NewMessage:
        """Return the message that stores a state.

        Example::

            snapshots = SnapshotPolicy(Account, every_events=100)
            message = snapshots.build_message(
                Account(5), 99, None, copy.copy, "account-1", decimals=False
            )

        Args:
            state: the state.
            version: the position of the entity's last event.
            last_id: the id of that event; None if it is not known.
            copy: returns a copy of a state, which *encode* may change.
            entity_stream: the stream of its events.
            decimals: True if the client reads fractions as Decimals.

        Raises:
            ValidationError: the state cannot be stored, or would not be equal when it is read back.
                Nothing was sent.
        """
        try:
            encoded: Any = self._encode_state(state if self._encode is None else copy(state))
        except TypeError as error:
            raise ValidationError(
                f"the state cannot be stored as a snapshot ({error}). Nothing was sent. Make it a "
                "Struct or a dataclass of types that JSON can hold, or give encode and decode."
            ) from error
        if not isinstance(encoded, dict):
            raise ValidationError(
                f"the state of class {type(state).__qualname__} is not a JSON object and cannot be "
                "stored as a snapshot. Nothing was sent. Give encode and decode."
            )
        text = encode_object(encoded, label="entityData", decimals=decimals) or "{}"
        if not is_deeply_equal(self._decode_state(decode_object(text, decimals=decimals)), state):
            raise ValidationError(
                f"the state of class {type(state).__qualname__} would not be equal after it is "
                "read back from a snapshot. Nothing was sent. Annotate each field with the type of "
                "its values, or give encode and decode."
            )
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        data: dict[str, Any] = {
            "entityData": encoded,
            "entityVersion": version,
            "time": time,
            _STREAM: entity_stream,
        }
        if last_id is not None:
            data[_EVENT] = str(last_id)
        return NewMessage(_RECORDED, data)

    def parse_message(
        self, message: Message[Any], entity_stream: str
    ) -> tuple[S, int, UUID | None]:
        """Decode the last message of a stream of snapshots: state, version and id of its event.

        Its type, metadata and unknown keys are ignored, as Eventide does.

        Example::

            snapshots = SnapshotPolicy(Account, every_events=100)
            state, version, last_id = snapshots.parse_message(message, "account-1")

        Raises:
            MessageDecodeError: the message is not a snapshot of this class and stream.
        """
        data: Any = message.data
        values = cast("dict[str, Any]", data) if isinstance(data, dict) else {}
        version = values.get("entityVersion", values.get("entity_version"))
        encoded = values.get("entityData", values.get("entity_data"))
        if not is_integer(version) or not NO_STREAM < version <= LAST_POSITION:
            raise message.decode_error("data", f"its entityVersion is {version!r}")
        if values.get(_STREAM, entity_stream) != entity_stream:
            raise message.decode_error(
                "data",
                f"it is of stream {values[_STREAM]!r} and not of {entity_stream!r}: if entities "
                "of two categories have the same class, give each category's snapshots a specifier",
            )
        if not isinstance(encoded, dict):
            raise message.decode_error("data", "its entityData is not an object")
        try:
            state = self._decode_state(cast("dict[str, Any]", encoded))
        except Exception as error:
            reason = f"its entityData does not fit {self._entity.__qualname__} ({error})"
            raise message.decode_error("data", reason) from error
        try:
            last_id = None if _EVENT not in values else UUID(values[_EVENT])
        except (AttributeError, TypeError, ValueError) as error:
            raise message.decode_error("data", f"its {_EVENT} is {values[_EVENT]!r}") from error
        return state, version, last_id

    def _encode_state(self, state: S) -> Any:
        if self._encode is not None:
            return dict(self._encode(state))
        return msgspec.to_builtins(state, str_keys=True)

    def _decode_state(self, encoded: Any) -> S:
        if self._decode is not None:
            return self._decode(encoded)
        return msgspec.convert(encoded, self._entity, str_keys=True)
