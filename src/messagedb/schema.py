"""The library's own SQL for the Message DB interface: install, upgrade, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _public_names
from ._schema.install_plan import VERSION, build_script

if TYPE_CHECKING:
    from _messagedb_async.public_names import (
        add_proxy_node_async,
        install_async,
        install_notify_async,
        install_proxy_async,
        remove_notify_async,
        uninstall_async,
        upgrade_async,
    )

    from ._sync.public_names import (
        add_proxy_node,
        install,
        install_notify,
        install_proxy,
        remove_notify,
        uninstall,
        upgrade,
    )
else:
    __getattr__, __dir__ = _public_names.load_variants_later(__name__)

__all__ = [
    "VERSION",
    "add_proxy_node",
    "add_proxy_node_async",
    "build_script",
    "install",
    "install_async",
    "install_notify",
    "install_notify_async",
    "install_proxy",
    "install_proxy_async",
    "remove_notify",
    "remove_notify_async",
    "uninstall",
    "uninstall_async",
    "upgrade",
    "upgrade_async",
]
