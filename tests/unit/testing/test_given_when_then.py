"""Given, when, then over deciders: what does not hold says what came instead."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from messagedb.testing import given
from tests._async.accounts import (
    DECIDER,
    Account,
    Deposit,
    Deposited,
    Ledger,
    Ledgers,
    Open,
    Opened,
    Refused,
    Withdraw,
    Withdrawn,
)


def test_true_expectations_pass() -> None:
    deposited = given(DECIDER, Opened("Ada")).when(Deposit(5))
    assert deposited.then(Deposited(5)).then_state(Account("Ada", 5, 2)) is deposited
    assert (deposited.events, deposited.error) == ((Deposited(5),), None)
    given(DECIDER, Deposited(5)).when(Withdraw(4)).then(Withdrawn(2), Withdrawn(2))
    given(DECIDER, Opened("Ada")).when(Open("Bob")).then().then_state(Account("Ada", 0, 1))
    given(DECIDER).when(Withdraw(9)).then_raises(Refused, match="9 of 0")
    given(DECIDER, Opened("Ada"), Deposited(5)).then_state(Account("Ada", 5, 2))
    given(Ledgers(), Deposited(5), Withdrawn(2)).then_state(Ledger([5, -2]))
    assert given(DECIDER).state() == Account()


def test_false_expectations_fail_with_a_text() -> None:
    opened = given(DECIDER, Opened("Ada"))
    failures: list[tuple[Callable[[], object], str]] = [
        (
            lambda: opened.when(Deposit(5)).then(Deposited(6)),
            "expected Deposited(amount=6), but got Deposited(amount=5)",
        ),
        (
            lambda: opened.when(Deposit(5)).then(),
            "expected no events, but got Deposited(amount=5)",
        ),
        (
            lambda: opened.when(Withdraw(9)).then(Withdrawn(9)),
            "expected Withdrawn(amount=9), but Refused: 9 of 0 was raised",
        ),
        (
            lambda: opened.when(Deposit(5)).then_raises(Refused),
            "expected Refused, but got Deposited(amount=5)",
        ),
        (
            lambda: opened.when(Withdraw(9)).then_raises(KeyError),
            "expected KeyError, but Refused: 9 of 0 was raised",
        ),
        (
            lambda: opened.when(Withdraw(9)).then_raises(Refused, match="8 of"),
            "Refused: 9 of 0 does not match '8 of'",
        ),
        (lambda: opened.then_state(Account("Bob")), "expected state Account(owner='Bob'"),
        (
            lambda: opened.when(Deposit(5)).then_state(Account("Ada")),
            "but it is Account(owner='Ada', balance=5",
        ),
        (
            lambda: opened.when(Withdraw(9)).then_state(Account("Ada")),
            "but Refused: 9 of 0 was raised",
        ),
    ]
    for failing, text in failures:
        with pytest.raises(AssertionError, match=re.escape(text)):
            failing()


def test_a_projection_decides_nothing() -> None:
    with pytest.raises(TypeError, match="pass a decider"):
        given(Ledgers()).when(Deposit(5))  # type: ignore[arg-type]
