"""Options and errors of transactions, and the outcome of a COMMIT without a response. No I/O."""

from __future__ import annotations
