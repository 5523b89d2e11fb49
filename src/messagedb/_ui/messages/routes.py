"""The page of a message, and its data as it is stored."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import UUID

from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from ...streams import category as get_category
from ..failures import PageError
from ..nodes import Reader
from ..outages import Partial
from ..page import Page, page_route
from ..rendering.json_text import redact_text
from ..site import Site
from ..traces.lookup import Trace, look_up_trace
from ..traces.node_lookup import CLOCK_SECONDS, look_up_on_nodes
from . import queries, view
from .go import go


def build_message_routes(site: Site) -> list[Route]:
    """Return the routes of messages."""
    return [
        page_route(site, "/message", show_message),
        page_route(site, "/message/stored", send_field),
        page_route(site, "/go", go),
    ]


async def show_message(page: Page) -> Response:
    """Show a message, and the messages that it is connected with."""
    site, redact = page.site, page.site.settings.redact
    async with site.read_of(await _find_place(page)) as tx:
        message = await _find_message(page, tx)
        previous = await queries.find_neighbor(tx, site.table, message, is_next=False)
        following = await queries.find_neighbor(tx, site.table, message, is_next=True)
        relations = view.find_relations(message.metadata, message.type, redact)
    trace = await _look_up(page, (message.stream_name, message.position))
    return page.render(
        "message.html",
        message=message,
        category=get_category(message.stream_name),
        previous=previous,
        following=following,
        relations=relations,
        parts=[
            ("data", view.show_json(message.data, message.data_size, message.type, redact)),
            (
                "metadata",
                view.show_json(message.metadata, message.metadata_size, message.type, redact),
            ),
        ],
        decoded=view.decode(message, site.settings.registry, redact),
        trace=trace.found,
        outages=trace.outages,
        lacking="Causes and effects",
        clock_seconds=CLOCK_SECONDS,
        raw_shown=view.RAW_SHOWN,
        most_characters=queries.MOST_CHARACTERS,
    )


async def _look_up(page: Page, place: tuple[str, int]) -> Partial[Trace]:
    """Return the trace of a message, and the nodes that it is without."""
    count = page.get_integer("look", most=100_000)
    if page.site.has_nodes:
        return await look_up_on_nodes(page.site, place, count)
    return Partial(await look_up_trace(page.site, place, count))


async def send_field(page: Page) -> Response:
    """Send the whole data or metadata of a message, to be shown as text or stored in a file."""
    site, field = page.site, page.get("field", "data")
    if field not in ("data", "metadata"):
        raise PageError(400, "The field of a message is data or metadata.")
    id = _parse_id(page.get("id"))
    async with site.read_of(await site.find_stream(id)) as tx:
        found = await queries.read_field(
            tx, site.table, id, "data" if field == "data" else "metadata"
        )
    if found is None:
        raise PageError(404, f"There is no message with the id {id}.")
    text = redact_text(found[1], found[0], site.settings.redact) or "null"
    is_file = page.get("as") == "file"
    disposition = f'attachment; filename="{id}-{field}.json"' if is_file else "inline"
    headers = {"Content-Disposition": disposition}
    media_type = "application/json" if is_file else "text/plain; charset=utf-8"
    return StreamingResponse(_split(text), media_type=media_type, headers=headers)


async def _find_place(page: Page) -> str | None:
    """Return the stream or category of the message that the address names, if nodes need it."""
    if page.get("at") or page.get("stream"):
        return page.get("in") or page.get("stream")
    return await page.site.find_stream(_parse_id(page.get("id")))


async def _find_message(page: Page, tx: Reader) -> queries.FullMessage:
    """Return the message that the address names: by its id, or its global position.

    Raises:
        PageError: there is none.
    """
    table, at = page.site.table, page.get_integer("at")
    if at is not None:
        found = await queries.find_by_global_position(tx, table, at)
        if found is not None and not page.is_of_place(found.stream_name):
            found = None
        name = f"at the global position {at}"
    elif page.get("stream"):
        if "\0" in page.get("stream"):
            raise PageError(400, "The name of a stream has no character NUL.")
        position = page.get_integer("position") or 0
        found = await queries.find_by_position(tx, table, page.get("stream"), position)
        name = f"at the position {position} of the stream {page.get('stream'):.200}"
    else:
        id = _parse_id(page.get("id"))
        found = await queries.find_by_id(tx, table, id)
        name = f"with the id {id}"
    if found is None:
        raise PageError(404, f"There is no message {name}.", "It may have been deleted.")
    return found


def _parse_id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise PageError(400, f"{text!r:.80} is not the id of a message.") from None


def _split(text: str) -> Iterator[bytes]:
    for start in range(0, len(text), 1_000_000):
        yield text[start : start + 1_000_000].encode("utf-8", "replace")
