"""The library's own SQL for the Message DB interface: install, upgrade, remove."""

from __future__ import annotations

from _messagedb_async.schema.install import install_async
from _messagedb_async.schema.notify_trigger import install_notify_async, remove_notify_async
from _messagedb_async.schema.upgrade import uninstall_async, upgrade_async

from ._schema.install_plan import VERSION, build_script
from ._sync.schema.install import install
from ._sync.schema.notify_trigger import install_notify, remove_notify
from ._sync.schema.upgrade import uninstall, upgrade

__all__ = [
    "VERSION",
    "build_script",
    "install",
    "install_async",
    "install_notify",
    "install_notify_async",
    "remove_notify",
    "remove_notify_async",
    "uninstall",
    "uninstall_async",
    "upgrade",
    "upgrade_async",
]
