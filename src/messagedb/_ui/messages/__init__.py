"""One message, and the box that finds messages and streams."""

from __future__ import annotations
