"""Given, when, then over a decider, and messages for tests. No I/O."""

from __future__ import annotations
