"""The library's own SQL for the Message DB interface: install, upgrade, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _public_names
from ._schema.install_plan import VERSION, build_script

if TYPE_CHECKING:
    from _messagedb_async.public_names import (
        install_async,
        install_notify_async,
        remove_notify_async,
        uninstall_async,
        upgrade_async,
    )

    from ._sync.public_names import (
        install,
        install_notify,
        remove_notify,
        uninstall,
        upgrade,
    )
else:
    __getattr__, __dir__ = _public_names.load_variants_later(__name__)

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
