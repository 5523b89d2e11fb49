"""The tree of errors: one base, pickles, and error texts with the state and the fix."""

from __future__ import annotations

import copy
import pickle
import re
import traceback
from pathlib import Path
from typing import assert_type

import pytest

import messagedb
from messagedb import _errors, errors
from messagedb._messages.message import NewMessage

MESSAGE = NewMessage("A", {"n": 1})
EXAMPLES = [
    errors.ValidationError("no"),
    errors.WrongExpectedVersionError("a-1", 3, 5),
    errors.WrongExpectedVersionError("a-1", messagedb.STREAM_EXISTS, -1),
    errors.DuplicateMessageError(MESSAGE.id, "a-1", "b-1", 7),
    errors.DuplicateMessageError(MESSAGE.id, "a-1"),
    errors.MessageDecodeError("a-1", 3, 17, "data", "too deep"),
    errors.StoreUnavailableError("down"),
    errors.PoolTimeoutError("full"),
    errors.EmbeddedServerError("no binaries"),
    errors.OutcomeUnknownError("a-1", (MESSAGE,), messagedb.ANY, "server closed the connection"),
    errors.RetryableError("deadlock", "40P01"),
    errors.TransactionAbortedError("aborted"),
    errors.TransactionTimeoutError("late"),
    errors.HandlerError("a:position-x", "a-1", 3, 17, "Opened", 5, "ValueError: no"),
    errors.ParkingLimitError(
        "a:position-x", "a-1", 3, 17, "Opened", 5, "no", limit=1024, is_of_streams=False
    ),
    errors.ParkingLimitError(
        "a:position-x", "a-1", 3, 17, "Opened", 5, "no", limit=1024, is_of_streams=True
    ),
    errors.ReadModelError('"public"."balances_v1"', "its handler failed. Repair it."),
    errors.PositionConflictError("taken"),
    errors.LostHistoryError("a:position-x", 17, str(MESSAGE.id), None, 12, 15),
    errors.LostHistoryError("a:position-x", 17, None, None, None, 15),
    errors.IncompatibleServerError("old"),
    errors.ServerError("odd", "XX000"),
]


def test_every_error_of_the_tree_has_an_example_here() -> None:
    assert {type(error).__name__ for error in EXAMPLES} == set(errors.__all__) - {"MessageDBError"}
    # All are at the top but three, which are kinds of one that is, and one of a rare feature.
    assert set(errors.__all__) - set(messagedb.__all__) == {
        "EmbeddedServerError",
        "ParkingLimitError",
        "PoolTimeoutError",
        "ReadModelError",
    }


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_errors_pickle_and_copy_with_all_they_carry(error: errors.MessageDBError) -> None:
    assert isinstance(error, errors.MessageDBError)
    for duplicate in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(duplicate) is type(error)
        assert str(duplicate) == str(error)
        assert duplicate.__dict__ == error.__dict__


def test_the_tree_is_as_its_docstring_draws_it() -> None:
    assert issubclass(errors.ValidationError, ValueError)
    for name in ("PoolTimeoutError", "EmbeddedServerError"):
        assert issubclass(getattr(errors, name), errors.StoreUnavailableError)
    for name in errors.__all__:
        assert re.search(rf"^[ │├└─]+{name}\b", str(errors.__doc__), re.MULTILINE), name


def test_texts_say_what_is_true_and_what_to_do() -> None:
    wrong = str(errors.WrongExpectedVersionError("a-1", 3, 5))
    assert "'a-1' is at version 5" in wrong
    assert "Nothing was written" in wrong
    assert "has no messages" in str(errors.WrongExpectedVersionError("a-1", 3, -1))
    assert "NO_STREAM (-1)" in str(errors.WrongExpectedVersionError("a-1", -1, 3))
    duplicate = str(errors.DuplicateMessageError(MESSAGE.id, "a-1", "b-1", 7))
    assert "'b-1' at position 7" in duplicate
    assert "'a-1'" in duplicate
    unknown = errors.OutcomeUnknownError("a-1", (MESSAGE,), messagedb.ANY, "cut")
    assert "error.messages again" in str(unknown)
    assert unknown.messages == (MESSAGE,)


def test_each_class_has_the_http_status_of_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "errors.md"
    rows = re.findall(r"^\| (`.+`) \| (\d{3}) \| .+ \|$", page.read_text(encoding="utf-8"), re.M)
    documented = {
        name: int(status) for names, status in rows for name in re.findall(r"`(\w+)`", names)
    }
    assert documented == {name: getattr(errors, name).http_status for name in errors.__all__}


def test_an_http_status_is_that_of_the_class_also_of_users_subclasses() -> None:
    class FullError(errors.ValidationError):
        http_status = 413

    assert_type(errors.ValidationError.http_status, int)
    assert FullError("too large").http_status == 413
    assert pickle.loads(pickle.dumps(errors.RetryableError("deadlock"))).http_status == 503


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_traceback_ends_with_the_way_to_the_errors_page(
    error: errors.MessageDBError, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_errors, "DOCS_URL", "")
    name = type(error).__name__
    assert error.docs_url.endswith(f"errors/{name}.html")
    note = f"help: messagedb explain {name}\n"
    assert "messagedb explain" not in str(error)
    for each in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert traceback.format_exception(each)[-1] == note
        each.add_note("at order 7")
        again = pickle.loads(pickle.dumps(each))
        lines = traceback.format_exception(each)
        assert lines[-2:] == [note, "at order 7\n"]
        assert traceback.format_exception(again)[-2:] == lines[-2:]
    monkeypatch.setattr(_errors, "DOCS_URL", "https://docs.example/")
    address = f"docs: https://docs.example/errors/{name}.html\n"
    assert traceback.format_exception(copy.copy(error))[-1] == address


def test_an_error_that_is_not_shown_has_no_note_yet() -> None:
    error = errors.WrongExpectedVersionError("a-1", 3, 5)
    assert "__notes__" not in error.__dict__


def test_a_users_subclass_has_the_page_of_its_base() -> None:
    class FullError(errors.PoolTimeoutError):
        pass

    assert FullError("full").docs_url.endswith("errors/PoolTimeoutError.html")
    assert "PoolTimeoutError" in _errors.name_page(FullError("full"))


def test_503_is_said_only_where_nothing_is_stored() -> None:
    for error in EXAMPLES:
        if error.http_status == 503:
            state = re.search(r"In the database: (.+?)(?:\n\n|\Z)", str(type(error).__doc__), re.S)
            assert state is not None
            assert re.match(r"nothing (?:of|was)", state[1]), type(error)
