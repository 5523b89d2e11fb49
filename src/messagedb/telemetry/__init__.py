"""OpenTelemetry: spans and metrics of operations and handlers, and traces through metadata."""

from __future__ import annotations

import sys as _sys
from collections.abc import Awaitable, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from time import perf_counter
from typing import Any, Protocol, cast

import msgspec

from .._app.telemetry import Telemetry
from .._consumers.context import BaseBatchContext
from .._messages.message import Message, NewMessage
from .._messages.metadata import Metadata
from .._messages.trace_context import TRACEPARENT, TRACESTATE, find_trace_context
from .._metrics.instruments import (
    CONSUMER,
    CONSUMERS,
    POOL,
    POOLS,
    Instrument,
    ObservedClient,
    ObservedConsumer,
)
from .._public_names import publish_names as _publish_names
from ..errors import MessageDecodeError, ValidationError
from ..hooks import Operation
from ..streams import category

try:
    from opentelemetry import metrics, trace
    from opentelemetry.context import Context
    from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation
    from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        f"{_error}: messagedb.telemetry needs OpenTelemetry, pip install 'messagedb[otel]'",
        name=_error.name,
    ) from _error

__all__ = ["ObservedClient", "ObservedConsumer", "OpenTelemetry"]

_NAME = "messagedb"
_OPERATION = {
    "write_message": ("write", "send"),
    "write_messages": ("write", "send"),
    "get_stream_messages": ("read", "receive"),
    "get_category_messages": ("read", "receive"),
    "get_last_stream_message": ("read", "receive"),
}
_PROPAGATOR = TraceContextTextMapPropagator()


class _Context(Protocol):
    @property
    def message(self) -> Message[Any]: ...

    @property
    def attempt(self) -> int: ...


class OpenTelemetry(Telemetry):
    """Spans and metrics by OpenTelemetry's conventions for messaging.

    As hooks of a client, it makes a span of each operation, counts messages, and puts the current
    trace into the metadata of written messages (``properties.traceparent``), from which
    ``following()`` copies it. Its middleware makes a span of each call of a handler, which
    continues the trace of the message. Spans and metrics contain no data and no metadata of
    messages.

    Example::

        telemetry = OpenTelemetry()
        with Client(url, hooks=[telemetry]) as client:
            consumer = Consumer(client, "account", middleware=[telemetry.middleware])
            telemetry.observe(consumer)

    Args:
        tracer_provider: the provider of the tracer; by default OpenTelemetry's global one.
        meter_provider: the provider of the meter; likewise.
        propagate: whether the current trace is put into written messages.
    """

    def __init__(
        self,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        *,
        propagate: bool = True,
    ) -> None:
        self._tracer = trace.get_tracer(_NAME, tracer_provider=tracer_provider)
        meter = metrics.get_meter(_NAME, meter_provider=meter_provider)
        self._propagate = propagate
        self._duration = meter.create_histogram(
            "messaging.client.operation.duration", "s", "Duration of an operation of the client."
        )
        self._sent = meter.create_counter(
            "messaging.client.sent.messages", "{message}", "Messages that were to be written."
        )
        self._consumed = meter.create_counter(
            "messaging.client.consumed.messages", "{message}", "Messages that were read or handled."
        )
        self._processing = meter.create_histogram(
            "messaging.process.duration", "s", "Duration of one call of a handler."
        )
        self._consumers: list[ObservedConsumer] = []
        self._clients: dict[str, ObservedClient] = {}
        create = {
            "gauge": meter.create_observable_gauge,
            "up_down": meter.create_observable_up_down_counter,
            "counter": meter.create_observable_counter,
        }
        for instruments, read_all in ((CONSUMERS, self._read_consumers), (POOLS, self._read_pools)):
            for each in instruments:
                read = partial(read_all, each)
                create[each.kind](each.name, [read], each.unit, each.description)

    def before_write(
        self, stream_name: str, messages: Sequence[NewMessage]
    ) -> Sequence[NewMessage]:
        """Put the current trace, if there is one, into the metadata."""
        if not self._propagate or not trace.get_current_span().get_span_context().is_valid:
            return messages
        carrier: dict[str, str] = {}
        _PROPAGATOR.inject(carrier)
        return [_add_trace(message, carrier) for message in messages]

    @contextmanager
    def around(self, operation: Operation) -> Generator[None]:
        """Make a span of the operation, and measure it."""
        word, kind = _OPERATION[operation.name]
        destination = category(operation.stream_or_category)
        labels = _build_labels(word, kind, destination)
        is_write = kind == "send"
        details: dict[str, Any] = {**labels, "messagedb.operation": operation.name}
        if operation.stream_or_category != destination:
            details["messagedb.stream_name"] = operation.stream_or_category
        if is_write:
            details["messaging.batch.message_count"] = len(operation.messages)
            if len(operation.messages) == 1:
                details["messaging.message.id"] = str(operation.messages[0].id)
        span_kind = SpanKind.PRODUCER if is_write else SpanKind.CLIENT
        begun = perf_counter()
        with self._start_span(f"{word} {destination}", span_kind, details) as span:
            try:
                with _record_failure(span, labels):
                    yield
            finally:
                count = len(operation.messages)
                self._duration.record(perf_counter() - begun, labels)
                if is_write:
                    self._sent.add(count, labels)
                else:
                    span.set_attribute("messaging.batch.message_count", count)
                    self._consumed.add(count, labels)

    def middleware(self, context: Any, call_next: Callable[[Any], Any]) -> Any:
        """Run around each call of a Consumer's handler: ``middleware=[telemetry.middleware]``.

        Example::

            telemetry = OpenTelemetry()
            consumer = Consumer(client, "order", middleware=[telemetry.middleware])
        """
        with self._trace_handler(context):
            return call_next(context)

    async def middleware_async(
        self, context: Any, call_next: Callable[[Any], Awaitable[Any]]
    ) -> Any:
        """Run around each call of an AsyncConsumer's handler.

        Example::

            telemetry = OpenTelemetry()
            consumer = AsyncConsumer(async_client, "order", middleware=[telemetry.middleware_async])
        """
        with self._trace_handler(context):
            return await call_next(context)

    def observe(self, *consumers: ObservedConsumer) -> None:
        """Report the state of consumers of this process, how far behind they are, and their counts.

        The values are those of ``consumer.status()`` at the moment of collection: nothing is
        queried from the server.

        Example::

            telemetry = OpenTelemetry()
            telemetry.observe(consumer)  # its lag and counts become metrics

        Args:
            consumers: of either variant, before or while they run.
        """
        self._consumers.extend(consumers)

    def observe_pool(self, client: ObservedClient, name: str = "messagedb") -> None:
        """Report by gauges and counters the state of a client's pool.

        The values are those of ``client.pool_stats()`` at the moment of collection: nothing is
        queried from the server.

        Example::

            telemetry = OpenTelemetry()
            telemetry.observe_pool(client)

        Args:
            client: of either variant, before or after it opens.
            name: the label ``db.client.connection.pool.name``; each client needs its own.

        Raises:
            ValidationError: another client has that name.
        """
        if self._clients.setdefault(name, client) is not client:
            raise ValidationError(
                f"the pool of another client is observed under the name {name!r}: pass a name"
            )

    def stop_observing(self, client: ObservedClient, *consumers: ObservedConsumer) -> None:
        """Report a client's pool and consumers no longer. An ``App`` calls it when it has run.

        Example::

            telemetry = OpenTelemetry()
            telemetry.observe_pool(client)
            telemetry.stop_observing(client)

        Args:
            client: the client; nothing is done if its pool is not observed.
            consumers: consumers that are observed.
        """
        self._clients = {name: each for name, each in self._clients.items() if each is not client}
        gone = {id(consumer) for consumer in consumers}
        self._consumers = [each for each in self._consumers if id(each) not in gone]

    @contextmanager
    def _trace_handler(self, context: _Context | BaseBatchContext[Any]) -> Generator[None]:
        messages = _list_messages(context)
        message, count = messages[0], len(messages)
        destination = category(message.stream_name)
        labels = _build_labels("handle", "process", destination)
        details: dict[str, Any] = {**labels, "messagedb.attempt": context.attempt}
        context_of = None
        if count == 1:
            details |= {
                "messaging.message.id": str(message.id),
                "messagedb.stream_name": message.stream_name,
                "messagedb.position": message.position,
                "messagedb.message_type": message.type,
            }
            context_of = _extract_context(message)
        else:
            # The messages of a list may be of several traces.
            details["messaging.batch.message_count"] = count
        begun = perf_counter()
        name = f"handle {destination}"
        with self._start_span(name, SpanKind.CONSUMER, details, context_of) as span:
            try:
                with _record_failure(span, labels):
                    yield
            finally:
                self._processing.record(perf_counter() - begun, labels)
                self._consumed.add(count, labels)

    def _start_span(
        self, name: str, kind: SpanKind, details: dict[str, Any], context: Context | None = None
    ) -> AbstractContextManager[Span]:
        return self._tracer.start_as_current_span(
            name,
            context=context,
            kind=kind,
            attributes=details,
            record_exception=False,  # its message may contain values
            set_status_on_exception=False,
        )

    def _read_consumers(
        self, instrument: Instrument, options: CallbackOptions
    ) -> Iterator[Observation]:
        for consumer in self._consumers:
            status = consumer.status()
            for value, labels in instrument.read(status):
                yield Observation(value, {CONSUMER: status.name, **labels})

    def _read_pools(
        self, instrument: Instrument, options: CallbackOptions
    ) -> Iterator[Observation]:
        for name, client in self._clients.items():
            for value, labels in instrument.read(client.pool_stats()):
                yield Observation(value, {POOL: name, **labels})


def _list_messages(context: _Context | BaseBatchContext[Any]) -> list[Message[Any]]:
    return context.messages if isinstance(context, BaseBatchContext) else [context.message]


@contextmanager
def _record_failure(span: Span, labels: dict[str, Any]) -> Generator[None]:
    """Put the class of an error, and nothing else of it, into a span and its metrics' labels."""
    try:
        yield
    except BaseException as error:
        labels["error.type"] = type(error).__qualname__
        span.set_attribute("error.type", labels["error.type"])
        span.set_status(StatusCode.ERROR, labels["error.type"])
        raise


def _build_labels(word: str, kind: str, destination: str) -> dict[str, Any]:
    return {
        "messaging.system": _NAME,
        "messaging.operation.name": word,
        "messaging.operation.type": kind,
        "messaging.destination.name": destination,
    }


def _add_trace(message: NewMessage, carrier: Mapping[str, str]) -> NewMessage:
    """Add the current trace to a message, unless it is part of another trace already."""
    given: Any = message.metadata
    if given is None:
        metadata = Metadata()
    elif isinstance(given, Metadata):
        metadata = given
    elif isinstance(given, Mapping):
        fields = cast("Mapping[str, Any]", given)
        places = _list_candidate_mappings(fields)
        if len(places) == 1 and fields.get("properties"):
            return message  # properties that are not the object of the conventions
        if not _is_same_trace(find_trace_context(*places)[0], carrier):
            return message
        properties = {**(places[0] if len(places) > 1 else {}), **carrier}
        return msgspec.structs.replace(message, metadata={**fields, "properties": properties})
    else:
        return message
    if not _is_same_trace(metadata.traceparent, carrier):
        return message
    traced = metadata.with_trace(carrier[TRACEPARENT], carrier.get(TRACESTATE))
    return msgspec.structs.replace(message, metadata=traced)


def _is_same_trace(traceparent: str | None, carrier: Mapping[str, str]) -> bool:
    """Return True if a message has no trace, or the trace of the carrier."""
    return traceparent is None or traceparent.split("-")[1] == carrier[TRACEPARENT].split("-")[1]


def _list_candidate_mappings(metadata: Mapping[str, Any]) -> tuple[Mapping[str, Any], ...]:
    """Return the parts of metadata that may contain a trace: its properties, then its top level."""
    properties: Any = metadata.get("properties")
    if isinstance(properties, Mapping):
        return cast("Mapping[str, Any]", properties), metadata
    return (metadata,)


def _extract_context(message: Message[Any]) -> Context | None:
    """Return the message's trace context; None if it has none or it cannot be decoded."""
    try:
        metadata = message.metadata or {}
    except MessageDecodeError:
        return None
    parent, state = find_trace_context(*_list_candidate_mappings(metadata))
    if parent is None:
        return None
    carrier = {TRACEPARENT: parent} if state is None else {TRACEPARENT: parent, TRACESTATE: state}
    return _PROPAGATOR.extract(carrier)


_publish_names(_sys.modules[__name__])
