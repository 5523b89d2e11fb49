"""The overview: what the store is, how large, and what is written to it."""

from __future__ import annotations

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from ..failures import is_time_limit
from ..outages import Nodes
from ..page import Page, page_route
from ..site import Site
from . import queries, view

_SHOWN = 25
_KEPT_SECONDS = 2.0
_SIZES_KEPT_SECONDS = 30.0


class Overview(msgspec.Struct, frozen=True):
    """The contents of the page.

    Attributes:
        facts: about the store.
        messages: their number.
        is_exact: whether that is counted.
        rates: over the last minutes.
        bars: of the chart.
        rows: of categories.
        sizes: how the sizes were found: "exact", "sample", or "late" for none in time.
    """

    facts: queries.StoreFacts
    messages: float
    is_exact: bool
    rates: view.Rates
    bars: list[view.Bar]
    rows: list[view.CategoryRow]
    sizes: str


def build_overview_routes(site: Site) -> list[Route]:
    """Return the routes of the overview."""
    return [page_route(site, "/", show_overview)]


async def show_overview(page: Page) -> Response:
    """Show the overview; with ``?exact=1`` the sizes are counted, within the time limit."""
    is_exact = page.get("exact") == "1"
    seen = await page.site.nodes.ask(
        lambda nodes: page.site.answers.get(
            f"overview:{is_exact}:{nodes}",
            _SIZES_KEPT_SECONDS if is_exact else _KEPT_SECONDS,
            lambda: _look(page.site, is_exact, nodes),
        ),
    )
    return page.render(
        "overview.html",
        overview=seen.found,
        outages=seen.outages,
        wants_exact=is_exact,
        shown=_SHOWN,
        newest=queries.NEWEST,
    )


async def _look(site: Site, is_exact: bool, nodes: Nodes) -> Overview:
    facts, activity, is_all = await _look_at_newest(site, nodes)
    messages, is_counted = view.estimate_messages(facts)
    percent = None if is_exact else view.choose_percent(facts)

    async def fetch_sizes() -> list[tuple[str, int]]:
        found: list[tuple[str, int]] = []
        async with site.read_each(nodes) as readers:
            for tx in readers:
                found += await queries.fetch_sizes(tx, site.table, percent, _SHOWN)
        return sorted(found, key=lambda size: (-size[1], size[0]))[:_SHOWN]

    sizes: list[tuple[str, int]] = []
    found = "exact" if percent is None else "sample"
    try:
        key = f"sizes:{percent is None}:{nodes}"
        sizes = await site.answers.get(key, _KEPT_SECONDS, fetch_sizes)
    except Exception as error:
        if not is_time_limit(error):
            raise
        found = "late"
    rates = view.compute_rates(activity, facts.now, is_all)
    factor = 1.0 if percent is None else 100 / percent
    rows = view.build_rows(sizes, factor, messages, rates)
    bars = view.build_bars(activity)
    return Overview(facts, messages, is_counted, rates, bars, rows, found)


async def _look_at_newest(
    site: Site, nodes: Nodes
) -> tuple[queries.StoreFacts, list[queries.Activity], bool]:
    """Return the facts, the newest messages, and whether they are all that there are."""
    facts: list[queries.StoreFacts] = []
    activity: list[list[queries.Activity]] = []
    async with site.read_each(nodes) as readers:
        for tx in readers:
            facts.append(await queries.fetch_facts(tx, site.table))
            activity.append(await queries.fetch_activity(tx, site.table))
    is_one = not site.has_nodes
    merged = facts[0] if is_one else await queries.merge_facts(site.client, facts)
    return merged, *view.merge_activity(activity)
