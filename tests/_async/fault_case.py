"""One case of ``nox -s faults``: an operation under a fault, and everything that is checked."""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable
from typing import Any

from faults.catalog import Fault, Site
from faults.claims import judge
from faults.figures import Figures
from faults.ledger import Ledger

from messagedb import (
    AsyncClient,
    MessageDBError,
    NewMessage,
    OutcomeUnknownError,
    WrongExpectedVersionError,
)
from messagedb._concurrency.backend_async import run_blocking
from tests._async.fault_scene import Operation, Scene
from tests.support.background_async import Background, count_tasks, eventually, sleep
from tests.support.outcome import Outcome, is_whole
from tests.support.store import sessions

TIMEOUT = 0.5
"""The client's ``timeout`` and ``command_timeout``; each call may take one second more."""

MARGIN = 1.5
"""Seconds that a call may take beyond that, on a busy machine."""

HEALS = 15.0
"""Seconds within which a pool is whole again, and a consumer goes on."""

KEPT_THREADS = ("asyncio_", "messagedb-watchdog")
"""Threads that a process keeps from their first use on, at most one or a few."""


def resources() -> dict[str, int]:
    """Return the numbers of tasks, threads and descriptors of this process."""
    names = [thread.name for thread in threading.enumerate()]
    return {
        "tasks": count_tasks(),
        "threads": sum(not name.startswith(KEPT_THREADS) for name in names),
        "descriptors": len(os.listdir("/proc/self/fd")),
    }


async def run_case(site: Site, operation: Operation, fault: Fault) -> tuple[Figures, list[str]]:
    """Run one case, and return its figures and the problems that were found."""
    ledger = Ledger(site.category)
    site.server.seed(site.category, ledger.seeds)
    before = resources()
    injected = site.proxy.injected
    figures, problems = Figures(cases=1), list[str]()
    client = AsyncClient(
        site.url,
        min_size=2,
        max_size=2,
        timeout=TIMEOUT,
        command_timeout=TIMEOUT,
        group_commit=operation.group_commit,
    )
    scene = Scene(client, site.category, site.url, ledger, fault.pause)
    try:
        outcome = await cause(site, operation, fault, scene)
        check_time(operation, fault, outcome, figures, problems)
        if operation.waits and isinstance(outcome.error, MessageDBError):
            figures.false_claims += 1
            problems.append(f"it waits for the store, and has not: {outcome.error}")
        await heal(scene, operation, outcome.error, figures, problems)
    finally:
        await client.close()
    error = outcome.error
    name = "success" if error is None else type(error).__name__
    figures.outcomes[name] = 1
    await check_leaks(site, before, figures, problems)
    verdict = judge(error, ledger, site.server.marks(site.category))
    figures.lost, figures.doubled = verdict.lost, verdict.doubled
    figures.false_claims += len(verdict.problems)
    problems += verdict.problems
    problems += [f"{verdict.lost} messages are lost"] if verdict.lost else []
    problems += [f"{verdict.doubled} messages are doubled"] if verdict.doubled else []
    figures.acknowledged = len(ledger.acknowledged)
    figures.injected = site.proxy.injected - injected if fault.is_planned else 1
    return figures, [f"{name}: {problem}" for problem in problems]


async def cause(site: Site, operation: Operation, fault: Fault, scene: Scene) -> Outcome[None]:
    """Run the operation under the fault, undo that, and return how it went."""
    try:
        await run_blocking(fault.prepare, site)
        await scene.client.open()
        await eventually(lambda: is_whole(scene.client), HEALS)
        await run_blocking(fault.begin, site)
        call = Background(operation.run, scene)
        site.has_ended = lambda: call.ended
        await run_blocking(fault.during, site)
        await run_blocking(site.wait, lambda: False, fault.seconds)
    finally:
        await run_blocking(fault.end, site)
    return await call.outcome(60.0)


def check_time(
    operation: Operation,
    fault: Fault,
    outcome: Outcome[Any],
    figures: Figures,
    problems: list[str],
) -> None:
    """Check that the operation has not outlived its timeout."""
    limit = operation.calls * (TIMEOUT + 1.0) + fault.pause + MARGIN
    if operation.waits:
        limit = fault.seconds + HEALS
    if outcome.seconds > limit:
        figures.outlived += 1
        problems.append(f"it took {outcome.seconds:.1f} s, and may take {limit:.1f} s")


async def heal(
    scene: Scene,
    operation: Operation,
    error: Exception | None,
    figures: Figures,
    problems: list[str],
) -> None:
    """Write again what may be stored, and see that the client works as before."""
    after = NewMessage("Marked", {"mark": scene.ledger.mark()})
    sent = [mark for mark in scene.ledger.sent if mark != after.data["mark"]]
    scene.ledger.sent = sent
    if not await succeeds(lambda: scene.client.write_message(f"{scene.category}After-1", after)):
        figures.not_healed += 1
        problems.append(f"no write was successful within {HEALS:.0f} s")
        return
    scene.ledger.acknowledged.append(after.data["mark"])
    if isinstance(error, OutcomeUnknownError):
        if scene.ledger.unknown:
            await settle_unknown(scene)
        elif await write_again(scene.client, error):
            scene.ledger.acknowledge()
        else:
            await operation.run(scene)
    if operation.verify is not None:
        found = await operation.verify(scene)
        figures.false_claims += len(found)
        problems += found
    try:
        await eventually(lambda: is_whole(scene.client), HEALS)
    except AssertionError:
        figures.not_healed += 1
        problems.append("the pool is not whole")


async def write_again(client: AsyncClient, error: OutcomeUnknownError) -> bool:
    """Write the messages of an error again; return False if it is that of a transaction."""
    name, version = error.stream_name, error.expected_version
    if name is None or version is None:
        return False
    await client.write_messages(name, list(error.messages), expected_version=version)
    return True


async def settle_unknown(scene: Scene) -> None:
    """Write again each of several writes whose outcome is unknown."""
    unknown, scene.ledger.unknown = scene.ledger.unknown, []
    for marks, error in unknown:
        refusal: Exception | None = None
        try:
            await write_again(scene.client, error)
        except WrongExpectedVersionError as wrong:
            # It was not stored, and a later command to its entity is.
            refusal = wrong
        scene.ledger.settle(marks, refusal)


async def succeeds(call: Callable[[], Any]) -> bool:
    """Repeat a call until it is successful, and return False if it never is."""
    until = time.monotonic() + HEALS
    while time.monotonic() < until:
        try:
            await call()
        except MessageDBError:
            await sleep(0.05)
        else:
            return True
    return False


async def check_leaks(
    site: Site, before: dict[str, int], figures: Figures, problems: list[str]
) -> None:
    """Compare the resources with those before the client, and look for its sessions."""

    def is_as_before() -> bool:
        gc.collect()
        return all(now <= before[name] for name, now in resources().items())

    def has_no_session() -> bool:
        return sessions(site.admin, site.category) == 0

    try:
        await eventually(is_as_before, HEALS)
    except AssertionError:
        figures.leaks += 1
        names = sorted(thread.name for thread in threading.enumerate())
        problems.append(f"resources were {before}, and are {resources()}; threads {names}")
    try:
        await eventually(has_no_session, HEALS)
    except AssertionError:
        figures.leaks += 1
        problems.append("sessions of the closed client are still on the server")
