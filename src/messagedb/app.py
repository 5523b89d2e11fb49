"""The application of a service: consumers and read models, declared once and run together."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _public_names
from ._app.client_options import ClientOptions
from ._app.telemetry import Telemetry

if TYPE_CHECKING:
    from _messagedb_async.public_names import (
        AsyncAppConsumer,
        AsyncAppReadModel,
        AsyncOpenedApp,
    )

    from ._sync.public_names import AppConsumer, AppReadModel, OpenedApp
else:
    __getattr__, __dir__ = _public_names.load_variants_later(__name__)

__all__ = [
    "AppConsumer",
    "AppReadModel",
    "AsyncAppConsumer",
    "AsyncAppReadModel",
    "AsyncOpenedApp",
    "ClientOptions",
    "OpenedApp",
    "Telemetry",
]
