"""The SQL statements of the client and of consumers.

Those of schemas, read models and the CLI are in their packages.
"""

from __future__ import annotations
