"""Positions of consumers are translated to those of another node, from facts alone."""

from __future__ import annotations

import json
from typing import Any

import pytest

from messagedb._consumers.position_stores import derive_lease_keys
from messagedb._schema.move_plan import (
    Mark,
    Place,
    check_free,
    check_place,
    check_request,
    not_moving_error,
)
from messagedb._schema.move_positions import (
    check_records,
    derive_record_id,
    get_lease_key,
    list_places,
    list_position_categories,
    parse_records,
    parse_rows,
    translate,
)
from messagedb.errors import IncompatibleServerError

# The last message at or before a position of the old node, and the positions on the new one.
FOUND = {40: ("id4", 40), 45: ("id4", 40), 50: ("id5", 50)}
NEW = {"id4": 104, "id5": 105}


def record(**data: Any) -> tuple[Any, ...]:
    return "order:position-x", 7, "Recorded", json.dumps(data)


def move(rows: list[tuple[Any, ...]], mode: Any = "source") -> list[dict[str, Any]]:
    return [each.to_json()["d"] for each in translate(parse_records(rows), FOUND, NEW, mode)]


def test_a_position_is_that_of_the_same_message_on_the_other_node() -> None:
    rows = [
        record(position=40, messageId="id4", history="x:1", extra=[1]),
        record(position=50, messageId="id4", messagePosition=40),
        record(position=45, messageId="id5", messagePosition=50),
        record(position=45),
        record(position=39),
    ]
    assert list_places(parse_records(rows)) == [39, 40, 45, 50]
    assert move(rows) == [
        {"position": 104, "messageId": "id4", "extra": [1]},
        {"position": 105, "messageId": "id4", "messagePosition": 104},
        {"position": 104, "messageId": "id5", "messagePosition": 105},
        {"position": 104},
        {"position": 0},
    ]


def test_what_is_not_a_position_stays_as_it_is() -> None:
    rows = [
        record(position=0),
        record(position=True),
        record(position=40, resizedTo=4),
        record(),
        ("order:position-x", 1, "Noted", json.dumps({"position": 3})),
        ("order:position-x", 1, "Recorded", None),
        ("order:position-x", 1, "Recorded", "[1]"),
    ]
    assert parse_records(rows) == []


def test_a_position_without_the_id_of_its_message_is_refused() -> None:
    sure = parse_records([record(position=40, messageId="id4")])
    check_records(sure, FOUND, "refuse", "order")
    cases = [
        (record(position=40), "1 positions of consumers have no id"),
        (record(position=40, messageId="id5"), "a message that is not at its place"),
        (record(position=39, messageId="id4"), "a message that is not at its place"),
    ]
    for row, text in cases:
        unsure = parse_records([row])
        with pytest.raises(IncompatibleServerError, match=text):
            check_records([*sure, *unsure], FOUND, "refuse", "order")
        check_records(unsure, FOUND, "source", "order")
        assert move([row], "beginning") == [{"position": 0}]


def test_rows_of_the_table_are_of_the_category_by_name_report_or_id() -> None:
    rows = [
        ("order:position-a", 40, "id4", None, True),
        ("orders@1", 40, "id4", 40, False),
        ("mail:position-a", 40, "id9", 40, False),
        ("order:position-b", 0, None, None, True),
    ]
    found = parse_rows(rows, {"id4": 40})
    assert [each.name for each in found] == ["order:position-a", "orders@1"]
    assert [each.position for each in translate(found, FOUND, NEW, "refuse")] == [104, 104]


def test_the_names_and_keys_are_those_of_consumers() -> None:
    for name in ("order:position-x", "order:position", "order:command+position-x+0+3"):
        assert get_lease_key(name) == derive_lease_keys(f"message_store {name}")
    names = ["order", "order:position", "order:command+position", "order:command"]
    assert list_position_categories(names) == ["order:position", "order:command+position"]


def test_the_id_of_a_translated_position_is_the_same_each_time() -> None:
    values = {"s": "order:position-x", "v": 7}
    assert derive_record_id("order", values, 1) == derive_record_id("order", values, 1)
    assert derive_record_id("order", values, 1) != derive_record_id("order", values, 2)


def test_a_move_to_another_node_than_before_is_refused() -> None:
    request = check_request("order", "c", "refuse", 1)
    names = {0: "a", 1: "b", 2: "c"}
    check_place(Place(0, "placed", None), request, names)
    check_place(Place(0, "copying", 2), request, names)
    with pytest.raises(IncompatibleServerError, match="is being moved to node 'b'"):
        check_place(Place(0, "copying", 1), request, names)
    check_free(Mark(["order"], 9, "id", "retired"), request)
    with pytest.raises(IncompatibleServerError, match="node 'c' has messages of category 'order'"):
        check_free(Mark(["order"], 9, "id", None), request)
    assert "run the move again" in str(not_moving_error("order", True))
