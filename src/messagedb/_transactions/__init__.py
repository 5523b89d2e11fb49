"""Options and errors of transactions, and the outcome of a COMMIT without an answer. No I/O."""

from __future__ import annotations
