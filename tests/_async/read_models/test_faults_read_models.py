"""Read models whose connection is lost at each step: they go on, and each message counts once."""

from __future__ import annotations

import pytest

from messagedb import AsyncClient
from messagedb.testing import FaultProxy
from tests._async.load import COMMAND_TIMEOUT
from tests._async.model_schemas import ModelSchema
from tests._async.read_models.test_read_models import note, summed, sums
from tests.support.background_async import Background, eventually


@pytest.mark.parametrize(
    "marker",
    [
        "obj_description",
        "pg_advisory_xact_lock($1::int, $2::int)",
        "CREATE TABLE",
        "COMMENT ON TABLE",
        "INSERT INTO messagedb",
        "UPDATE messagedb",
        "DROP VIEW",
        "CREATE VIEW",
        "COMMENT ON VIEW",
    ],
)
@pytest.mark.parametrize("times", [1, 3])
async def test_an_answer_is_lost(
    client: AsyncClient,
    store_url: str,
    category: str,
    model_schema: ModelSchema,
    marker: str,
    times: int,
) -> None:
    await note(client, category, {"a": 1, "b": 2})
    await sums(client, category, 1).rebuild()
    await note(client, category, {"a": 10})
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(
            proxy.url, max_size=4, command_timeout=COMMAND_TIMEOUT, timeout=1.0
        ) as lossy:
            proxy.cut_at("before_answer", marker, times=times)
            second = sums(lossy, category, 2)
            run = Background(second.rebuild)
            assert await run.result()
            assert proxy.injected >= 1
    assert model_schema.rows() == [(1, "b", 2), (2, "a", 11)]


async def test_a_commit_is_lost_each_time(
    client: AsyncClient, store_url: str, category: str, model_schema: ModelSchema
) -> None:
    await note(client, category, {"a": 1, "b": 2})
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(
            proxy.url, max_size=4, command_timeout=COMMAND_TIMEOUT, timeout=1.0
        ) as lossy:
            proxy.cut_at("before_answer", "COMMIT\0", times=8)
            model = sums(lossy, category, 1)
            run = Background(model.run)
            await eventually(lambda: "sums" in model_schema.relations(), limit=20)
            await note(client, category, {"a": 10})
            await eventually(lambda: model_schema.rows() == [("a", 11), ("b", 2)], limit=20)
            assert proxy.injected == 8
            await model.stop()
            await run.result()
    assert model_schema.rows() == [("a", 11), ("b", 2)]


async def test_the_commit_of_a_list_is_lost(
    client: AsyncClient, store_url: str, category: str, model_schema: ModelSchema
) -> None:
    await note(client, category, {"a": 1, "b": 2})
    with FaultProxy(store_url) as proxy:
        async with AsyncClient(
            proxy.url, max_size=4, command_timeout=COMMAND_TIMEOUT, timeout=1.0
        ) as lossy:
            model = summed(lossy, category)
            run = Background(model.run)
            await eventually(lambda: "sums" in model_schema.relations(), limit=20)
            assert model_schema.rows() == [("a", 1), ("b", 2)]
            proxy.cut_at("before_answer", "COMMIT\0", times=3)
            for n in range(20):
                await note(client, category, {"a": n, "b": n})
            expected = [("a", 191), ("b", 192)]
            await eventually(lambda: model_schema.rows() == expected, limit=20)
            assert proxy.injected >= 1
            proxy.resume()
            await model.stop()
            await run.result()
    assert model_schema.rows() == [("a", 191), ("b", 192)]
