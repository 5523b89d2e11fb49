"""Options of a consumer, checked once, before anything is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from .._argument_checks import check_seconds
from .._errors import ValidationError
from .._operations import validation
from .._subscriptions.backoff import RetryPolicy
from .._subscriptions.validation import as_name_tuple, check_on_lost_history, check_start
from ..streams.reserved import parked_stream_name
from .consumer_info import ALL
from .failure_policy import POLICIES
from .position_stores import (
    StreamPositionStore,
    TablePositionStore,
    build_consumer_name,
    check_identifier,
    position_stream_name,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

Start: TypeAlias = Literal["stored", "beginning", "end"] | int
"""The message to begin at: see the option ``start``."""

_SCAN_SAVE_INTERVAL: Final = 1000


class ConsumerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """All options of a consumer. Times are in seconds."""

    category: str | None
    """None for a consumer of several categories."""
    categories: tuple[str, ...] | None
    """The categories of a consumer of several categories; None for the whole store."""
    identifier: str | None
    start: Start = "stored"
    batch_size: int = 1000
    poll_interval: float = 0.1
    idle_poll_interval: float = 1.0
    position_update_interval: int = 100
    position_update_seconds: float = 1.0
    position_store: StreamPositionStore | TablePositionStore = StreamPositionStore()
    transactional: bool = False
    transaction_timeout: float = 30.0
    group_member: int | None = None
    group_size: int | None = None
    streams_without_id: int | None = None
    correlation: str | None = None
    condition: str | None = None
    types: tuple[str, ...] | None = None
    concurrency: int = 1
    retry: RetryPolicy = RetryPolicy()
    on_error: str | Callable[..., Any] = "stop"
    middleware: tuple[Callable[..., Any], ...] = ()
    notify: bool = False
    lease_timeout: float | None = 10.0
    on_lost_history: str = "stop"

    @property
    def position_name(self) -> str:
        """The stream of its positions, or the key of its row in the table."""
        store = self.position_store
        custom_name = store.stream_name if isinstance(store, StreamPositionStore) else store.name
        if custom_name is not None:
            return custom_name
        return self.build_position_name(self.group_member, self.group_size)

    def build_position_name(self, member: int | None, size: int | None) -> str:
        """Return the same for another member of the group, unless a name was configured."""
        name = build_consumer_name(self.identifier, member, size)
        return position_stream_name(self.category or ALL, name)

    @property
    def parked_stream(self) -> str:
        """The stream of its parked messages."""
        return parked_stream_name(self.category or ALL, self.identifier)

    @property
    def id_namespace(self) -> str:
        """The consumer's part of derived ids, so that two consumers derive different ids.

        It does not depend on member and size, so that a group of another size derives the same ids.
        """
        return position_stream_name(self.category or ALL, self.identifier)

    @property
    def scan_save_interval(self) -> int:
        """The number of scanned messages after which to save, even if none was handled.

        A consumer of several categories also reads position records, its own and those of similar
        consumers. If it saved after each of them, the saves would cause each other endlessly.
        """
        interval = self.position_update_interval
        return interval if self.category is not None else max(interval, _SCAN_SAVE_INTERVAL)

    @property
    def has_streams_without_id(self) -> bool:
        """True if this member of the group reads the streams without an id."""
        return self.streams_without_id is not None and self.streams_without_id == self.group_member


def build_settings(
    options: Mapping[str, object],
    *,
    identifier: str | None,
    category: str | None = None,
    categories: Iterable[str] | None = None,
) -> ConsumerSettings:
    """Build the settings of a consumer from the options that were passed to it.

    Raises:
        ValidationError: types or categories are not iterables of names. Nothing was sent.
    """
    # None stands for the default where it would be an object.
    values: dict[str, Any] = {
        name: value
        for name, value in options.items()
        if value is not None or name not in ("position_store", "retry")
    }
    if "types" in values:
        values["types"] = as_name_tuple("types", values["types"])
    if "middleware" in values:
        values["middleware"] = tuple(values["middleware"])
    return ConsumerSettings(
        category=category,
        categories=as_name_tuple("categories", categories),
        identifier=identifier,
        **values,
    )


def check_options(owner: str, options: Mapping[str, object], known: frozenset[str]) -> None:
    """Check that all options are known, as Python does it for parameters.

    Raises:
        TypeError: one is not. Nothing was sent.
    """
    for name in options:
        if name not in known:
            raise TypeError(f"{owner}.__init__() got an unexpected keyword argument {name!r}")


def check_settings(settings: ConsumerSettings) -> None:
    """Check every option.

    Raises:
        ValidationError: an option is out of its range. The text names it. Nothing was sent.
    """
    if settings.category is not None:
        validation.check_category(settings.category)
    for name in settings.categories or ():
        validation.check_category(name, "each of categories")
    is_member = settings.group_member is not None or settings.group_size is not None
    validation.check_group(settings.group_member, settings.group_size)
    check_identifier(settings.identifier, is_member)
    if settings.category is None and settings.identifier is None:
        raise ValidationError(
            "a consumer of several categories needs an identifier, under which its position is "
            "stored. Nothing was sent."
        )
    _check_streams_without_id(settings)
    check_start(settings.start)
    _check_count("batch_size", settings.batch_size)
    _check_count("position_update_interval", settings.position_update_interval)
    _check_count("concurrency", settings.concurrency)
    for name in (
        "poll_interval",
        "idle_poll_interval",
        "position_update_seconds",
        "transaction_timeout",
    ):
        check_seconds(name, getattr(settings, name))
    check_on_lost_history(settings.on_lost_history)
    if settings.lease_timeout is not None:
        check_seconds("lease_timeout", settings.lease_timeout)
    if settings.correlation is not None:
        validation.check_category(settings.correlation, "correlation")
    validation.check_condition(settings.condition)
    for type_name in settings.types or ():
        validation.check_type(type_name)
    for name in ("transactional", "notify"):
        if getattr(settings, name) not in (True, False):
            raise ValidationError(f"{name} must be True or False, not {getattr(settings, name)!r}")
    if settings.concurrency > settings.batch_size:
        raise ValidationError(
            f"concurrency ({settings.concurrency}) must not be more than batch_size "
            f"({settings.batch_size}), the maximum number of messages in progress"
        )
    if settings.transactional and settings.concurrency > 1:
        raise ValidationError(
            "transactional=True handles one message at a time, each in one transaction with the "
            "position: leave concurrency at 1, or divide the category among the members of a group"
        )
    _check_strategies(settings)


def _check_streams_without_id(settings: ConsumerSettings) -> None:
    member: Any = settings.streams_without_id
    if member is None:
        return
    size = settings.group_size
    if not isinstance(member, int) or isinstance(member, bool) or size is None:
        raise ValidationError(
            "streams_without_id must be the number of the group's member that reads the streams "
            f"without an id, the same for all of its members, not {member!r} in a group of {size}"
        )
    if not 0 <= member < size:
        raise ValidationError(
            f"streams_without_id must be a member of the group, 0 to {size - 1}, not {member}"
        )


def _check_count(name: str, value: Any) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 1_000_000:
        raise ValidationError(f"{name} must be an integer from 1 to 1,000,000, not {value!r}")


def _check_strategies(settings: ConsumerSettings) -> None:
    store: Any = settings.position_store
    if not isinstance(store, StreamPositionStore | TablePositionStore):
        raise ValidationError(
            "position_store must be a StreamPositionStore or a TablePositionStore, not "
            f"{type(store).__name__}"
        )
    validation.check_stream_name(settings.position_name)
    policy: Any = settings.retry
    if not isinstance(policy, RetryPolicy):
        raise ValidationError(f"retry must be a RetryPolicy, not {type(policy).__name__}")
    on_error: Any = settings.on_error
    if on_error not in POLICIES and not callable(on_error):
        raise ValidationError(
            f"on_error must be 'stop', 'park', 'skip' or a function, not {on_error!r}"
        )
    for function in settings.middleware:
        candidate: Any = function
        if not callable(candidate):
            raise ValidationError(
                "each of middleware must be a function of the context and the next function, not "
                f"{candidate!r}"
            )
