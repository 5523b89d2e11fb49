"""Code of one variant of messagedb. Import messagedb: this package is private."""

from __future__ import annotations

import messagedb as messagedb
