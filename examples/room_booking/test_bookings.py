"""The decisions alone: each case takes microseconds."""

from __future__ import annotations

from messagedb.testing import given

from .bookings import DECIDER
from .messages import Charged, Confirmed, Expired, PaidTooLate, PaymentTimedOut, Requested


def test_a_payment_after_the_timeout_is_not_lost() -> None:
    given(DECIDER, Requested("blue", 90), Expired()).when(Charged(90)).then(PaidTooLate(90))


def test_a_timeout_after_the_payment_changes_nothing() -> None:
    given(DECIDER, Requested("blue", 90), Confirmed()).when(PaymentTimedOut()).then()
