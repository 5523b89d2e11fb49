"""The decisions of group commit: which writes form a group, and the outcome of each."""

from __future__ import annotations
