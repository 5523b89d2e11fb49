"""The metrics of a store: its consumers, wherever they run, and the pool of this process."""

from __future__ import annotations

from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from ..._metrics.instruments import (
    POOL,
    POOLS,
    STORED_CONSUMERS,
    STORED_PARTITIONS,
    label_consumers,
)
from ..._metrics.prometheus import CONTENT_TYPE, render_metrics
from ..consumers.queries import look_at_consumers, look_at_sets
from ..outages import build_outage_error
from ..page import Page, page_route
from ..site import Site

_COUNTED_LAG: Final = 100_000


def build_metrics_routes(site: Site) -> list[Route]:
    """Return the route of the metrics."""
    return [page_route(site, "/metrics", show_metrics)]


async def show_metrics(page: Page) -> Response:
    """Show the metrics in the text format of Prometheus.

    Raises:
        PageError: a node is unavailable. Without its consumers, the others would look like all.
    """
    consumers = await look_at_consumers(page.site, lag_limit=_COUNTED_LAG)
    sets = await look_at_sets(page.site)
    if consumers.outages or sets.outages:
        raise build_outage_error(consumers.outages or sets.outages)
    text = render_metrics(
        (STORED_CONSUMERS, label_consumers(consumers.found)),
        (STORED_PARTITIONS, label_consumers(sets.found)),
        (POOLS, [({POOL: "messagedb.ui"}, page.site.client.pool_stats())]),
    )
    return Response(text.encode("utf-8", "replace"), media_type=CONTENT_TYPE)
