"""The telemetry that an app takes."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any

from ..hooks import Hooks


class Telemetry(Hooks):
    """Hooks that also observe handlers, consumers and pools: the base of ``OpenTelemetry``."""

    @abstractmethod
    def middleware(self, context: Any, call_next: Callable[[Any], Any]) -> Any:
        """Run around each call of a Consumer's handler."""

    @abstractmethod
    async def middleware_async(
        self, context: Any, call_next: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        """Run around each call of an AsyncConsumer's handler."""

    @abstractmethod
    def observe(self, *consumers: Any) -> None:
        """Report how far behind consumers are, from now on."""

    @abstractmethod
    def observe_pool(self, client: Any) -> None:
        """Report the state of a client's pool, from now on."""

    @abstractmethod
    def stop_observing(self, client: Any, *consumers: Any) -> None:
        """Report a client's pool and its consumers no longer."""
