"""The stream that an address names: by its name, or by the global position of a message of it."""

from __future__ import annotations

from psycopg import sql

from ..failures import PageError
from ..nodes import Reader
from ..page import Page
from ..site import fetch


async def find_name(page: Page, tx: Reader) -> str:
    """Return the name in the address, or that of the stream of the message ``of``.

    Raises:
        PageError: there is neither, or the name cannot be one.
    """
    at = page.get_integer("of")
    if at is not None:
        query = sql.SQL("SELECT stream_name::text FROM {} WHERE global_position = %(at)s")
        rows = await fetch(tx, query.format(page.site.table), {"at": at})
        if not rows or not page.is_of_place(rows[0][0]):
            raise PageError(404, f"There is no message at the global position {at}.")
        return str(rows[0][0])
    name = page.get("name")
    if not name or "\0" in name:
        raise PageError(400, "The address lacks the name of a stream or category.")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise PageError(400, "The name in the address is not Unicode.") from None
    return name
