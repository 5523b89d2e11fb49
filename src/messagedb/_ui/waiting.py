"""The time that a page may take, and the reason why it took longer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from starlette.responses import Response

from .failures import NO_ANSWER, RELOAD, PageError
from .outages import Outage, build_outage_error, build_silence_error, is_late
from .patience import abandon
from .site import Site


async def run_page(site: Site, work: Awaitable[Response]) -> Response:
    """Return the response of a page, or give up.

    A server that is frozen does not answer a cancellation either: the page goes on without it, and
    its connection is free again when the server answers or the connection ends. Of several nodes,
    those that do not answer are looked for as soon as the page is late, so that they can be named.

    Raises:
        PageError: it took more than two time limits and one second.
    """
    seconds = site.settings.time_limit
    clock = asyncio.get_running_loop().time
    end = clock() + 2 * seconds + 1
    task = asyncio.ensure_future(work)
    looking: asyncio.Task[tuple[Outage, ...]] | None = None
    try:
        await asyncio.wait({task}, timeout=seconds)
        if not task.done() and site.has_nodes:
            looking = asyncio.create_task(site.nodes.find_outages())
        await asyncio.wait({task}, timeout=end - clock())
        try:
            if task.done():
                return task.result()
            raise PageError(503, NO_ANSWER, RELOAD)
        except Exception as error:
            if not site.has_nodes or not is_late(error):
                raise
            looking = looking or asyncio.create_task(site.nodes.find_outages())
            await asyncio.wait({looking}, timeout=max(end - clock(), 0))
            raise _explain(error, looking) from error
    finally:
        abandon(task)
        if looking is not None:
            abandon(looking)


def _explain(error: Exception, looking: asyncio.Task[tuple[Outage, ...]]) -> Exception:
    """Return the error that says which nodes did not answer, if that is why a page was late."""
    if not looking.done():
        return build_silence_error()
    reason = looking.exception()
    if isinstance(reason, Exception):
        return reason
    outages = looking.result()
    return build_outage_error(outages) if outages else error
