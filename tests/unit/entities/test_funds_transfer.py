"""The deciders of the funds-transfer example: each command in each state."""

from __future__ import annotations

import itertools

import pytest

from examples.funds_transfer import accounts, transfers
from examples.funds_transfer.accounts import Account, Received
from examples.funds_transfer.messages import (
    Cancelled,
    Debited,
    Deposit,
    Deposited,
    Initiated,
    Open,
    Opened,
    Transfer,
    Transferred,
    Withdraw,
    WithdrawalRejected,
    Withdrawn,
)
from examples.funds_transfer.transfers import FundsTransfer
from messagedb.testing import given

OPENED = Opened("ada", "Ada", 10)
DEPOSITED = Deposited("ada", 5, 20)


@pytest.mark.parametrize(
    ("history", "command", "event", "state"),
    [
        ((), Open("ada", "Ada"), Opened("ada", "Ada", 30), Account("Ada", 0, 30)),
        ((OPENED,), Deposit("ada", 7), Deposited("ada", 7, 30), Account("Ada", 7, 30)),
        ((), Deposit("ada", 7), Deposited("ada", 7, 30), Account("", 7, 30)),
        ((OPENED, DEPOSITED), Withdraw("ada", 5), Withdrawn("ada", 5, 30), Account("Ada", 0, 30)),
        (
            (OPENED, DEPOSITED),
            Withdraw("ada", 6),
            WithdrawalRejected("ada", 6, 30),
            Account("Ada", 5, 30),
        ),
        ((), Withdraw("ada", 1), WithdrawalRejected("ada", 1, 30), Account("", 0, 30)),
    ],
)
def test_a_command_to_an_account(
    history: tuple[accounts.Event, ...],
    command: accounts.Command,
    event: accounts.Event,
    state: Account,
) -> None:
    once = given(accounts.DECIDER, *history).when(Received(command, 30))
    once.then(event).then_state(state)
    # The same command again, and an earlier one: both were handled.
    for sequence in (30, 29):
        again = given(accounts.DECIDER, *history, event).when(Received(command, sequence))
        again.then().then_state(state)


def test_an_account_is_opened_once() -> None:
    again = given(accounts.DECIDER, OPENED).when(Received(Open("ada", "Bob"), 30))
    again.then().then_state(Account("Ada", 0, 10))


INITIATED = Initiated("t1", "ada", "bob", 5)
HISTORIES: dict[str, tuple[transfers.Event, ...]] = {
    "new": (),
    "initiated": (INITIATED,),
    "debited": (INITIATED, Debited("t1")),
    "transferred": (INITIATED, Debited("t1"), Transferred("t1")),
    "cancelled": (INITIATED, Cancelled("t1")),
}
COMMANDS: dict[str, transfers.Command] = {
    "transfer": Transfer("t1", "ada", "bob", 5),
    "withdrawn": Withdrawn("ada", 5, 30),
    "rejected": WithdrawalRejected("ada", 5, 30),
    "deposited": Deposited("bob", 5, 40),
}
STEPS: dict[tuple[str, str], transfers.Event] = {
    ("new", "transfer"): INITIATED,
    ("initiated", "withdrawn"): Debited("t1"),
    ("initiated", "rejected"): Cancelled("t1"),
    ("debited", "deposited"): Transferred("t1"),
}


@pytest.mark.parametrize(("status", "command"), [*itertools.product(HISTORIES, COMMANDS)])
def test_a_transfer_takes_each_step_once_and_in_order(status: str, command: str) -> None:
    before = given(transfers.DECIDER, *HISTORIES[status])
    event = STEPS.get((status, command))
    outcome = before.when(COMMANDS[command])
    if event is None:
        outcome.then().then_state(before.state())
    else:
        outcome.then(event)
        assert HISTORIES[outcome.state.status] == (*HISTORIES[status], event)


def test_the_states_of_a_transfer() -> None:
    for status, history in HISTORIES.items():
        state = given(transfers.DECIDER, *history).state()
        assert state.status == status
        if history:
            rest = (state.id, state.from_account_id, state.to_account_id, state.amount)
            assert rest == ("t1", "ada", "bob", 5)
    given(transfers.DECIDER).then_state(FundsTransfer())
