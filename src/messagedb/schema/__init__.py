"""Our own SQL of the Message DB interface: installed in a database, upgraded, taken away."""

from __future__ import annotations

from _messagedb_async.changing_schema import uninstall_async, upgrade_async
from _messagedb_async.install import install_async
from _messagedb_async.install_notify import install_notify_async, remove_notify_async

from .._sync.changing_schema import uninstall, upgrade
from .._sync.install import install
from .._sync.install_notify import install_notify, remove_notify
from ._plan import VERSION, script

__all__ = [
    "VERSION",
    "install",
    "install_async",
    "install_notify",
    "install_notify_async",
    "remove_notify",
    "remove_notify_async",
    "script",
    "uninstall",
    "uninstall_async",
    "upgrade",
    "upgrade_async",
]
