"""The request of a person that the owner of a partition gives it up."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from messagedb._argument_checks import check_integer, check_seconds
from messagedb._concurrency.backend_async import Event
from messagedb._consumers.partition_records import (
    has_no_owner_error,
    no_such_partition_error,
    release_timeout_text,
)
from messagedb._consumers.partition_resize import is_not_partitioned_error
from messagedb._consumers.position_stores import check_identifier
from messagedb._consumers.settings_checks import MAX_PARTITIONS
from messagedb._operations import validation
from messagedb._sql import partitions as sql
from messagedb._transactions.options import build_options

from ..client_core.core import open_transaction
from ..operations.internals import get_session_config
from .partition_resize import AsyncPartitionResize
from .position_stores import execute_in

if TYPE_CHECKING:
    from ..client_core.core import AsyncClientCore

_IDLE_SECONDS: Final = 5.0
_LOOK_SECONDS: Final = 0.1


async def release_partition(
    client: AsyncClientCore, category: str, identifier: str, number: int, timeout: float
) -> None:
    """Have another process own a partition: see ``AsyncClient.release_partition()``."""
    validation.check_category(category)
    check_identifier(identifier, True)
    check_integer("number", number, least=0, most=MAX_PARTITIONS - 1)
    check_seconds("timeout", timeout)
    until = monotonic() + timeout
    resize = AsyncPartitionResize(client, category, identifier)
    await resize.check_tables()
    found = await resize.look()
    if found is None:
        raise is_not_partitioned_error(resize.name)
    if number >= found.size:
        raise no_such_partition_error(resize.name, number, found.size)
    key = (get_session_config(client).settings.schema, category, identifier, number)
    rows = await _execute(client, sql.REQUEST_RELEASE, *key)
    if not rows:
        raise has_no_owner_error(resize.name, number)
    epoch, owner = rows[0]
    while await _execute(client, sql.IS_STILL_REQUESTED, *key, epoch):
        if monotonic() >= until:
            raise TimeoutError(release_timeout_text(resize.name, number, owner, timeout))
        await Event().wait(_LOOK_SECONDS)


async def _execute(client: AsyncClientCore, text: bytes, *params: Any) -> list[tuple[Any, ...]]:
    options = build_options(idle_timeout=_IDLE_SECONDS, is_local=True)
    async with open_transaction(client, options) as transaction:
        return await execute_in(transaction, text, params)
