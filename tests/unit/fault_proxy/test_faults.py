"""Decisions of a fault proxy at each piece of a conversation."""

from __future__ import annotations

import struct

import pytest

from messagedb._fault_proxy.faults import Act, Action, Conversation, FaultPlan, PointFault, Send
from messagedb._fault_proxy.pace import Pace

BEGIN = struct.pack("!ii", 8, 196608)
QUERY = b"Q" + struct.pack("!i", 13) + b"select 1\0"
OTHER = b"Q" + struct.pack("!i", 13) + b"select 2\0"
READY = b"Z" + struct.pack("!i", 5) + b"I"
HALF = len(QUERY) // 2


def converse(plan: FaultPlan) -> Conversation:
    """Return a conversation whose session has begun."""
    talk = Conversation(plan, passes_encryption=False)
    armed, plan.fault = plan.fault, None
    assert talk.on_client(BEGIN) == [Send("requests", BEGIN)]
    assert talk.on_server(READY) == [Send("answers", READY)]
    plan.fault = armed
    return talk


@pytest.mark.parametrize(
    ("point", "delivered"),
    [("before_request", b""), ("within_request", QUERY[:HALF]), ("after_request", QUERY)],
)
def test_a_cut_of_a_request(point: str, delivered: bytes) -> None:
    plan = FaultPlan(PointFault("cut", point, b"select 1"))  # type: ignore[arg-type]
    talk = converse(plan)
    assert talk.on_client(OTHER) == [Send("requests", OTHER)]
    assert talk.on_client(QUERY[:4]) == []
    sent = [Send("requests", delivered)] if delivered else []
    act = Act("cut", "requests", delivers=bool(delivered))
    assert talk.on_client(QUERY[4:]) == [*sent, act]
    assert plan.injected == 1


@pytest.mark.parametrize(
    ("point", "first", "last"),
    [
        ("before_answer", b"", b""),
        ("within_answer", b"", READY[:3]),
        ("after_answer", READY[:4], READY[4:]),
    ],
)
@pytest.mark.parametrize("action", ["cut", "drop"])
def test_a_fault_of_an_answer(point: str, first: bytes, last: bytes, action: Action) -> None:
    plan = FaultPlan(PointFault(action, point, b"select 1"))  # type: ignore[arg-type]
    talk = converse(plan)
    assert talk.on_client(OTHER + QUERY) == [Send("requests", OTHER), Send("requests", QUERY)]
    assert talk.on_server(READY) == [Send("answers", READY)]
    assert talk.on_server(READY[:4]) == ([Send("answers", first)] if first else [])
    assert plan.injected == 0
    act = Act(action, "answers", delivers=point != "before_answer")
    assert talk.on_server(READY[4:]) == [*([Send("answers", last)] if last else []), act]
    assert plan.injected == 1


def test_a_stall_keeps_what_comes_behind_it() -> None:
    talk = converse(FaultPlan(PointFault("stall", "within_request")))
    act = Act("stall", "requests", delivers=True)
    assert talk.on_client(QUERY) == [
        Send("requests", QUERY[:HALF]),
        act,
        Send("requests", QUERY[HALF:]),
    ]
    talk = converse(FaultPlan(PointFault("stall", "before_answer")))
    talk.on_client(QUERY)
    assert talk.on_server(READY) == [
        Act("stall", "answers", delivers=False),
        Send("answers", READY),
    ]


def test_so_many_requests_are_skipped_and_so_many_are_hit() -> None:
    plan = FaultPlan(PointFault("drop", "before_request", b"select", times=2, skip=1))
    talk = converse(plan)
    hits = [not isinstance(talk.on_client(QUERY)[0], Send) for _ in range(5)]
    assert hits == [False, True, True, False, False]


def test_a_request_that_had_begun_before_is_not_hit() -> None:
    plan = FaultPlan()
    talk = converse(plan)
    talk.on_client(QUERY[:6])
    plan.fault = PointFault("cut", "before_request", b"select 1")
    assert talk.on_client(QUERY[6:]) == [Send("requests", QUERY[6:])]
    assert talk.on_client(QUERY) == [Act("cut", "requests", delivers=False)]


def test_encryption_is_declined_unless_it_is_to_pass() -> None:
    asked = struct.pack("!ii", 8, 80877103)
    plan = FaultPlan()
    assert Conversation(plan, passes_encryption=False).on_client(asked) == [Send("answers", b"N")]
    talk = Conversation(plan, passes_encryption=True)
    assert talk.on_client(asked) == [Send("requests", asked)]
    assert talk.on_server(b"S") == [Send("answers", b"S")]
    assert talk.on_client(b"\x16secret") == [Send("requests", b"\x16secret")]
    assert talk.on_server(b"\x16secret") == [Send("answers", b"\x16secret")]


def test_the_pace_of_a_network() -> None:
    slow = Pace(bytes_per_second=100.0, latency=0.5)
    assert slow.chunk == 5
    assert slow.send(10.0, 0.0, 50) == (11.0, 10.5)
    assert slow.send(10.0, 10.5, 50) == (11.5, 11.0)
    assert Pace(latency=0.5).send(10.0, 0.0, 50) == (10.5, 10.0)
