"""How a transaction has ended whose COMMIT was not answered is decided without a database."""

from __future__ import annotations

import pytest

from messagedb._connection.history import Histories, ServerHistory
from messagedb._transactions.commit_proof import CommitProof, determine_status
from messagedb._transactions.options import COMMITTED, IN_PROGRESS, ROLLED_BACK, UNKNOWN

HERE = ServerHistory("00000001", "7", "100.5")
PROMOTED = ServerHistory("00000002", "7", "90.5")
CRASHED = ServerHistory("00000001", "7", "200.5")
PROOF = CommitProof(1000, HERE, 4711, "0190", 1000)


@pytest.mark.parametrize(
    ("status", "end"),
    [
        ("committed", COMMITTED),
        ("aborted", ROLLED_BACK),
        ("in progress", IN_PROGRESS),
        (None, UNKNOWN),
    ],
)
def test_the_servers_status_determines_the_outcome(status: str | None, end: str) -> None:
    assert determine_status(PROOF, HERE, status, False, None) == end


def test_a_commit_that_waits_for_a_standby_is_not_waited_for() -> None:
    assert determine_status(PROOF, HERE, "in progress", True, None) == UNKNOWN


@pytest.mark.parametrize("status", ["committed", "aborted", "in progress", None])
def test_on_another_server_the_id_is_of_another_transaction(status: str | None) -> None:
    assert determine_status(PROOF, PROMOTED, status, False, None) == UNKNOWN


def test_after_a_crash_committed_may_be_said_of_another_transaction() -> None:
    assert determine_status(PROOF, CRASHED, "committed", False, None) == UNKNOWN
    assert determine_status(PROOF, CRASHED, "aborted", False, None) == ROLLED_BACK


def test_a_row_of_the_very_transaction_proves_it_anywhere() -> None:
    assert determine_status(PROOF, PROMOTED, None, False, 1000) == COMMITTED
    assert determine_status(PROOF, PROMOTED, "aborted", False, 1000) == COMMITTED


def test_the_same_message_written_by_another_transaction_proves_nothing() -> None:
    assert determine_status(PROOF, PROMOTED, "committed", False, 2000) == UNKNOWN


def test_without_a_known_row_no_row_proves_anything() -> None:
    assert determine_status(CommitProof(1000, HERE), PROMOTED, "committed", False, None) == UNKNOWN


@pytest.mark.parametrize(
    "history", [ServerHistory(), ServerHistory(None, "7", "1"), ServerHistory("00000001", "7")]
)
def test_an_unreadable_history_counts_as_changed(history: ServerHistory) -> None:
    assert not history.is_same_as(history)
    histories = Histories()
    assert histories.get_number(history) != histories.get_number(history)
    assert determine_status(CommitProof(1, history), history, "committed", False, None) == UNKNOWN


def test_each_history_has_one_number() -> None:
    histories = Histories()
    numbers = [histories.get_number(each) for each in (HERE, PROMOTED, HERE, CRASHED, PROMOTED)]
    assert numbers == [1, 2, 1, 3, 2]
