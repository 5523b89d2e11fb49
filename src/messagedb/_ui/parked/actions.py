"""Replaying and discarding parked messages: the question, and the job."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Sequence
from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from ..._consumers.consumer_info import find_parked_stream
from ..._consumers.parked_messages import ParkedMessage
from ..changes import describe_user, record
from ..consumers.queries import build_consumer, list_consumers, look_at_consumers
from ..consumers.view import describe
from ..failures import PageError
from ..outages import build_outage_error
from ..page import Page, change_route, page_route
from ..settings import Change
from ..site import Site
from . import queries
from .confirmation import describe_action
from .jobs import Job, Jobs
from .selection import Selection, parse_selection

_SHORT_SECONDS = 0.3
"""The page of a job waits so long for its end: most jobs are shown only once."""


def build_action_routes(site: Site, jobs: Jobs) -> list[Route]:
    """Return the routes of the questions, the forms and the jobs."""

    async def begin_replay(page: Page, form: dict[str, str]) -> Response:
        return await _begin(page, jobs, "replay", form)

    async def begin_discard(page: Page, form: dict[str, str]) -> Response:
        return await _begin(page, jobs, "discard", form)

    async def show_job(page: Page) -> Response:
        job = _get_job(jobs, page.get("id"))
        await job.wait(_SHORT_SECONDS)
        response = page.render("parked_job.html", job=job)
        if not job.is_over:
            response.headers["refresh"] = "1"
        return response

    async def stop_job(page: Page, form: dict[str, str]) -> Response:
        job = _get_job(jobs, form.get("id", ""))
        job.stop()
        return page.redirect("/parked/job", id=job.id)

    return [
        page_route(site, "/parked/replay", ask_replay),
        page_route(site, "/parked/discard", ask_discard),
        change_route(site, "/parked/replay", begin_replay),
        change_route(site, "/parked/discard", begin_discard),
        page_route(site, "/parked/job", show_job),
        change_route(site, "/parked/job", stop_job),
    ]


async def ask_replay(page: Page) -> Response:
    """Say what a replay would do, with the number of messages, and ask for confirmation."""
    return await _ask(page, "replay")


async def ask_discard(page: Page) -> Response:
    """Say what discarding would do, with the number of messages, and ask for confirmation."""
    return await _ask(page, "discard")


def find_replayer(site: Site, stream: str) -> Any:
    """Return the consumer with handlers of a stream of parked messages; None if there is none."""
    for each in site.settings.consumers:
        if find_parked_stream(each.name) == stream:
            return each
    return None


async def _ask(page: Page, action: str) -> Response:
    if not page.may_change:
        raise PageError(
            403,
            "This UI may only read the store.",
            "Nothing was changed. Start it with `--allow-changes` or "
            "`create_app(allow_changes=True)`.",
        )
    selection = parse_selection(page.request.query_params, is_redacted=page.is_redacted)
    if action == "replay":
        _require_replayer(page.site, selection.stream)
    async with page.site.read_of(selection.stream) as tx:
        extent = await queries.fetch_extent(tx, page.site.table, selection)
    if not extent.count:
        raise PageError(
            404, "No message of these is parked any more.", "Go back to the list, and reload it."
        )
    # So messages that are parked while the question is read are not meant.
    fixed = Selection(
        stream=selection.stream,
        of=selection.of,
        type=selection.type,
        error=selection.error,
        up_to=extent.last_record,
        id=selection.id,
        is_redacted=selection.is_redacted,
    )
    return page.render(
        "parked_confirm.html",
        action=action,
        selection=selection,
        fixed=fixed,
        extent=extent,
        consumer=await _describe_consumer(page.site, selection.stream),
        said=describe_action(action, extent),
        is_typed=action == "discard" and extent.count > 1,
    )


async def _begin(page: Page, jobs: Jobs, action: str, form: dict[str, str]) -> Response:
    selection = parse_selection(form, is_redacted=page.is_redacted)
    async with page.site.read_of(selection.stream) as tx:
        records = await queries.fetch_records(tx, page.site.table, selection)
    messages = [each.parked for each in records]
    _check_count(form, len(messages), is_typed=action == "discard" and len(messages) > 1)
    target = await _describe_consumer(page.site, selection.stream)
    if action == "replay":
        consumer = _require_replayer(page.site, selection.stream)
        changing = consumer.replay_parked
    else:
        changing = (await _build_consumer(page.site, selection.stream)).discard_parked

    async def change(some: Sequence[ParkedMessage]) -> int:
        try:
            return await _call(changing, some)
        finally:
            page.site.answers.forget("consumers")
            page.site.answers.forget(f"parked:{selection.stream}")

    user, address = describe_user(page)

    async def finish(job: Job) -> None:
        what = f"{job.selected} of {target} ({job.failed} failed, {job.left} not tried)"
        await record(
            page.site,
            Change(user=user, address=address, action=action, target=what, count=job.done),
        )

    job = Job(action, target, selection.stream, selection.describe(), len(messages))
    jobs.start(job, messages, change, finish)
    return page.redirect("/parked/job", id=job.id)


def _check_count(form: dict[str, str], count: int, *, is_typed: bool) -> None:
    """Refuse a form whose number of messages is not what its page said.

    Raises:
        PageError: nothing was changed.
    """
    if not count:
        raise PageError(404, "No message of these is parked any more.", "Nothing was changed.")
    if form.get("count") != str(count):
        raise PageError(
            409,
            f"There are {count:,} such messages now, not {form.get('count', '')!r:.20}.",
            "Nothing was changed. Go back, reload the page, and confirm the new number.",
        )
    if is_typed and form.get("typed", "").strip().replace(",", "") != str(count):
        raise PageError(
            400,
            f"To discard {count:,} messages, type their number.",
            "Nothing was changed.",
        )


async def _call(function: Any, messages: Sequence[ParkedMessage]) -> int:
    """Call a method of a consumer of either variant: that of a sync one in a thread."""
    if inspect.iscoroutinefunction(function):
        return int(await function(messages))
    return int(await asyncio.to_thread(function, messages))


def _require_replayer(site: Site, stream: str) -> Any:
    consumer = find_replayer(site, stream)
    if consumer is None:
        raise PageError(
            409,
            "This UI does not have the handlers of that consumer.",
            "Nothing was changed. Give it the application: `messagedb ui --app module:app`, or "
            "`create_app(consumers=[…])`. Or replay from a terminal: "
            "`messagedb parked replay module:consumer --all`.",
        )
    return consumer


async def _build_consumer(site: Site, stream: str) -> Any:
    consumers = await look_at_consumers(site)
    for each in consumers.found:
        if each.parked_stream == stream:
            return build_consumer(site, each)
    if consumers.outages:
        raise build_outage_error(consumers.outages)
    raise PageError(404, "No consumer has this stream of parked messages.", "Nothing was changed.")


async def _describe_consumer(site: Site, stream: str) -> str:
    for each in await list_consumers(site):
        if each.parked_stream == stream:
            return describe(each)
    return stream


def _get_job(jobs: Jobs, id: str) -> Job:
    job = jobs.get(id)
    if job is None:
        raise PageError(
            404,
            "This process knows no such job.",
            "Jobs are kept in memory by the process that runs them: after a restart, or in another"
            " worker, they are not known. The log has a line for each job that has ended.",
        )
    return job
