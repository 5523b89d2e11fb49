"""The text format of Prometheus, version 0.0.4, with the names that OpenTelemetry maps ours to."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from typing import Any, Final

from .._connection.pool_stats import PoolStats
from .._consumers.status import ConsumerStatus
from .instruments import CONSUMERS, POOL, POOLS, Instrument, label_consumers

__all__ = ["CONTENT_TYPE", "render_metrics", "render_process"]

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_UNITS: Final = {"s": "seconds", "By": "bytes"}
_FORBIDDEN: Final = re.compile("[^a-zA-Z0-9_]")


def render_metrics(
    *groups: tuple[Sequence[Instrument], Iterable[tuple[dict[str, str], Any]]],
) -> str:
    """Return the text of metrics.

    Args:
        groups: instruments, and the objects that each of them reads, with the labels of each.
    """
    lines: list[str] = []
    for instruments, observed in groups:
        objects = list(observed)
        for instrument in instruments:
            samples = [
                (value, {**labels, **more})
                for labels, each in objects
                for value, more in instrument.read(each)
            ]
            if samples:
                lines += _render_family(instrument, samples)
    return "".join(f"{line}\n" for line in lines)


def render_process(statuses: Iterable[ConsumerStatus], pool: PoolStats, pool_name: str) -> str:
    """Return the text of the metrics of a process: of its consumers, and of its pool."""
    return render_metrics(
        (CONSUMERS, label_consumers(statuses)), (POOLS, [({POOL: pool_name}, pool)])
    )


def map_name(instrument: Instrument) -> str:
    """Return the name of a metric for Prometheus.

    By OpenTelemetry's rules: each other character becomes ``_``, a unit is appended unless it is
    only an annotation, and counters end in ``_total``.
    """
    name = _FORBIDDEN.sub("_", instrument.name)
    unit = _UNITS.get(instrument.unit)
    if unit is not None:
        name = f"{name}_{unit}"
    return f"{name}_total" if instrument.kind == "counter" else name


def _render_family(
    instrument: Instrument, samples: Iterable[tuple[float, dict[str, str]]]
) -> list[str]:
    name = map_name(instrument)
    kind = "counter" if instrument.kind == "counter" else "gauge"
    description = instrument.description.replace("\\", r"\\").replace("\n", r"\n")
    return [
        f"# HELP {name} {description}",
        f"# TYPE {name} {kind}",
        *(f"{name}{_render_labels(labels)} {_render_value(value)}" for value, labels in samples),
    ]


def _render_labels(labels: dict[str, str]) -> str:
    if not labels:
        return ""
    pairs = [f'{_FORBIDDEN.sub("_", key)}="{_escape(value)}"' for key, value in labels.items()]
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    r"""Escape a label's value; ``\n`` is the only control character that the format has to."""
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _render_value(value: float) -> str:
    if not math.isfinite(value):
        return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) else repr(float(value))
