"""Jobs over many parked messages: each is tried once, and a job can be stopped."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from messagedb._ui.parked.jobs import CHUNK, Job, Jobs
from messagedb.consumers import ParkedMessage

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def park(count: int) -> list[ParkedMessage]:
    return [
        ParkedMessage(uuid.uuid4(), uuid.uuid4(), "a-1", number, number, "A", "", 1, NOW)
        for number in range(count)
    ]


def make_job(total: int) -> Job:
    return Job("replay", "a · b", "a:parked-b", "all", total)


class Handler:
    """Handles messages that are parked, until one of those that fail."""

    def __init__(self, parked: Sequence[ParkedMessage], failing: set[int]) -> None:
        self.parked = [each.position for each in parked]
        self.failing = failing
        self.tried: list[int] = []

    async def __call__(self, messages: Sequence[ParkedMessage]) -> int:
        count = 0
        for each in messages:
            if each.position not in self.parked:
                continue
            self.tried.append(each.position)
            if each.position in self.failing:
                raise ValueError(f"message {each.position}")
            self.parked.remove(each.position)
            count += 1
        return count


async def test_all_are_changed_in_chunks() -> None:
    messages = park(2 * CHUNK + 3)
    handler, job = Handler(messages, set()), make_job(len(messages))
    await job.run(messages, handler)
    assert (job.state, job.done, job.failed, job.left) == ("done", len(messages), 0, 0)
    assert handler.tried == list(range(len(messages)))


async def test_one_that_fails_stays_and_the_others_are_tried() -> None:
    messages = park(CHUNK + 10)
    handler, job = Handler(messages, {7, CHUNK + 2}), make_job(len(messages))
    await job.run(messages, handler)
    assert (job.state, job.done, job.failed) == ("done", CHUNK + 8, 2)
    assert handler.parked == [7, CHUNK + 2]
    assert job.last_error == f"ValueError: message {CHUNK + 2}"


async def test_those_that_wait_for_one_that_fails_are_not_tried() -> None:
    messages = [msgspec.structs.replace(each, holds_stream=True) for each in park(4)]
    handler, job = Handler(messages, {1}), make_job(4)
    await job.run(messages, handler)
    assert (job.state, job.done, job.failed, job.waiting, job.left) == ("done", 1, 1, 2, 0)
    assert handler.tried == [0, 1, 1]


async def test_what_somebody_else_changed_is_not_counted_as_done() -> None:
    messages = park(3)
    handler, job = Handler(messages[1:], set()), make_job(3)
    await job.run(messages, handler)
    assert (job.done, job.gone, job.failed) == (2, 1, 0)


async def test_a_stopped_job_leaves_the_rest() -> None:
    messages = park(3 * CHUNK)
    job = make_job(len(messages))

    async def stop_after_first(some: Sequence[ParkedMessage]) -> int:
        job.stop()
        return len(some)

    await job.run(messages, stop_after_first)
    assert (job.state, job.done, job.left) == ("stopped", CHUNK, 2 * CHUNK)


async def test_a_job_is_kept_while_it_runs_and_found_afterwards() -> None:
    jobs, job, finished = Jobs(), make_job(1), list[Job]()

    async def finish(ended: Job) -> None:
        finished.append(ended)

    messages = park(1)
    jobs.start(job, messages, Handler(messages, set()), finish)
    assert jobs.list_running() == [job]
    await job.wait(5.0)
    assert job.is_over
    assert jobs.get(job.id) is job
    assert jobs.get("other") is None


@pytest.mark.parametrize("total", [60, 80])
async def test_old_jobs_are_forgotten(total: int) -> None:
    jobs = Jobs()

    async def finish(ended: Job) -> None:
        """Do nothing."""

    messages = park(1)
    started = [make_job(1) for _ in range(total)]
    for job in started:
        jobs.start(job, messages, Handler(messages, set()), finish)
        await job.wait(5.0)
    assert jobs.get(started[0].id) is None
    assert jobs.get(started[-1].id) is started[-1]
