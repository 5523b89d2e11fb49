"""The clients' cases on every server that a user may have."""

from __future__ import annotations
