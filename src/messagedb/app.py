"""The application of a service: consumers and read models, declared once and run together."""

from __future__ import annotations

from _messagedb_async.app.declarations import AsyncAppConsumer, AsyncAppReadModel
from _messagedb_async.app.opened_app import AsyncOpenedApp

from ._app.client_options import ClientOptions
from ._app.telemetry import Telemetry
from ._sync.app.declarations import AppConsumer, AppReadModel
from ._sync.app.opened_app import OpenedApp

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
