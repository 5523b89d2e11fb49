"""Categories, the streams of one, and the messages of a stream."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from _messagedb_async.operations.internals import get_server

from ..._operations.listings import CategoryInfo
from ...streams import category as get_category
from ..failures import PageError
from ..nodes import Reader, list_categories_on
from ..outages import Nodes
from ..page import Page, page_route
from ..site import Site
from . import queries, view
from .live import follow_stream
from .names import find_name

SHOWN: Final = 50
_CATEGORIES: Final = 100
_NEWEST: Final = 10


def build_stream_routes(site: Site) -> list[Route]:
    """Return the routes of categories and streams."""
    return [
        page_route(site, "/categories", show_categories),
        page_route(site, "/category", show_category),
        page_route(site, "/stream", show_stream),
        page_route(site, "/stream/live", follow_stream),
    ]


async def show_categories(page: Page) -> Response:
    """Show a page of all categories, in the order of their names."""
    site, after = page.site, page.get("after") or None
    listed = await site.nodes.ask(
        lambda nodes: site.answers.get(
            f"categories:{after!r}:{nodes}", 2.0, lambda: _list_categories(site, after, nodes)
        ),
    )
    return page.render(
        "categories.html",
        rows=listed.found[:_CATEGORIES],
        is_full=len(listed.found) > _CATEGORIES,
        after=after,
        outages=listed.outages,
    )


async def _list_categories(site: Site, after: str | None, nodes: Nodes) -> list[CategoryInfo]:
    if nodes is not None:
        seconds = site.settings.time_limit
        return await list_categories_on(site.client, nodes, after, _CATEGORIES + 1, seconds)
    if (await get_server(site.client)).has_nodes:
        return await site.client.list_categories(after=after, limit=_CATEGORIES + 1)
    async with site.read() as tx:
        return await queries.fetch_categories(tx, site.schema, after, _CATEGORIES + 1)


async def show_category(page: Page) -> Response:
    """Show a page of the streams of a category, and its newest messages."""
    site, prefix, after = page.site, page.get("prefix"), page.get("after")
    async with site.read_of(page.get_place()) as tx:
        name = get_category(await find_name(page, tx))
        streams = await queries.fetch_streams(
            tx, site.schema, name, prefix or None, after or None, SHOWN + 1
        )
        newest = await queries.fetch_newest_of_category(
            tx, site.schema, name, _NEWEST, view.choose_characters(site.settings.redact)
        )
    if not newest and not streams and not prefix and not after:
        raise PageError(
            404,
            f"No stream of the category {name:.200} has a message.",
            "Names are case-sensitive. The list of categories has all that there are.",
        )
    return page.render(
        "category.html",
        name=name,
        prefix=prefix,
        after=after,
        streams=streams[:SHOWN],
        is_full=len(streams) > SHOWN,
        rows=view.build_rows(newest, site.settings.redact),
        at=newest[0].global_position if newest else None,
    )


async def show_stream(page: Page) -> Response:
    """Show a page of the messages of a stream, the newest first.

    The address says where it begins: ``from=newest`` or ``oldest``, ``older`` or ``newer`` with a
    position, or ``position`` or ``time`` to jump to.
    """
    site = page.site
    async with site.read_of(page.get_place()) as tx:
        name = await find_name(page, tx)
        first = await queries.fetch_end(tx, site.table, name, "first")
        last = await queries.fetch_end(tx, site.table, name, "last")
        found = []
        if first is not None and last is not None:
            position, is_newer = await _choose_start(page, tx, name, first, last)
            found = await queries.fetch_messages(
                tx,
                site.table,
                name,
                position,
                newer=is_newer,
                limit=SHOWN,
                characters=view.choose_characters(site.settings.redact),
            )
    return page.render(
        "stream.html",
        status=200 if last is not None else 404,
        name=name,
        category=get_category(name),
        first=first,
        last=last,
        rows=view.build_rows(found, site.settings.redact),
        pages=view.build_pages(found, first, last),
        most=4 * SHOWN,
        wanted=page.get_integer("position"),
        wanted_time=page.get("time"),
    )


async def _choose_start(
    page: Page,
    tx: Reader,
    name: str,
    first: queries.StreamEnd,
    last: queries.StreamEnd,
) -> tuple[int, bool]:
    """Return the position that a page begins at, and whether it continues to newer messages."""
    older, newer = page.get_integer("older"), page.get_integer("newer")
    if older is not None or newer is not None:
        return (older, False) if older is not None else (newer or 0, True)
    if page.get("from") == "oldest":
        return first.position, True
    wanted = page.get_integer("position")
    if wanted is None and page.get("time"):
        when = view.parse_when(page.get("time"))
        wanted = await queries.find_position(
            tx, page.site.table, name, when, first.position, last.position
        )
    return (wanted, True) if wanted is not None else (last.position, False)
