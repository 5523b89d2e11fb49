"""Reading what Patroni says of its cluster."""

from __future__ import annotations

import json

import pytest

from tests.support.patroni.rest import members, not_whole

NODES = [
    {"name": "a", "role": "leader", "state": "running", "timeline": 2},
    {"name": "b", "role": "sync_standby", "state": "streaming", "timeline": 2, "lag": 0},
    {"name": "c", "role": "replica", "state": "running", "timeline": 2, "lag": 0},
]


def lack(*changes: tuple[int, dict[str, object]], count: int = 3) -> str:
    nodes = [dict[str, object](node) for node in NODES]
    for number, change in changes:
        nodes[number] |= change
    return not_whole(members(json.dumps({"members": nodes})), count)


def test_a_cluster_whose_nodes_all_follow_is_whole() -> None:
    assert lack() == ""


@pytest.mark.parametrize(
    ("number", "change", "said"),
    [
        (0, {"role": "replica"}, "0 leaders"),
        (2, {"role": "leader"}, "2 leaders"),
        (1, {"role": "replica"}, "no synchronous standby"),
        (2, {"state": "starting"}, "c is starting"),
        (2, {"timeline": 1}, "c is on timeline 1"),
    ],
)
def test_it_says_what_is_missing(number: int, change: dict[str, object], said: str) -> None:
    assert lack((number, change)) == said


def test_a_node_that_is_not_back_is_missing() -> None:
    assert lack(count=4) == "3 of 4 nodes"


def test_a_node_that_starts_has_no_timeline_yet() -> None:
    answer = json.dumps({"members": [{"name": "a", "role": "replica", "state": "starting"}]})
    assert members(answer)[0].timeline == 0
