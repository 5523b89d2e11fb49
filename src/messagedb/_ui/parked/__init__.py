"""The pages of parked messages: what they failed with, and how they leave the list."""

from __future__ import annotations
