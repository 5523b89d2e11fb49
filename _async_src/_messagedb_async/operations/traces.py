"""Causes and effects of a message."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from messagedb._errors import ServerError
from messagedb._messages.message import Message
from messagedb._operations import node_traces, traces
from messagedb._operations.direction import check_table_readable
from messagedb._operations.traces import Trace
from messagedb._sql.traces import TraceStatements, trace_statements

from .node_traces import read_traced, trace_on_nodes
from .store_reads import AsyncStoreReads

# Messages that are fetched together: they may be large.
_FETCHED_TOGETHER = 100


class AsyncTraces(AsyncStoreReads):
    """Searches for causes and effects. Their errors are those of the operations."""

    async def trace(
        self,
        message: Message[Any] | UUID | str | Trace,
        *,
        window: int = 100_000,
        max_messages: int = 1000,
        include_data: bool = True,
    ) -> Trace:
        """Find the causes of a message, its effects, and the other messages of its workflow.

        A message names its cause in its metadata, as ``Metadata.following`` writes it. So each
        cause is one look-up in an index, up to 1000 of them. No index leads to the effects: the
        messages that follow are all looked at, within a window of global positions. The result says
        how far it looked, and can be passed again to look at the next window. On several nodes
        (PL/Proxy) the window is one of each node, from a minute before the message on, as their
        clocks may differ, and a result cannot be passed again::

            trace = await client.trace("transfer-7/0")
            while not trace.is_complete and not trace.left_out:
                trace = await client.trace(trace)
            for depth, node in trace.node.walk():
                print("  " * depth, node.message.type)

        Args:
            message: a message; its id; its stream and position, ``account-123/4``; or an earlier
                result, which is continued and returned.
            window: the number of global positions to search, from 0 for the causes alone.
            max_messages: the maximum number of effects and correlated messages, up to 100,000.
            include_data: False to read messages without their data, which is then None: faster if
                it is large.

        Raises:
            ValidationError: there is no such message, or an argument is invalid.
            IncompatibleServerError: the role may not read the table of messages, or it is in
                another database (PL/Proxy, without the functions of ``messagedb``); or an earlier
                result is to be continued, and the messages are on several nodes. Nothing was sent.
            ServerError: a part of the window took longer than ``command_timeout``; the text names
                it.
        """
        traces.check_trace(window, max_messages)
        server = await self._get_server()
        if server.has_nodes:
            if isinstance(message, Trace):
                raise node_traces.not_continued_error()
            return await trace_on_nodes(self, message, window, max_messages, include_data)
        check_table_readable(server, "the search for causes and effects")
        sql = trace_statements(self._session_config.settings.schema, include_data)
        if isinstance(message, Trace):
            trace = message
        else:
            trace = traces.start_trace(await self._read_chain(sql, message, include_data))
        head = await self.get_store_head() or 0
        search = traces.TraceSearch(trace, window, head, max_messages)
        while (read := search.next_read(sql)) is not None:
            try:
                search.note_links(await self._read(read))
            except ServerError as error:
                raise traces.search_timeout_error(error, read) from error
        found: list[Message[Any]] = []
        positions = search.list_positions()
        for start in range(0, len(positions), _FETCHED_TOGETHER):
            part = traces.build_messages_at(sql, positions[start : start + _FETCHED_TOGETHER])
            found += await read_traced(self, part, include_data)
        return search.build(found)

    async def _read_chain(
        self, sql: TraceStatements, message: Message[Any] | UUID | str, include_data: bool
    ) -> list[Message[Any]]:
        """Return a message, its cause, the cause of that one, and so on.

        Raises:
            ValidationError: there is no such message.
        """
        if not isinstance(message, Message):
            found = await read_traced(self, traces.build_lookup(sql, message), include_data)
            if not found:
                raise traces.missing_message_error(message)
            message = found[0]
        chain = [message]
        while len(chain) <= traces.MAX_CAUSES:
            place = traces.find_cause(chain[-1])
            if place is None:
                break
            read = traces.build_place_lookup(sql, place)
            causes = await read_traced(self, read, include_data)
            # A message that names itself or a later one has metadata that was copied or imported.
            if not causes or causes[0].global_position >= chain[-1].global_position:
                break
            chain.append(causes[0])
        return chain
