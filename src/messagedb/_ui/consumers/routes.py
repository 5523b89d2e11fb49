"""The pages of consumers, and the reset of a position."""

from __future__ import annotations

from datetime import UTC, datetime

from starlette.responses import Response
from starlette.routing import Route

from ..._consumers.consumer_info import ConsumerInfo
from ..changes import record_change
from ..failures import PageError
from ..page import Page, change_route, page_route
from ..site import Site
from . import view
from .history import LagHistory
from .partition_routes import build_partition_routes
from .partition_view import fold_partitions
from .queries import (
    CONSUMERS,
    COUNTED_LAG,
    build_consumer,
    get_consumer,
    get_head,
    list_sets,
    look_at_consumers,
    look_at_sets,
)
from .reset import check_target, describe_reset, parse_target

PAGE_SIZE = 40


def build_consumer_routes(site: Site) -> list[Route]:
    """Return the routes of the pages of consumers."""
    history = LagHistory()

    async def show_consumers(page: Page) -> Response:
        consumers, sets = await look_at_consumers(site), await look_at_sets(site)
        rows = view.build_rows(consumers.found, sets.found, history, datetime.now(UTC))
        for row in rows:
            history.add(row.info.name, row.info.lag_messages)
        wanted, skip = page.get("q").strip(), page.get_integer("skip") or 0
        selected = view.select_rows(rows, wanted)
        return page.render(
            "consumers.html",
            rows=selected[skip : skip + PAGE_SIZE],
            count=len(selected),
            total=len(rows),
            wanted=wanted,
            skip=skip,
            page_size=PAGE_SIZE,
            summary=view.summarize(rows),
            counted_lag=COUNTED_LAG,
            outages=consumers.outages or sets.outages,
        )

    async def show_consumer(page: Page) -> Response:
        info = await _find(page, page.get("name"), page.get("store"))
        history.add(info.name, info.lag_messages)
        row = view.build_row(info, history, datetime.now(UTC), 600, 84)
        return page.render(
            "consumer.html",
            row=row,
            info=info,
            points=history.get(info.name),
            counted_lag=COUNTED_LAG,
            is_partition=not fold_partitions([info], await list_sets(site))[0],
        )

    return [
        page_route(site, "/consumers", show_consumers),
        page_route(site, "/consumer", show_consumer),
        page_route(site, "/consumer/reset", ask_reset),
        change_route(site, "/consumer/reset", reset_position),
        *build_partition_routes(site),
    ]


async def ask_reset(page: Page) -> Response:
    """Say what a reset of a position would do, and ask for confirmation."""
    if not page.may_change:
        raise PageError(403, "This UI may only read the store.", "Nothing was changed.")
    info = await _find(page, page.get("name"), page.get("store"))
    target = parse_target(page.get("to"))
    check_target(target, await get_head(page.site, info))
    return page.render(
        "consumer_reset.html", info=info, target=target, said=describe_reset(info, target)
    )


async def reset_position(page: Page, form: dict[str, str]) -> Response:
    """Store another position for a consumer that does not run."""
    info = await _find(page, form.get("name", ""), form.get("store", ""))
    target = parse_target(form.get("to", ""))
    check_target(target, await get_head(page.site, info))
    position = await build_consumer(page.site, info).reset_position(target)
    await record_change(page, "reset position", f"{info.name} to {position}", 1)
    page.site.answers.forget(CONSUMERS)
    return page.redirect("/consumer", name=info.name, store=info.position_store)


async def _find(page: Page, name: str, position_store: str) -> ConsumerInfo:
    if not name:
        raise PageError(400, "The address names no consumer: it needs ?name=.")
    return await get_consumer(page.site, name, position_store)
