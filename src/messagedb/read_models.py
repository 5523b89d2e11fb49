"""Options and versions of read models: see ``ReadModel``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import _public_names
from ._read_models.naming import ReadModelVersion

if TYPE_CHECKING:
    from _messagedb_async.public_names import (
        AsyncInlineModel,
        AsyncReadModelOptions,
    )

    from ._sync.public_names import (
        InlineModel,
        ReadModelOptions,
    )
else:
    __getattr__, __dir__ = _public_names.load_variants_later(__name__)

__all__ = [
    "AsyncInlineModel",
    "AsyncReadModelOptions",
    "InlineModel",
    "ReadModelOptions",
    "ReadModelVersion",
]
