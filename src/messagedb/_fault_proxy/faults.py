"""Faults at a point of a request or its answer: the decision at each piece of a connection."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from .protocol import AnswerReader, Kind, RequestReader

__all__ = [
    "Act",
    "Action",
    "Conversation",
    "Direction",
    "FaultPlan",
    "FaultPoint",
    "PointFault",
    "Send",
]

FaultPoint = Literal[
    "before_request",
    "within_request",
    "after_request",
    "before_answer",
    "within_answer",
    "after_answer",
]
"""A point of a request and its answer, in the order of time."""

Direction = Literal["requests", "answers"]
Action = Literal["cut", "stall", "drop"]

NO_ENCRYPTION: Final = b"N"
"""The answer to a client that asks for TLS or GSSAPI encryption: no."""


@dataclass
class PointFault:
    """A fault that is to be caused at a point.

    Attributes:
        action: what happens there.
        point: of a request, or of its answer.
        marker: bytes that the request contains.
        times: how often it is still to be caused.
        skip: how many requests that contain the marker are still to pass before.
    """

    action: Action
    point: FaultPoint
    marker: bytes = b""
    times: int = 1
    skip: int = 0


@dataclass
class FaultPlan:
    """The fault that all connections of a proxy look for.

    Attributes:
        fault: the fault; None for none.
        injected: how many faults were caused.
    """

    fault: PointFault | None = None
    injected: int = 0

    def claim(self, request: bytes) -> PointFault | None:
        """Return the fault if it is to be caused at this request, and count it."""
        fault = self.fault
        if fault is None or not fault.times or fault.marker not in request:
            return None
        if fault.skip:
            fault.skip -= 1
            return None
        fault.times -= 1
        return fault


@dataclass(frozen=True)
class Send:
    """Bytes to deliver."""

    direction: Direction
    data: bytes


@dataclass(frozen=True)
class Act:
    """A fault to cause now, after the bytes before it are delivered.

    Attributes:
        action: what to do.
        direction: that of the point.
        delivers: False if a cut need not deliver anything before.
    """

    action: Action
    direction: Direction
    delivers: bool


class Conversation:
    """The requests and answers of one connection, and the fault that it waits for.

    Args:
        plan: the proxy's.
        passes_encryption: whether a client that asks for encryption gets the server's answer;
            otherwise it gets a no.
    """

    def __init__(self, plan: FaultPlan, *, passes_encryption: bool) -> None:
        self._plan = plan
        self._passes_encryption = passes_encryption
        self._requests, self._answers = RequestReader(), AnswerReader()
        self._negotiates = False
        self._held: bytearray | None = None  # the current request, if it is kept to its end
        self._is_within_request = False
        self._requested = self._answered = 0  # complete requests and answers
        self._fault: PointFault | None = None  # waits for the answer to the request …
        self._exchange = 0  # … of this number
        self._answer = bytearray()

    def on_client(self, data: bytes) -> list[Send | Act]:
        """Return what to do with what a client has sent."""
        steps: list[Send | Act] = []
        for piece in self._requests.feed(data):
            if piece.kind is Kind.NEGOTIATION and not self._passes_encryption:
                steps.append(Send("answers", NO_ENCRYPTION))
            elif piece.kind in (Kind.NEGOTIATION, Kind.OPAQUE):
                self._negotiates = piece.kind is Kind.NEGOTIATION
                steps.append(Send("requests", piece.data))
            else:
                self._read_request(piece.data, piece.kind, steps)
        return steps

    def on_server(self, data: bytes) -> list[Send | Act]:
        """Return what to do with what the server has sent."""
        if self._negotiates:
            self._negotiates = False
            self._requests.encrypted = data[:1] != NO_ENCRYPTION
            return [Send("answers", data)]
        if self._requests.encrypted:
            return [Send("answers", data)]
        steps: list[Send | Act] = []
        for piece in self._answers.feed(data):
            if self._fault is not None and self._exchange == self._answered:
                self._read_answer(self._fault, piece.data, piece.kind, steps)
            else:
                steps.append(Send("answers", piece.data))
            self._answered += piece.kind is Kind.END
        return steps

    def _read_request(self, data: bytes, kind: Kind, steps: list[Send | Act]) -> None:
        if not self._is_within_request:
            self._is_within_request = True
            self._held = None if self._plan.fault is None else bytearray()
        if self._held is None:
            steps.append(Send("requests", data))
        else:
            self._held += data
            if kind is not Kind.PART:
                self._release(bytes(self._held), steps)
                self._held.clear()
        if kind is Kind.END:
            self._is_within_request = False
            self._requested += 1

    def _release(self, request: bytes, steps: list[Send | Act]) -> None:
        fault = None if self._fault is not None else self._plan.claim(request)
        if fault is None:
            steps.append(Send("requests", request))
        elif fault.point in ("before_request", "within_request", "after_request"):
            whole = len(request)
            count = {"before_request": 0, "within_request": whole // 2}.get(fault.point, whole)
            if count:
                steps.append(Send("requests", request[:count]))
            steps.append(Act(fault.action, "requests", delivers=count > 0))
            # Of a stalled connection, the rest arrives when it is resumed.
            if fault.action == "stall" and count < whole:
                steps.append(Send("requests", request[count:]))
            self._plan.injected += 1
        else:
            self._fault, self._exchange = fault, self._requested
            steps.append(Send("requests", request))

    def _read_answer(
        self, fault: PointFault, data: bytes, kind: Kind, steps: list[Send | Act]
    ) -> None:
        if fault.point == "after_answer":
            steps.append(Send("answers", data))
        else:
            self._answer += data
        if kind is not Kind.END:
            return
        answer = bytes(self._answer)
        count = len(answer) // 2 if fault.point == "within_answer" else 0
        if count:
            steps.append(Send("answers", answer[:count]))
        steps.append(Act(fault.action, "answers", delivers=fault.point != "before_answer"))
        if fault.action == "stall" and count < len(answer):
            steps.append(Send("answers", answer[count:]))
        self._plan.injected += 1
        self._answer.clear()
        self._fault = None
