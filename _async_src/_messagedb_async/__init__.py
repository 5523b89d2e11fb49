"""Async variant of messagedb, written by hand. Import messagedb: this package is private."""

from __future__ import annotations

import messagedb as messagedb
