"""The checks of ``nox -s faults`` find an operation that loses, lies, leaks or takes too long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from faults.catalog import FAULTS, Fault, Site
from faults.server import FaultServer

from messagedb import NewMessage, OutcomeUnknownError, StoreUnavailableError
from messagedb.errors import EmbeddedServerError
from messagedb.testing import FaultProxy
from tests._async import fault_case
from tests._async.fault_operations import OPERATIONS, write_message
from tests._async.fault_scene import Operation, Scene
from tests.support.background_async import sleep

NO_FAULT = Fault("none")


@pytest.fixture(scope="module")
def server() -> Iterator[FaultServer]:
    """Return a server of the tests' own."""
    try:
        server = FaultServer()
    except EmbeddedServerError as error:
        pytest.skip(f"no programs to run a server of the test's own: {error}")
    yield server
    server.close()


@pytest.fixture
def site(server: FaultServer, category: str) -> Iterator[Site]:
    """Return a place for one case."""
    with FaultProxy(server.url()) as proxy:
        yield Site(server, proxy, category)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the checks wait for less than in a run."""
    monkeypatch.setattr(fault_case, "HEALS", 3.0)


async def test_a_case_without_a_fault_is_a_success(site: Site) -> None:
    figures, problems = await fault_case.run_case(site, OPERATIONS["write_message"], NO_FAULT)
    assert problems == []
    assert figures.outcomes == {"success": 1}
    assert figures.failures(is_ci=True) == []


@pytest.mark.parametrize("name", ["cut before the answer 1", "server crash", "stall both, briefly"])
async def test_a_fault_is_undone(site: Site, name: str) -> None:
    (fault,) = (fault for fault in FAULTS if fault.name == name)
    for _ in range(2):
        operation = OPERATIONS["write_messages"]
        figures, problems = await fault_case.run_case(site, operation, fault)
        assert problems == []
        assert figures.injected == 1
        site.server.empty()


async def only_acknowledge(scene: Scene) -> None:
    scene.ledger.messages(1)
    scene.ledger.acknowledge()


async def write_twice(scene: Scene) -> None:
    await write_message(scene)
    copy = NewMessage("Marked", scene.ledger.messages(1)[0].data)
    await scene.client.write_message(scene.stream, copy)


async def write_and_deny(scene: Scene) -> None:
    await scene.client.write_message(scene.stream, scene.ledger.messages(1)[0])
    raise StoreUnavailableError("nothing is stored")


async def raise_without_type(scene: Scene) -> None:
    raise OSError("no route to host")


async def give_up(scene: Scene) -> None:
    raise StoreUnavailableError("a consumer would wait")


kept: list[Any] = []


async def keep_a_connection(scene: Scene) -> None:
    kept.append(psycopg.connect(scene.url))


async def take_long(scene: Scene) -> None:
    await sleep(fault_case.TIMEOUT + 1.0 + fault_case.MARGIN + 0.1)


async def skip_a_message(scene: Scene) -> list[str]:
    return ["handled all but one"]


async def do_nothing(scene: Scene) -> None:
    return


WRONG = {
    "lost": Operation(only_acknowledge),
    "doubled": Operation(write_twice),
    "false_claims": Operation(write_and_deny),
    "leaks": Operation(keep_a_connection),
    "outlived": Operation(take_long),
}


@pytest.mark.parametrize("name", WRONG)
async def test_what_is_wrong_is_found(site: Site, name: str) -> None:
    figures, problems = await fault_case.run_case(site, WRONG[name], NO_FAULT)
    while kept:
        kept.pop().close()
    assert getattr(figures, name)
    assert problems
    assert figures.failures(is_ci=False)


@pytest.mark.parametrize(
    "operation",
    [
        Operation(raise_without_type),
        Operation(do_nothing, verify=skip_a_message),
        Operation(give_up, waits=True),
    ],
    ids=["error without a type", "verify", "a consumer that does not wait"],
)
async def test_other_wrong_outcomes_are_false_claims(site: Site, operation: Operation) -> None:
    figures, problems = await fault_case.run_case(site, operation, NO_FAULT)
    assert (figures.false_claims, len(problems)) == (1, 1)


async def test_a_pool_that_does_not_heal_is_found(site: Site) -> None:
    refused = Fault("refused for good", begin=lambda site: site.proxy.refuse())
    figures, _ = await fault_case.run_case(site, OPERATIONS["write_message"], refused)
    assert figures.not_healed == 1
    assert figures.outcomes.keys() <= {OutcomeUnknownError.__name__, "PoolTimeoutError"}
