"""Members of a consumer for the packages above, not for its users."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# pyright: reportPrivateUsage=false

if TYPE_CHECKING:
    from messagedb._consumers.handler_registry import HandlerRegistry
    from messagedb._consumers.settings import ConsumerSettings
    from messagedb._messages.annotations import Namespace

    from .base import AsyncConsumerBase


def add_handler(
    consumer: AsyncConsumerBase,
    function: Any,
    names: tuple[str, ...],
    around: Namespace,
    is_batch: bool,
) -> None:
    """Register a handler, with the names in scope where it is written."""
    consumer._add_handler(function, names, around, is_batch)


def get_handlers(consumer: AsyncConsumerBase) -> HandlerRegistry:
    """Return the handlers that are registered so far."""
    return consumer._handlers


def get_settings(consumer: AsyncConsumerBase) -> ConsumerSettings:
    """Return the options of a consumer."""
    return consumer._settings
