"""Sessions, allowed hosts and requests of other sites: decisions only."""

from __future__ import annotations
