"""One call for tests of an app: run it until nothing is left to handle."""

from __future__ import annotations

from collections.abc import Iterable

from ..app.app import AsyncApp


async def run_until_quiet_async(
    app: AsyncApp, url: str = "", *, only: Iterable[str] | None = None, timeout: float = 30.0
) -> None:
    """Run an app's consumers and read models until none has a message to handle.

    Each handles what is there, and what the handlers of others write meanwhile. It opens a client
    of the settings of the app, as ``app.run()`` does, and closes it.

    Example::

        async def test_an_order_is_shipped(messagedb_url: str) -> None:
            async with AsyncClient(messagedb_url) as client:
                await client.write_message("order-7", Ordered("tea"))
                await run_until_quiet_async(app, messagedb_url)
                assert await client.stream_version("shipment-7") == 0

    Args:
        app: the app.
        url: a libpq connection string or URL of the store; with the pytest plugin, its fixture
            ``messagedb_url``. Empty for libpq's environment.
        only: the names of those to run; None for all.
        timeout: the largest number of seconds to wait.

    Raises:
        HandlerError: a handler failed at each attempt. The text names the consumer, the message
            and the error, which is the ``__cause__``; the others were stopped.
        TimeoutError: messages were still there after that time. The text names the consumers that
            were at work, their messages and their last errors. Handled messages stay handled.
        MessageDBError: another error of the first that failed, as its ``run()`` raises it.
        ValidationError: there is nothing to run, or a member has no handler. None was started.
    """
    async with app.open(url, only=only) as opened:
        await opened.run_until_quiet(timeout=timeout)
