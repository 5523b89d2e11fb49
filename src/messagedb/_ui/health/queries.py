"""The facts about a store's health."""

from __future__ import annotations

from typing import Any

from ..._connection import position_sequence
from ..._diagnosis.facts import DIAGNOSTIC_QUERY, StoreFacts, build_facts, may_read_sequence
from ..site import Site


async def fetch_health(site: Site) -> StoreFacts:
    """Return the facts that findings are derived from."""
    async with site.read() as tx:
        connection = tx.connection
        cursor = await connection.execute(DIAGNOSTIC_QUERY.encode(), [site.schema])
        names = [column.name for column in cursor.description or ()]
        (row,) = await cursor.fetchall()
        answers: dict[str, Any] = dict(zip(names, row, strict=True))
        # The transaction that reads is one of this UI: the role could write in another.
        (read_only,) = await _fetch_row(
            tx, "SELECT current_setting('default_transaction_read_only') = 'on'"
        )
        answers["read_only"] = read_only
        positions = None
        if may_read_sequence(answers):
            query = position_sequence.build_query(site.schema, str(answers["sequence"]))
            positions = await _fetch_row(tx, query)
        pid = connection.info.backend_pid
        return build_facts(answers, positions, schema=site.schema, refusal="", libpq_pid=pid)


async def _fetch_row(tx: Any, query: str) -> tuple[Any, ...]:
    cursor = await tx.connection.execute(query.encode())
    row: tuple[Any, ...] = await cursor.fetchone()
    return row
