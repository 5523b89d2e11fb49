"""The library's own SQL for the Message DB interface: install, upgrade, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _public_names
from ._schema.install_plan import VERSION, build_script
from ._schema.move_plan import CategoryMove, PositionsWithoutId

if TYPE_CHECKING:
    from _messagedb_async.public_names import (
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

    from ._sync.public_names import (
        abort_proxy_move,
        add_proxy_node,
        install,
        install_notify,
        install_proxy,
        move_proxy_category,
        remove_notify,
        uninstall,
        upgrade,
    )
else:
    __getattr__, __dir__ = _public_names.load_variants_later(__name__)

__all__ = [
    "VERSION",
    "CategoryMove",
    "PositionsWithoutId",
    "abort_proxy_move",
    "abort_proxy_move_async",
    "add_proxy_node",
    "add_proxy_node_async",
    "build_script",
    "install",
    "install_async",
    "install_notify",
    "install_notify_async",
    "install_proxy",
    "install_proxy_async",
    "move_proxy_category",
    "move_proxy_category_async",
    "remove_notify",
    "remove_notify_async",
    "uninstall",
    "uninstall_async",
    "upgrade",
    "upgrade_async",
]
