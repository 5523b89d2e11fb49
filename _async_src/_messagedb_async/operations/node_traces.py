"""The search for causes and effects over several nodes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from messagedb import hooks
from messagedb._errors import ServerError
from messagedb._operations import node_queries, node_traces, store_reads, traces
from messagedb._operations.requests import ReadRequest
from messagedb._operations.rows import parse_messages as messages_of
from messagedb._sql.scans import scan_statements
from messagedb._sql.traces import trace_statements

from .internals import get_session_config, read_rows

if TYPE_CHECKING:
    from messagedb._messages.message import Message
    from messagedb._operations.traces import Place, Trace
    from messagedb._sql.traces import TraceStatements

    from .operations import AsyncOperations


async def trace_on_nodes(
    store: AsyncOperations,
    message: Message[Any] | UUID | str,
    window: int,
    max_messages: int,
    include_data: bool,
) -> Trace:
    """Find the causes and effects of a message on all nodes.

    Raises:
        ValidationError: there is no such message.
        StoreUnavailableError: a node cannot be reached; the text names it.
        ServerError: a part of the window took longer than ``command_timeout``.
    """
    sql = trace_statements(get_session_config(store).settings.schema, include_data)
    chain = await _read_chain(store, sql, message, include_data)
    search = node_traces.NodeTraceSearch(traces.start_trace(chain), max_messages)
    is_complete = True
    for node, _ in await read_rows(store, node_queries.build_node_list()):
        is_complete &= await _search_node(store, node, search, window)
    found: list[Message[Any]] = []
    for place in search.list_places():
        read = node_traces.build_message_read(sql, place)
        found += await read_traced(store, read, include_data)
    return search.build(found, is_complete)


async def read_traced(
    store: AsyncOperations, read: ReadRequest, include_data: bool
) -> list[Message[Any]]:
    """Return the messages of a read, after the hooks of the user unless they lack their data."""
    settings = get_session_config(store).settings
    messages = messages_of(await read_rows(store, read), settings.decimals)
    if not settings.hooks or not include_data:
        return messages
    return hooks.apply_after_read(settings.hooks, messages)


async def _read_chain(
    store: AsyncOperations,
    sql: TraceStatements,
    message: Message[Any] | UUID | str,
    include_data: bool,
) -> list[Message[Any]]:
    """Return a message, its cause, the cause of that one, and so on.

    Raises:
        ValidationError: there is no such message.
    """
    chain: list[Message[Any]] = []
    if isinstance(message, (UUID, str)):
        for place in await _find_places(store, message):
            read = node_traces.build_message_read(sql, place)
            chain = chain or await read_traced(store, read, include_data)
        if not chain:
            raise traces.missing_message_error(message)
    else:
        chain.append(message)
    seen = {traces.place_of(chain[0])}
    while len(chain) <= traces.MAX_CAUSES:
        named = traces.find_cause(chain[-1])
        if named is None or named in seen:
            break
        seen.add(named)
        causes = await read_traced(store, node_traces.build_message_read(sql, named), include_data)
        if not causes:
            break
        chain += causes
    return chain


async def _find_places(store: AsyncOperations, name: UUID | str) -> list[Place]:
    """Return the place that is named, or those of the messages with the id."""
    place = traces.parse_identifier(name)
    if place is not None:
        return [place]
    rows = await read_rows(store, node_queries.build_place_search(traces.parse_id(name)))
    return [(stream, position) for stream, position in node_queries.parse_rows(rows)]


async def _search_node(
    store: AsyncOperations, node: int, search: node_traces.NodeTraceSearch, window: int
) -> bool:
    """Note the links in the window of a node, and return True if it has no later messages."""

    async def read_there(read: ReadRequest) -> list[tuple[Any, ...]]:
        rows = await read_rows(store, node_queries.build_on_node(node, read))
        return node_queries.parse_rows(rows)

    sql, scans = (
        trace_statements(node_queries.SCHEMA, include_data=False),
        scan_statements(node_queries.SCHEMA),
    )
    ((first, head),) = await read_there(store_reads.build_store_bounds(scans))
    if head is None:
        return True
    times = store_reads.TimeSearch(search.since, first, head)
    while (probe := times.next_probe(scans)) is not None:
        times.note_result(await read_there(probe))
    last = min(times.found + window - 1, head)
    for start in range(times.found, last + 1, node_traces.PAGE):
        stop = min(start + node_traces.PAGE - 1, last)
        read = traces.build_links(sql, start, stop, search.workflow)
        try:
            search.note_links(await read_there(read))
        except ServerError as error:
            raise traces.search_timeout_error(error, read) from error
    return bool(last >= head)
