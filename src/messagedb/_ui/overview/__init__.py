"""The first page: the store, its size, its categories."""

from __future__ import annotations
