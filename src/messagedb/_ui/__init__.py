"""The browser UI: pages about a store, made on the server."""

from __future__ import annotations
