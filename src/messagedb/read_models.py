"""Options and versions of read models: see ``ReadModel``."""

from __future__ import annotations

from _messagedb_async.consumers.options import AsyncReadModelOptions

from ._read_models.naming import ReadModelVersion
from ._sync.consumers.options import ReadModelOptions

__all__ = ["AsyncReadModelOptions", "ReadModelOptions", "ReadModelVersion"]
