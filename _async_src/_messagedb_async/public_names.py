"""The public names of this variant. They are imported together, when the first of them is used."""

from __future__ import annotations

from messagedb._public_names import publish

from .app.app import AsyncApp
from .app.declarations import AsyncAppConsumer, AsyncAppReadModel
from .app.opened_app import AsyncOpenedApp
from .client import AsyncClient
from .client_core.core import AsyncClientCore
from .consumers.all_consumer import AsyncAllConsumer
from .consumers.base import AsyncConsumerBase
from .consumers.consumer import AsyncConsumer
from .consumers.context import (
    AsyncBatchContext,
    AsyncContext,
    AsyncNamedBatchHandler,
    AsyncNamedHandler,
)
from .consumers.options import (
    AsyncAllConsumerOptions,
    AsyncCommonOptions,
    AsyncConsumerOptions,
    AsyncReadModelOptions,
)
from .consumers.run_consumers import run_consumers_async
from .consumers.runnable import AsyncRun, AsyncRunnable
from .entities.edit_session import AsyncEntityEdit
from .entities.store import AsyncEntityStore
from .operations.operations import AsyncOperations
from .read_models.read_model import AsyncReadModel
from .schema.install import install_async
from .schema.move import abort_proxy_move_async, move_proxy_category_async
from .schema.notify_trigger import install_notify_async, remove_notify_async
from .schema.proxy import add_proxy_node_async, install_proxy_async
from .schema.upgrade import uninstall_async, upgrade_async
from .transactions.bound_client import AsyncBoundClient
from .transactions.transaction import AsyncInlineModel, AsyncTransaction

__all__ = [
    "AsyncAllConsumer",
    "AsyncAllConsumerOptions",
    "AsyncApp",
    "AsyncAppConsumer",
    "AsyncAppReadModel",
    "AsyncBatchContext",
    "AsyncBoundClient",
    "AsyncClient",
    "AsyncClientCore",
    "AsyncCommonOptions",
    "AsyncConsumer",
    "AsyncConsumerBase",
    "AsyncConsumerOptions",
    "AsyncContext",
    "AsyncEntityEdit",
    "AsyncEntityStore",
    "AsyncInlineModel",
    "AsyncNamedBatchHandler",
    "AsyncNamedHandler",
    "AsyncOpenedApp",
    "AsyncOperations",
    "AsyncReadModel",
    "AsyncReadModelOptions",
    "AsyncRun",
    "AsyncRunnable",
    "AsyncTransaction",
    "abort_proxy_move_async",
    "add_proxy_node_async",
    "install_async",
    "install_notify_async",
    "install_proxy_async",
    "move_proxy_category_async",
    "remove_notify_async",
    "run_consumers_async",
    "uninstall_async",
    "upgrade_async",
]

publish(
    "messagedb",
    AsyncAllConsumer,
    AsyncApp,
    AsyncBoundClient,
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    AsyncEntityStore,
    AsyncReadModel,
    AsyncTransaction,
    run_consumers_async,
)
publish("messagedb.app", AsyncAppConsumer, AsyncAppReadModel, AsyncOpenedApp)
publish("messagedb.clients", AsyncClientCore, AsyncOperations)
publish(
    "messagedb.consumers",
    AsyncAllConsumerOptions,
    AsyncBatchContext,
    AsyncCommonOptions,
    AsyncConsumerBase,
    AsyncConsumerOptions,
    AsyncNamedBatchHandler,
    AsyncNamedHandler,
    AsyncRun,
    AsyncRunnable,
)
publish("messagedb.entities", AsyncEntityEdit)
publish("messagedb.read_models", AsyncInlineModel, AsyncReadModelOptions)
publish(
    "messagedb.schema",
    abort_proxy_move_async,
    add_proxy_node_async,
    install_async,
    install_notify_async,
    install_proxy_async,
    move_proxy_category_async,
    remove_notify_async,
    uninstall_async,
    upgrade_async,
)
