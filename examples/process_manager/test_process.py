"""A way through the process that takes no database: its decisions are pure."""

from __future__ import annotations

from messagedb.testing import given

from .messages import CancellationDue, Ended, PaymentDue, Shipped, ShippingDue
from .process import DECIDER, Event


def test_a_shipment_that_left_before_it_could_be_cancelled_is_not_refunded() -> None:
    late: list[Event] = [PaymentDue("piano", 900), ShippingDue(), CancellationDue()]
    given(DECIDER, *late).when(Shipped()).then(Ended("shipped late"))
