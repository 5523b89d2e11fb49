"""Metrics in the text format of Prometheus, read by its own parser."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from prometheus_client.parser import text_string_to_metric_families

from messagedb._consumers.consumer_info import ConsumerInfo
from messagedb._consumers.counters import Counters
from messagedb._consumers.status import ConsumerStatus, build_status
from messagedb._metrics.instruments import (
    CONSUMERS,
    POOLS,
    STORED_CONSUMERS,
    Instrument,
    label_consumers,
)
from messagedb._metrics.prometheus import map_name, render_metrics, render_process
from messagedb.clients import PoolStats

HOSTILE = 'a"b\\n\\c{d}\n# TYPE x counter\nx 1é,='


def make_status(name: str, **changes: Any) -> ConsumerStatus:
    status = build_status(name, None, Counters(), datetime.now(UTC))
    return msgspec.structs.replace(status, **changes)


def parse(text: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Return labels and values of each metric by the names of its samples."""
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_a_process_shows_its_consumers_and_its_pool() -> None:
    status = make_status(
        "order:position-mail", state="retrying", lag_messages=7, lag_seconds=1.5, next_position=12
    )
    pool = PoolStats(
        pool_min=1, pool_max=8, pool_size=5, pool_available=3, groups_num=2, group_writes_num=9
    )
    found = parse(render_process([status], pool, "messagedb"))
    label = {"messaging_consumer_group_name": "order:position-mail"}
    assert found["messagedb_consumer_lag"] == [(label, 7)]
    assert found["messagedb_consumer_lag_time_seconds"] == [(label, 1.5)]
    assert found["messagedb_consumer_handled_total"] == [(label, 0)]
    states = {
        labels["messagedb_consumer_state"]: value
        for labels, value in found["messagedb_consumer_state"]
    }
    assert (states.pop("retrying"), set(states.values()), len(states)) == (1, {0}, 8)
    assert {
        labels["db_client_connection_state"]: value
        for labels, value in found["db_client_connection_count"]
    } == {"idle": 3, "used": 2}
    assert [value for _, value in found["messagedb_group_commit_writes_total"]] == [9]


def test_what_is_not_known_has_no_sample() -> None:
    found = parse(
        render_process([make_status("a")], PoolStats(pool_min=1, pool_max=1), "messagedb")
    )
    assert "messagedb_consumer_lag" not in found
    assert "messagedb_consumer_position" not in found
    assert "messagedb_consumer_state" in found
    assert render_metrics((CONSUMERS, [])) == ""


def test_a_hostile_name_is_one_value_of_a_label() -> None:
    found = parse(render_metrics((CONSUMERS, label_consumers([make_status(HOSTILE)]))))
    assert "x" not in found
    assert {
        labels["messaging_consumer_group_name"]
        for labels, _ in found["messagedb_consumer_handled_total"]
    } == {HOSTILE}


def test_a_store_shows_the_consumers_that_it_has_records_of() -> None:
    consumer = ConsumerInfo(
        name="order:position-mail",
        position_store="stream",
        category="order",
        identifier="mail",
        group_member=None,
        group_size=None,
        next_position=9,
        saved_at=None,
        pid=None,
        lag_messages=3,
        lag_seconds=2.25,
        parked_count=4,
    )
    found = parse(render_metrics((STORED_CONSUMERS, label_consumers([consumer]))))
    states = found.pop("messagedb_consumer_state")
    assert [labels["messagedb_consumer_state"] for labels, value in states if value] == ["not ours"]
    values = {name: value for name, [(_, value)] in found.items()}
    assert values == {
        "messagedb_consumer_lag": 3,
        "messagedb_consumer_lag_time_seconds": 2.25,
        "messagedb_consumer_position": 9,
        "messagedb_consumer_running": 0,
        "messagedb_consumer_parked_current": 4,
    }


@pytest.mark.parametrize("value", [0.0, 3.0, 1e300, float("inf"), float("-inf"), 0.1])
def test_each_number_is_read_back(value: float) -> None:
    instrument = Instrument("a.b", "gauge", "", "One.\nTwo \\ three.", lambda each: [(each, {})])
    text = render_metrics(((instrument,), [({}, value)]))
    assert parse(text) == {"a_b": [({}, value)]}
    (family,) = text_string_to_metric_families(text)
    assert family.documentation == "One.\nTwo \\ three."


def test_names_follow_the_rules_of_the_exporter() -> None:
    names = {each.name: map_name(each) for each in (*CONSUMERS, *POOLS)}
    assert names["messagedb.consumer.lag.time"] == "messagedb_consumer_lag_time_seconds"
    assert names["db.client.connection.timeouts"] == "db_client_connection_timeouts_total"
    assert names["db.client.connection.max"] == "db_client_connection_max"
    assert len(set(names.values())) == len(names)
