"""Settings of a consumer, built from the options that were passed to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from .._subscriptions.backoff import RetryPolicy
from .._subscriptions.validation import as_name_tuple
from ..streams.reserved import parked_stream_name
from .consumer_info import ALL
from .position_stores import (
    StreamPositionStore,
    TablePositionStore,
    build_consumer_name,
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
    transaction_size: int | None = None
    write_categories: tuple[str, ...] = ()
    group_member: int | None = None
    group_size: int | None = None
    streams_without_id: int | None = None
    partitions: int | None = None
    member_name: str | None = None
    partition_timeout: float | None = None
    """The lease timeout of the partition that these are for; None if they are for no partition."""
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

    def for_partition(self, number: int, size: int) -> ConsumerSettings:
        """Return the settings of one partition, whose lease is held elsewhere."""
        return msgspec.structs.replace(
            self,
            group_member=number,
            group_size=size,
            partitions=None,
            lease_timeout=None,
            partition_timeout=self.lease_timeout,
            notify=False,
        )

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
    def idle_timeout(self) -> float | None:
        """Seconds without a statement after which a transaction ends; None for its timeout.

        A process that is paused in a transaction must not hold its locks for longer than its lease.
        """
        return self.partition_timeout

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
    if values.get("partitions") is not None and values.get("transactional"):
        # In streams, all partitions would share the lock of one category.
        values.setdefault("position_store", TablePositionStore())
    if "types" in values:
        values["types"] = as_name_tuple("types", values["types"])
    if "write_categories" in values:
        values["write_categories"] = (
            as_name_tuple("write_categories", values["write_categories"]) or ()
        )
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
