"""The pure parts of ``nox -s faults``: its check finds each kind of wrong outcome."""

from __future__ import annotations

import pytest
from faults.catalog import FAULTS
from faults.claims import judge
from faults.figures import ZERO, Figures
from faults.ledger import Ledger
from faults.matrix import VARIANTS, long_cases, short_cases

from messagedb import NewMessage, OutcomeUnknownError, StoreUnavailableError
from messagedb.errors import TransactionTimeoutError
from tests._async.fault_operations import OPERATIONS
from tests._sync.fault_operations import OPERATIONS as SYNC_OPERATIONS

UNKNOWN = OutcomeUnknownError("a-1", (NewMessage("Marked"),), -1, "lost")
NAMES = list(OPERATIONS)


def stored(ledger: Ledger, *more: str) -> dict[str, int]:
    """Return a database that has the seeds of a ledger, and these marks."""
    marks = [*ledger.seeds, *more]
    return {mark: marks.count(mark) for mark in marks}


def test_what_is_acknowledged_has_to_be_stored_once() -> None:
    ledger = Ledger("a")
    mark = ledger.mark()
    ledger.acknowledge()
    assert judge(None, ledger, stored(ledger, mark)).problems == []
    assert judge(None, ledger, stored(ledger)).lost == 1
    assert judge(None, ledger, stored(ledger, mark, mark)).doubled == 1
    assert judge(None, ledger, {mark: 1}).lost == len(ledger.seeds)


@pytest.mark.parametrize("kind", [StoreUnavailableError, TransactionTimeoutError])
def test_an_error_that_says_nothing_is_stored_has_to_be_right(kind: type[Exception]) -> None:
    ledger = Ledger("a")
    mark = ledger.mark()
    assert judge(kind("no"), ledger, stored(ledger)).problems == []
    (problem,) = judge(kind("no"), ledger, stored(ledger, mark)).problems
    assert "says that nothing is stored, and 1 are" in problem


def test_of_an_unknown_outcome_both_are_right_and_two_copies_are_not() -> None:
    ledger = Ledger("a")
    mark = ledger.mark()
    assert judge(UNKNOWN, ledger, stored(ledger)).problems == []
    assert judge(UNKNOWN, ledger, stored(ledger, mark)).problems == []
    assert judge(UNKNOWN, ledger, stored(ledger, mark, mark)).doubled == 1


def test_other_errors_and_other_messages_are_problems() -> None:
    ledger = Ledger("a")
    (problem,) = judge(OSError("no"), ledger, stored(ledger)).problems
    assert "not a typed error: OSError" in problem
    (problem,) = judge(None, ledger, stored(ledger, "another")).problems
    assert "nothing has sent" in problem


def test_each_of_several_writes_has_to_be_as_its_own_outcome_says() -> None:
    ledger = Ledger("a")
    kept, refused, unknown = (ledger.mark() for _ in range(3))
    ledger.settle([kept], None)
    ledger.settle([refused], StoreUnavailableError("no"))
    ledger.settle([unknown], UNKNOWN)
    with pytest.raises(OutcomeUnknownError):
        ledger.raise_first()
    assert judge(UNKNOWN, ledger, stored(ledger, kept)).problems == []
    assert judge(UNKNOWN, ledger, stored(ledger, kept, unknown)).problems == []
    assert judge(UNKNOWN, ledger, stored(ledger, unknown)).lost == 1
    (problem,) = judge(UNKNOWN, ledger, stored(ledger, kept, refused)).problems
    assert "StoreUnavailableError says that a message is not stored" in problem
    ledger.settle([ledger.mark()], OSError("no"))
    with pytest.raises(OSError, match="no"):
        ledger.raise_first()
    (problem,) = judge(UNKNOWN, ledger, stored(ledger, kept)).problems
    assert "not a typed error: OSError" in problem


def test_a_ledger_sends_the_same_messages_again() -> None:
    ledger = Ledger("a")
    first = ledger.messages(2)
    assert ledger.messages(2) == first
    assert ledger.sent == [message.data["mark"] for message in first]
    ledger.acknowledge()
    assert (ledger.sent, len(ledger.acknowledged)) == ([], 2)


def test_the_long_form_is_everything_and_the_short_one_covers_it() -> None:
    cases = list(long_cases(NAMES))
    assert len(cases) == len(FAULTS) * len(NAMES) * len(VARIANTS) == len(set(map(str, cases)))
    short = list(short_cases(NAMES))
    assert short == list(short_cases(NAMES))
    assert {case.fault.name for case in short} == {fault.name for fault in FAULTS}
    assert {case[1:] for case in short} == {(name, each) for name in NAMES for each in VARIANTS}
    assert list(SYNC_OPERATIONS) == NAMES
    assert all(name in NAMES for fault in FAULTS for name in fault.suits)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("name", ZERO)
def test_each_figure_that_has_to_be_zero_fails_the_run(name: str) -> None:
    good = Figures(cases=1, injected=1, acknowledged=1)
    assert good.failures(is_ci=True) == []
    setattr(good, name, 1)
    assert len(good.failures(is_ci=False)) == 1


def test_a_fault_that_cannot_be_caused_fails_in_ci_only() -> None:
    figures = Figures(cases=1, injected=1, acknowledged=1, not_run=1)
    assert figures.failures(is_ci=False) == []
    assert len(figures.failures(is_ci=True)) == 1
    assert Figures().failures(is_ci=False) == ["nothing was tried"]


def test_figures_add_up() -> None:
    total = Figures(cases=1, lost=2, outcomes={"success": 1})
    total.add(Figures(cases=2, lost=1, outcomes={"success": 1, "OutcomeUnknownError": 1}))
    assert (total.cases, total.lost) == (3, 3)
    assert total.outcomes == {"success": 2, "OutcomeUnknownError": 1}
    assert total.counts()["lost"] == 3
    assert len(total.lines()) == len(total.counts())
