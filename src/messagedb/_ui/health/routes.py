"""The page of a store's health."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import Response
from starlette.routing import Route

from ..._diagnosis.findings import Finding
from ..._errors import IncompatibleServerError, StoreUnavailableError
from ..consumers.queries import look_at_consumers
from ..failures import PageError
from ..page import Page, page_route
from ..site import Site
from .queries import find_store_health
from .view import build_sections, check_consumers, summarize

_KEPT_SECONDS = 5.0


def build_health_routes(site: Site) -> list[Route]:
    """Return the route of the page of health."""
    return [page_route(site, "/health", show_health)]


async def show_health(page: Page) -> Response:
    """Show what keeps this library from working, what is slow or dangerous, and what is fine."""
    site = page.site
    try:
        of_store = await site.answers.get("health", _KEPT_SECONDS, lambda: find_store_health(site))
        found = [*await _check_consumers(site), *of_store]
    except IncompatibleServerError as error:
        found = [Finding("problem", "store", str(error), "`messagedb doctor` says more about it")]
    return page.render("health.html", sections=build_sections(found), summary=summarize(found))


async def _check_consumers(site: Site) -> list[Finding]:
    """Return the findings about consumers; of several nodes, one for what is unavailable.

    Raises:
        StoreUnavailableError: the store is, and it is on one server.
    """
    try:
        consumers = await look_at_consumers(site)
    except (StoreUnavailableError, PageError) as error:
        if not site.has_nodes:
            raise
        return [Finding("problem", "consumers", f"they cannot be listed: {error}")]
    missing = [
        Finding(
            "problem", "consumers", f"those of node {each.node} cannot be listed: {each.reason}"
        )
        for each in consumers.outages
    ]
    return [*missing, *check_consumers(consumers.found, datetime.now(UTC))]
