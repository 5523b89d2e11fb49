"""The client: its life, its pooled operations, and the public class."""

from __future__ import annotations
