"""Categories, streams, and the messages of a stream, also live."""

from __future__ import annotations
