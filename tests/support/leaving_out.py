"""The clients' cases that cannot pass with a pooler, role or schema, each with the reason."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tests.support.setup import Setup

PREFIX: Final = "not in this cell: "
"""The beginning of the reasons of skipped tests, by which ``nox -s servers`` recognizes them."""

_POOLER: Final = {
    "test_a_condition_filters_and_leaves_the_session_at_off": "looks at a setting of its session",
    "test_the_same_id_in_another_stream_is_refused_and_names_both": "looks at the error of the "
    "function as the cause, and a pooled write inserts",
    "test_a_conflict_keeps_its_cause": "looks at the error of the function as the cause, and a "
    "pooled write inserts",
}

_TRANSACTION_POOLER: Final = {
    "test_statements_are_not_taken_for_prepared_when_the_lock_failed_before_them": "sets the "
    "lock_timeout of its session",
    "test_settings_of_the_connection_end_with_the_transaction": "sets the search_path of its "
    "session",
}


def get_reason(setup: Setup, test: str) -> str | None:
    """Return the reason why a test, by the name of its function, is left out; None if it is not."""
    for reasons in _choose(setup):
        if test in reasons:
            return PREFIX + reasons[test]
    return None


def _choose(setup: Setup) -> Iterator[dict[str, str]]:
    if setup.pooler:
        yield _POOLER
    if setup.pooler == "transaction":
        yield _TRANSACTION_POOLER
