"""The clients' cases that differ through PL/Proxy: each with the reason, and the error it ends in.

``nox -s conformance`` runs the cases of ``THROUGH_NODES`` in noxfile.py with two nodes. The others
run with ``MESSAGEDB_TEST_SCHEMA=nodes-2`` on a PostgreSQL that has PL/Proxy. A case that is listed
here must end with the error of its entry: one that passes fails the run, and so does one that ends
otherwise. The page "Several nodes" has each difference.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import psycopg
import pytest

from messagedb.errors import IncompatibleServerError, ValidationError


class Difference(NamedTuple):
    """A difference: the reason, the error that its cases end with, and the cases by their files."""

    reason: str
    error: type[BaseException]
    cases: dict[str, tuple[str, ...]]


DIFFERENCES: Final = (
    Difference(
        "a transaction, and a bound connection in one, is refused",
        IncompatibleServerError,
        {
            "entities/test_entities": (
                "test_only_new_events_are_read_for_a_cached_entity",
                "test_a_transaction_that_sees_the_store_as_it_was",
                "test_an_event_counts_as_of_the_beginning_of_its_transaction",
            ),
            "operations/test_hooks": ("test_the_messages_of_the_hooks_are_stored",),
            "operations/test_reading_backwards": (
                "test_a_transaction_reads_its_own_messages_backwards",
            ),
            "operations/test_registry": ("test_transactions_and_bound_clients_know_the_classes",),
            "operations/test_reserving": (
                "test_in_a_transaction_the_reservation_goes_with_it",
                "test_on_a_connection_of_the_users",
            ),
            "operations/test_typed_reading": ("test_the_version_is_written_and_read",),
            "operations/test_values": (
                "test_a_batch_is_as_many_single_writes",
                "test_a_bound_connection_reads_what_the_functions_read",
            ),
        },
    ),
    Difference(
        "the search for causes and effects is refused",
        IncompatibleServerError,
        {
            "operations/test_tracing": (
                "test_a_message_is_traced_up_and_down",
                "test_a_message_is_named_by_its_id_or_place",
                "test_a_search_goes_on_where_its_window_ended",
                "test_what_is_beyond_the_maximum_is_counted",
                "test_messages_of_one_w3c_trace_are_found",
                "test_messages_can_be_traced_without_their_data",
                "test_odd_metadata_is_no_cause",
            ),
        },
    ),
    Difference(
        "a condition on a connection that is not the client's own is refused",
        IncompatibleServerError,
        {
            "operations/test_reading": (
                "test_a_page_behind_a_pooler_does_not_sort_the_whole_category",
            ),
        },
    ),
    Difference(
        "a condition of a scan cannot query the table",
        ValidationError,
        {"operations/test_scanning": ("test_a_query_in_a_condition_means_the_table",)},
    ),
    Difference(
        "a lag has no last position and no time",
        AssertionError,
        {"operations/test_scanning": ("test_heads_and_lags",)},
    ),
    Difference(
        "a position does not name the history of its server",
        AssertionError,
        {
            "operations/test_hooks": ("test_consumers_read_through_them_and_keep_their_own_notes",),
        },
    ),
    Difference(
        "a position beyond the last message is not noticed",
        pytest.fail.Exception,
        {
            "consumers/test_positions": (
                "test_a_position_beyond_the_head_is_an_error_at_the_start",
            ),
        },
    ),
    Difference(
        "the case itself queries the table of messages, which is on the nodes",
        psycopg.errors.UndefinedTable,
        {
            "consumers/test_positions": ("test_a_record_is_what_eventide_writes",),
            "entities/test_entities": (
                "test_an_entity_that_is_forgotten_while_it_loads_is_not_cached",
            ),
            "operations/test_metadata": ("test_metadata_with_nothing_in_it_is_sql_null",),
            "operations/test_reading": (
                "test_one_undecodable_message_does_not_hide_its_neighbours",
            ),
            "operations/test_reserving": ("test_the_copy_keeps_every_digit",),
            "operations/test_scanning": ("test_a_page_of_the_store_shows_its_gaps",),
        },
    ),
)
"""The differences. What a case does before its error is not looked at."""


def find_mark(path: str, function: str) -> pytest.MarkDecorator | None:
    """Return the mark of a case that differs; None if it does not.

    Args:
        path: the path of its file.
        function: the name of its function.
    """
    for difference in DIFFERENCES:
        for file, functions in difference.cases.items():
            if path.endswith(f"/{file}.py") and function in functions:
                return pytest.mark.xfail(
                    raises=difference.error, reason=difference.reason, strict=True
                )
    return None
