"""The last positions of all categories, where the store has no order as a whole."""

from __future__ import annotations

from messagedb.streams.reserved import is_bookkeeping

from .listings import AsyncListings

_PAGE = 1000


async def read_heads(store: AsyncListings) -> dict[str, int]:
    """Return the last global position of each category, without those of consumers' positions.

    Args:
        store: the client of the store.

    Raises:
        IncompatibleServerError: the role may not read the table of messages, or it is in another
            database (PL/Proxy, without the functions of ``messagedb``). Nothing was sent.
    """
    heads: dict[str, int] = {}
    after: str | None = None
    is_full = True
    while is_full:
        page = await store.list_categories(after=after, limit=_PAGE)
        heads.update((each.name, each.last_global_position) for each in page)
        is_full = len(page) == _PAGE
        after = page[-1].name if page else None
    return {name: head for name, head in heads.items() if not is_bookkeeping(name)}
