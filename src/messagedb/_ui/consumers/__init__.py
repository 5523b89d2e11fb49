"""The pages of consumers: where they are, who runs them, what they failed at."""

from __future__ import annotations
