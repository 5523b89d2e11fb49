"""The call that changes the number of partitions, and what running processes do for it."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from messagedb._argument_checks import check_integer, check_seconds
from messagedb._concurrency.backend_async import Event
from messagedb._consumers.partition_resize import resize_timeout_text, withdrawn_error
from messagedb._consumers.position_stores import check_identifier
from messagedb._consumers.settings_checks import MAX_PARTITIONS
from messagedb._errors import MessageDBError, PositionConflictError
from messagedb._operations import validation
from messagedb._subscriptions.availability import is_transient_error
from messagedb._subscriptions.log_texts import format_error

from .partition_resize import AsyncPartitionResize
from .run_state import log
from .side_task import call_if_free

if TYPE_CHECKING:
    from messagedb._consumers.partition_resize import ResizeLook

    from ..client_core.core import AsyncClientCore
    from .partition_coordinator import AsyncPartitionCoordinator
    from .run_state import AsyncRunState

# How often the caller looks how far the change is.
_LOOK_SECONDS = 0.25


async def resize_partitions(
    client: AsyncClientCore, category: str, identifier: str, size: int, timeout: float
) -> None:
    """Change the number of partitions: see ``AsyncClient.resize_partitions()``."""
    validation.check_category(category)
    check_identifier(identifier, True)
    check_integer("size", size, least=1, most=MAX_PARTITIONS)
    check_seconds("timeout", timeout)
    until = monotonic() + timeout
    resize = AsyncPartitionResize(client, category, identifier)
    await resize.check_tables()
    begun = await resize.begin(size, timeout)
    if begun.size == size:
        return
    while monotonic() < until:
        look = await _try_to_advance(resize)
        if look is not None and _is_done(resize, begun, look, size):
            return
        await Event().wait(_LOOK_SECONDS)
    look = await resize.withdraw()
    if not _is_done(resize, begun, look, size):
        raise TimeoutError(resize_timeout_text(resize.name, look, size, timeout))


async def _try_to_advance(resize: AsyncPartitionResize) -> ResizeLook | None:
    """Make the next step if it can be made now; None if that is not known."""
    try:
        return await resize.advance()
    except PositionConflictError as error:
        # Saved at the same time by a process that was paused; or by a consumer that is no member.
        log.info("%s: the next step is tried again: %s", resize.name, format_error(error))
    except MessageDBError as error:
        if not is_transient_error(error):
            raise
        log.debug("%s: %s", resize.name, format_error(error))
    return None


def _is_done(resize: AsyncPartitionResize, begun: ResizeLook, look: ResizeLook, size: int) -> bool:
    """Return True if a change is done.

    Raises:
        PositionConflictError: another process has withdrawn it.
    """
    if look.generation != begun.generation:
        return True
    if look.next_size != size:
        raise withdrawn_error(resize.name, look, size)
    return False


async def make_steps_of_resize(
    client: AsyncClientCore,
    state: AsyncRunState,
    coordinator: AsyncPartitionCoordinator,
    resize: AsyncPartitionResize,
    interval: float,
) -> None:
    """Make each step of a change that a running process can make, until its run has ended.

    Beside the signs of life, which wait for no lock: a step may.
    """
    while await state.signals.pause_until_ended(interval):
        look = coordinator.look
        if look is None or look.phase is None:
            continue
        try:
            await call_if_free(client, resize.advance)
        except MessageDBError as error:
            log.info("%s: the next step is tried again: %s", resize.name, format_error(error))
