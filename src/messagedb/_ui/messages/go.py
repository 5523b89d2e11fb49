"""The box that goes to a stream, a message or a category by what is typed."""

from __future__ import annotations

import re
from typing import Final
from uuid import UUID

from starlette.responses import RedirectResponse, Response

from ...streams import category as get_category
from ..failures import PageError
from ..nodes import Reader, move_to
from ..page import Page
from ..site import Site
from ..streams.queries import fetch_end, fetch_newest_of_category, fetch_streams
from . import queries

_UUID: Final = re.compile(r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}")
_SUGGESTED: Final = 10


async def go(page: Page) -> Response:
    """Redirect to the message, the stream or the category; else show names that are similar."""
    wanted = page.get("q").strip()
    if not wanted or "\0" in wanted:
        raise PageError(
            400,
            "Nothing to look for.",
            "Type the name of a stream, a message id, a global position, or a category.",
        )
    site = page.site
    async with site.read_of(wanted) as tx:
        if _UUID.fullmatch(wanted):
            by_id = await _find_by_id(site, tx, UUID(wanted))
            if by_id is not None:
                return page.redirect("/message", id=by_id.id)
        if wanted.isascii() and wanted.isdigit() and len(wanted) < 19 and not site.has_nodes:
            found = await queries.find_by_global_position(tx, site.table, int(wanted))
            if found is not None:
                return page.redirect("/message", at=found.global_position)
        stream, slash, position = wanted.rpartition("/")
        if slash and position.isascii() and position.isdigit() and len(position) < 19:
            at = int(position)
            found = await queries.find_by_position(move_to(tx, stream), site.table, stream, at)
            if found is not None:
                return RedirectResponse(page.link_message(stream, found.global_position), 303)
        last = await fetch_end(tx, site.table, wanted, "last")
        if last is not None:
            return page.redirect("/stream", name=wanted)
        if "-" not in wanted and await fetch_newest_of_category(tx, site.schema, wanted, 1):
            return page.redirect("/category", name=wanted)
        category, _, prefix = wanted.partition("-")
        similar = await fetch_streams(
            tx, site.schema, get_category(category), prefix or None, None, _SUGGESTED
        )
    return page.render("not_found.html", status=404, wanted=wanted, similar=similar)


async def _find_by_id(site: Site, tx: Reader, id: UUID) -> queries.FullMessage | None:
    try:
        name = await site.find_stream(id)
    except PageError as error:
        if error.status != 404:
            raise  # the message may be on a node that does not answer
        return None
    reader = tx if name is None else move_to(tx, name)
    return await queries.find_by_id(reader, site.table, id)
