"""The pages of parked messages."""

from __future__ import annotations

from starlette.responses import Response
from starlette.routing import Route

from ..._consumers.consumer_info import ConsumerInfo
from ..consumers.queries import list_consumers, look_at_consumers
from ..consumers.view import describe
from ..failures import PageError
from ..messages.queries import find_by_id
from ..messages.view import ShownJSON, show_json
from ..page import Page, page_route
from ..site import Site
from . import queries
from .actions import build_action_routes, find_replayer
from .jobs import Jobs
from .selection import Selection, parse_selection

PAGE_SIZE = 50
MOST_STREAMS = 50
_KEPT_SECONDS = 2.0


def build_parked_routes(site: Site) -> list[Route]:
    """Return the routes of the pages of parked messages."""
    jobs = Jobs()

    async def show_parked(page: Page) -> Response:
        if not page.get("stream"):
            return await _show_streams(page)
        return await _show_stream(page, jobs)

    return [
        page_route(site, "/parked", show_parked),
        page_route(site, "/parked/message", show_message),
        *build_action_routes(site, jobs),
    ]


async def show_message(page: Page) -> Response:
    """Show one parked message: why it was parked, and what can be done."""
    selection = parse_selection(page.request.query_params, is_redacted=page.is_redacted)
    if selection.id is None:
        raise PageError(400, "The address names no parked message: it needs ?id=.")
    async with page.site.read_of(selection.stream) as tx:
        records = await queries.fetch_records(tx, page.site.table, selection, limit=1)
    if not records:
        raise PageError(
            404,
            "This message is not parked any more.",
            "It was replayed or discarded meanwhile, or the address is of another stream.",
        )
    (record,) = records
    redact = page.site.settings.redact
    async with page.site.read_of(record.parked.stream_name) as tx:
        message = await find_by_id(tx, page.site.table, record.parked.message_id)
    parts: list[tuple[str, ShownJSON]] = []
    if message is not None:
        data = show_json(message.data, message.data_size, message.type, redact)
        metadata = show_json(message.metadata, message.metadata_size, message.type, redact)
        parts = [("Data", data), ("Metadata", metadata)]
    return page.render(
        "parked_message.html",
        record=record,
        parked=record.parked,
        message=message,
        parts=parts,
        selection=selection,
        consumer=await _find_consumer(page.site, selection.stream),
        can_replay=find_replayer(page.site, selection.stream) is not None,
    )


async def _show_streams(page: Page) -> Response:
    consumers = await look_at_consumers(page.site)
    by_stream = {each.parked_stream: each for each in consumers.found if each.parked_count}
    shown = sorted(by_stream.values(), key=lambda info: -info.parked_count)[:MOST_STREAMS]
    names = [info.parked_stream for info in shown]
    async with page.site.read_of(names[0] if names else "none") as tx:
        oldest = await queries.fetch_oldest(tx, page.site.table, names)
    rows = [
        (info.parked_stream, describe(info), info, oldest.get(info.parked_stream)) for info in shown
    ]
    return page.render(
        "parked_streams.html", rows=rows, count=len(by_stream), outages=consumers.outages
    )


async def _show_stream(page: Page, jobs: Jobs) -> Response:
    selection = parse_selection(page.request.query_params, is_redacted=page.is_redacted)
    after = page.get_integer("after")
    site = page.site
    whole = Selection(stream=selection.stream, is_redacted=page.is_redacted)

    async def fetch_groups() -> list[queries.Group]:
        async with site.read_of(whole.stream) as tx:
            return await queries.fetch_groups(tx, site.table, whole)

    groups = await site.answers.get(f"parked:{whole.stream}", _KEPT_SECONDS, fetch_groups)
    async with site.read_of(selection.stream) as tx:
        records = await queries.fetch_records(
            tx,
            page.site.table,
            selection,
            after=-1 if after is None else after,
            limit=PAGE_SIZE + 1,
        )
        unreadable = await queries.fetch_unreadable(tx, site.table, whole)
    shown = records[:PAGE_SIZE]
    return page.render(
        "parked.html",
        selection=selection,
        records=shown,
        groups=groups,
        unreadable=unreadable,
        total=sum(each.count for each in groups),
        most_groups=queries.MOST_GROUPS,
        next_after=shown[-1].record if len(records) > PAGE_SIZE else None,
        is_first=after is None,
        consumer=await _find_consumer(page.site, selection.stream),
        can_replay=find_replayer(page.site, selection.stream) is not None,
        jobs=[each for each in jobs.list_running() if each.stream == selection.stream],
    )


async def _find_consumer(site: Site, stream: str) -> ConsumerInfo | None:
    """Return the consumer of a stream of parked messages: one of the members of its group."""
    for each in await list_consumers(site):
        if each.parked_stream == stream:
            return each
    return None
