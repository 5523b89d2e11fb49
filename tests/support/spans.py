"""Spans and metrics of a telemetry, kept in memory."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from messagedb.telemetry import OpenTelemetry


class Seen:
    """A telemetry, and its spans and metrics."""

    def __init__(
        self,
        telemetry: OpenTelemetry,
        tracers: TracerProvider,
        exporter: InMemorySpanExporter,
        reader: InMemoryMetricReader,
    ) -> None:
        self.telemetry = telemetry
        self.tracers = tracers
        self._exporter = exporter
        self._reader = reader

    def spans(self) -> list[Any]:
        """Return the finished spans, in that order."""
        found: tuple[ReadableSpan, ...] = self._exporter.get_finished_spans()
        return list(found)

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric."""
        data = self._reader.get_metrics_data()
        assert data is not None
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
        ]
