"""Each operation under each fault, in both variants, and its outcome checked in the database."""

from __future__ import annotations
