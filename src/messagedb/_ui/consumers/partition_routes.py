"""The page of the partitions of a consumer, and the release of one."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from starlette.responses import Response
from starlette.routing import Route

from _messagedb_async.consumers.partition_release import release_partition

from ..._consumers.partition_info import PartitionInfo, PartitionSetInfo
from ..changes import record_change
from ..failures import PageError
from ..page import Page, change_route, page_route
from ..site import Site
from . import partition_view, view
from .history import LagHistory
from .queries import PARTITIONS, get_set, list_consumers

_WAIT_SECONDS: Final = 3.0


def build_partition_routes(site: Site) -> list[Route]:
    """Return the routes of partitions."""
    return [
        page_route(site, "/partitions", show_partitions),
        page_route(site, "/partitions/release", ask_release),
        change_route(site, "/partitions/release", release),
    ]


async def show_partitions(page: Page) -> Response:
    """Show who owns what, since when, and how far behind it is."""
    found = await _find(page, page.get("category"), page.get("identifier"))
    known = await list_consumers(page.site)
    _, folded = partition_view.fold_partitions(known, [found])
    row = view.build_set_row(*folded[0], LagHistory(), datetime.now(UTC))
    return page.render(
        "partitions.html",
        row=row,
        info=row.info,
        found=found,
        processes=partition_view.build_process_rows(found),
        partitions=partition_view.build_partition_rows(found, known),
    )


async def ask_release(page: Page) -> Response:
    """Say what a release of a partition does, and ask for confirmation."""
    if not page.may_change:
        raise PageError(403, "This UI may only read the store.", "Nothing was changed.")
    found = await _find(page, page.get("category"), page.get("identifier"))
    partition = _find_partition(found, page.get("number"))
    return page.render("partition_release.html", found=found, partition=partition)


async def release(page: Page, form: dict[str, str]) -> Response:
    """Have the owner of a partition give it up."""
    found = await _find(page, form.get("category", ""), form.get("identifier", ""))
    number = _find_partition(found, form.get("number", "")).number
    client = page.site.client
    # The page shows a request that stays.
    with suppress(TimeoutError):
        await release_partition(client, found.category, found.identifier, number, _WAIT_SECONDS)
    await record_change(page, "release partition", f"{found.name} {number}", 1)
    page.site.answers.forget(PARTITIONS)
    return page.redirect("/partitions", category=found.category, identifier=found.identifier)


async def _find(page: Page, category: str, identifier: str) -> PartitionSetInfo:
    if not category or not identifier:
        raise PageError(400, "The address names no consumer: it needs ?category= and &identifier=.")
    return await get_set(page.site, category, identifier)


def _find_partition(found: PartitionSetInfo, given: str) -> PartitionInfo:
    if not (given.isascii() and given.isdigit() and len(given) < 6 and int(given) < found.size):
        raise PageError(
            400,
            f"There is no partition {given!r:.60}: they are numbered from 0 to {found.size - 1}.",
            "Nothing was changed.",
        )
    return found.partitions[int(given)]
