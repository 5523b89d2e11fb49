"""Wait from outside until a consumer has handled a message, wherever it runs."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

from messagedb._concurrency.backend_async import sleep
from messagedb._consumers.position_waits import timeout_text, unwritten_text
from messagedb._errors import MessageDBError
from messagedb._subscriptions.availability import is_transient_error

from .position_watch import get_position_watch
from .stored_positions import read_reports

if TYPE_CHECKING:
    from messagedb._consumers.position_waits import WaitRequest

    from ..client_core.core import AsyncClientCore

# Between two looks for a message that is not there, as on a standby that is behind.
_LOOK_SECONDS = 0.05


async def wait_for_consumer(client: AsyncClientCore, request: WaitRequest) -> None:
    """Wait until a position is stored as handled: see ``AsyncClient.wait_for_consumer()``."""
    until = monotonic() + request.timeout
    position = request.global_position
    if position is None:
        position = await _find_global_position(client, request, until)
    watch = await get_position_watch(client)
    wait = await watch.wait(client, request, position, until)
    if wait.is_over:
        return
    trouble = wait.find_trouble(monotonic())
    reports = None if trouble else await read_reports(client, wait.request.names)
    raise TimeoutError(timeout_text(wait, trouble, reports)) from wait.unavailable


async def _find_global_position(client: AsyncClientCore, request: WaitRequest, until: float) -> int:
    """Return the global position of the message that is waited for.

    Raises:
        TimeoutError: the message was not in the store in time.
        MessageDBError: the store was unavailable or refused.
    """
    assert request.stream_name is not None
    assert request.position is not None
    while True:
        try:
            found = await client.get_stream_messages(
                request.stream_name, position=request.position, batch_size=1
            )
            if found and found[0].position == request.position:
                return found[0].global_position
            if monotonic() >= until:
                raise TimeoutError(unwritten_text(request))
        except MessageDBError as error:
            if monotonic() >= until or not is_transient_error(error):
                raise
        await sleep(min(_LOOK_SECONDS, max(until - monotonic(), 0.0)))
