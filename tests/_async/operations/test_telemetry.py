"""Spans and metrics of operations and handlers, and one trace through all that follows."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    Metadata,
    NewMessage,
    WrongExpectedVersionError,
)
from messagedb.consumers import NO_RETRY
from messagedb.telemetry import OpenTelemetry
from tests.support.spans import Seen

SECRET = "s3cret-value"


@pytest.fixture
def seen() -> Seen:
    """Return a telemetry and its spans."""
    exporter, reader = InMemorySpanExporter(), InMemoryMetricReader()
    tracers = TracerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(exporter))
    meters = MeterProvider([reader])
    return Seen(OpenTelemetry(tracers, meters), tracers, exporter, reader)


async def test_operations_are_spans(seen: Seen, store_url: str, category: str) -> None:
    stream = f"{category}-1"
    async with AsyncClient(store_url, max_size=1, hooks=[seen.telemetry]) as client:
        message = NewMessage("A", {"password": SECRET}, metadata={"token": SECRET})
        await client.write_message(stream, message)
        await client.write_messages(stream, [NewMessage("B"), NewMessage("C")])
        await client.get_category_messages(category)
        with pytest.raises(WrongExpectedVersionError):
            await client.write_message(stream, NewMessage("D"), expected_version=9)
    single, batch, read, failed = seen.spans()
    assert (single.name, single.kind) == (f"write {category}", SpanKind.PRODUCER)
    assert dict(single.attributes or {}) == {
        "messaging.system": "messagedb",
        "messaging.operation.name": "write",
        "messaging.operation.type": "send",
        "messaging.destination.name": category,
        "messaging.batch.message_count": 1,
        "messaging.message.id": str(message.id),
        "messagedb.operation": "write_message",
        "messagedb.stream_name": stream,
    }
    assert (batch.attributes or {})["messaging.batch.message_count"] == 2
    assert (read.name, read.kind) == (f"read {category}", SpanKind.CLIENT)
    assert (read.attributes or {})["messaging.batch.message_count"] == 3
    assert (failed.attributes or {})["error.type"] == "WrongExpectedVersionError"
    assert not failed.status.is_ok
    assert failed.events == ()
    assert SECRET not in "".join(span.to_json() for span in seen.spans())
    # Nothing is written into metadata where there is no trace.
    assert [m.metadata for m in (await stored(store_url, stream))][1:] == [None, None]
    sent = seen.points("messaging.client.sent.messages")
    assert sum(point.value for point in sent if not dict(point.attributes).get("error.type")) == 3
    durations = seen.points("messaging.client.operation.duration")
    assert sum(point.count for point in durations) == 4
    assert {str(key) for point in durations for key in point.attributes} == {
        *("messaging.system", "messaging.operation.name", "messaging.operation.type"),
        *("messaging.destination.name", "error.type"),
    }


async def stored(store_url: str, stream: str) -> list[Message[Any]]:
    """Return the messages of a stream."""
    async with AsyncClient(store_url, max_size=1) as client:
        return await client.get_stream_messages(stream)


async def test_one_trace_through_two_consumers(seen: Seen, store_url: str, category: str) -> None:
    telemetry = seen.telemetry
    async with AsyncClient(store_url, max_size=3, hooks=[telemetry]) as client:
        first = AsyncConsumer(
            client, category, identifier="one", middleware=[telemetry.middleware_async]
        )
        second = AsyncConsumer(
            client, f"{category}Next", identifier="two", middleware=[telemetry.middleware_async]
        )

        @first.handler("Asked")
        async def answer(message: Message[Any], context: AsyncContext) -> None:
            metadata = context.following()
            await context.client.write_message(
                f"{category}Next-1", NewMessage("Answered", None, metadata=metadata)
            )

        @second.handler("Answered")
        async def end(message: Message[Any]) -> None:
            return None

        telemetry.observe(first, second)
        with seen.tracers.get_tracer("test").start_as_current_span("request") as request:
            await client.write_message(f"{category}-1", NewMessage("Asked"))
        await client.write_message(f"{category}-2", NewMessage("Asked"))  # without a trace
        for consumer in (first, second):
            await consumer.run(until="caught_up")
        answered = [m for m in await stored(store_url, f"{category}Next-1") if m.type == "Answered"]
    trace_id = request.get_span_context().trace_id
    of_trace = {span.name: span for span in seen.spans() if span.context.trace_id == trace_id}
    assert set(of_trace) == {
        *("request", f"write {category}", f"handle {category}"),
        *(f"write {category}Next", f"handle {category}Next"),
    }
    one, two = of_trace[f"handle {category}"], of_trace[f"handle {category}Next"]
    assert one.parent is not None
    assert one.parent.span_id == request.get_span_context().span_id
    assert two.parent is not None
    assert two.parent.span_id == one.context.span_id
    assert (two.kind, (two.attributes or {})["messagedb.attempt"]) == (SpanKind.CONSUMER, 1)
    # What following() copied is replaced: the cause in the trace is the handler's span.
    traceparent = Metadata.from_message(answered[0]).traceparent
    assert traceparent is not None
    assert traceparent.startswith(f"00-{trace_id:032x}-{one.context.span_id:016x}-")
    assert {
        dict(point.attributes)["messaging.consumer.group.name"]: point.value
        for point in seen.points("messagedb.consumer.lag")
    } == {f"{category}:position-one": 0, f"{category}Next:position-two": 0}
    processed = seen.points("messaging.process.duration")
    assert sum(point.count for point in processed) == 4


async def test_a_handler_that_fails(seen: Seen, store_url: str, category: str) -> None:
    async with AsyncClient(store_url, max_size=3) as client:
        await client.write_message(f"{category}-1", NewMessage("A", {"password": SECRET}))
        consumer = AsyncConsumer(
            client,
            category,
            identifier="failing",
            retry=NO_RETRY,
            on_error="park",
            middleware=[seen.telemetry.middleware_async],
        )

        @consumer.handler
        async def fail(message: Message[Any]) -> None:
            raise KeyError(message.data["password"])

        seen.telemetry.observe(consumer)
        await consumer.run(until="caught_up")
    (span,) = seen.spans()
    assert ((span.attributes or {})["error.type"], span.events) == ("KeyError", ())
    assert SECRET not in span.to_json()
    (parked,) = seen.points("messagedb.consumer.parked")
    assert parked.value == 1
    states = {
        dict(point.attributes)["messagedb.consumer.state"]: point.value
        for point in seen.points("messagedb.consumer.state")
    }
    assert [state for state, value in states.items() if value] == ["stopped"]


async def test_a_list_of_messages_is_one_span(seen: Seen, store_url: str, category: str) -> None:
    async with AsyncClient(store_url, max_size=3) as client:
        await client.write_messages(f"{category}-1", [NewMessage("Asked") for _ in range(3)])
        consumer = AsyncConsumer(
            client,
            category,
            retry=NO_RETRY,
            on_error="skip",
            middleware=[seen.telemetry.middleware_async],
        )

        @consumer.batch_handler
        async def answer(messages: list[Message[Any]]) -> None:
            if messages[-1].position == 2:
                raise KeyError(messages[-1].position)

        await consumer.run(until="caught_up")
    details: list[dict[str, Any]] = [dict(span.attributes or {}) for span in seen.spans()]
    counts = [each.get("messaging.batch.message_count") for each in details]
    positions = [each.get("messagedb.position") for each in details]
    assert (counts, positions) == ([3, None, None, None], [None, 0, 1, 2])
    assert {span.name for span in seen.spans()} == {f"handle {category}"}


async def test_a_trace_of_the_users_own_is_kept(seen: Seen, store_url: str, category: str) -> None:
    own = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    given: list[Any] = [
        Metadata().with_trace(own),
        {"properties": {"traceparent": own}},
        {"traceparent": own},
        {"properties": 5},
    ]
    stream = f"{category}-1"
    async with AsyncClient(store_url, max_size=1, hooks=[seen.telemetry]) as client:
        with seen.tracers.get_tracer("test").start_as_current_span("request"):
            for metadata in given:
                await client.write_message(stream, NewMessage("A", None, metadata=metadata))
            await client.write_message(
                stream, NewMessage("A", None, metadata={"properties": {"a": 1}})
            )
    *kept, added = await stored(store_url, stream)
    assert [m.metadata for m in kept] == [
        *({"properties": {"traceparent": own}} for _ in range(2)),
        {"traceparent": own},
        {"properties": 5},
    ]
    assert set(added.metadata or {}) == {"properties"}
    assert (added.metadata or {})["properties"]["a"] == 1
    assert Metadata.from_message(added).traceparent is not None
