"""Random operations against a model, and hostile values in every string parameter."""

from __future__ import annotations
