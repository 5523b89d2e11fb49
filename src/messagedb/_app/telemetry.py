"""The telemetry that an app takes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from ..hooks import Hooks


class Telemetry(Hooks):
    """Hooks that also observe handlers, consumers and pools: the base of ``OpenTelemetry``.

    Example::

        telemetry: Telemetry = OpenTelemetry()
        app = App(telemetry=telemetry)
    """

    @abstractmethod
    def middleware(self, context: Any, call_next: Callable[[Any], Any]) -> Any:
        """Run around each call of a Consumer's handler.

        Example::

            consumer = Consumer(client, "order", middleware=[telemetry.middleware])
        """

    @abstractmethod
    async def middleware_async(
        self, context: Any, call_next: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        """Run around each call of an AsyncConsumer's handler.

        Example::

            consumer = AsyncConsumer(async_client, "order", middleware=[telemetry.middleware_async])
        """

    @abstractmethod
    def observe(self, *consumers: Any) -> None:
        """Report how far behind consumers are, from now on.

        Example::

            telemetry.observe(consumer)
        """

    @abstractmethod
    def observe_pool(self, client: Any) -> None:
        """Report the state of a client's pool, from now on.

        Example::

            telemetry.observe_pool(client)
        """

    @abstractmethod
    def stop_observing(self, client: Any, *consumers: Any) -> None:
        """Report a client's pool and its consumers no longer.

        Example::

            telemetry.stop_observing(client, consumer)
        """
