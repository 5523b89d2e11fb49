"""Our own SQL of the Message DB interface: install it in a database, or take it as a script."""

from __future__ import annotations

from _messagedb_async.install import install_async

from .._sync.install import install
from ._plan import VERSION, script

__all__ = ["VERSION", "install", "install_async", "script"]
