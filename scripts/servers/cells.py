"""The cells of the matrix: which cases run on which server, schema, role and pooler, and why."""

from __future__ import annotations

from typing import Final, NamedTuple

from .programs import DEBIAN

_TOPICS: Final = (
    "operations",
    "transactions",
    "subscriptions",
    "consumers",
    "entities",
    "read_models",
)
_BASIC: Final = (
    "operations",
    "transactions/test_transactions.py",
    "consumers/test_consumers.py",
    "consumers/test_groups.py",
    "consumers/test_positions_table.py",
    "entities/test_entities.py",
)
_FUNCTIONS: Final = (
    "operations/test_reading.py",
    "operations/test_scanning.py",
    "operations/test_values.py",
    "operations/test_writing.py",
    "consumers/test_consumers.py",
)
_SHORT: Final = ("operations", "consumers/test_consumers.py")
_BAD_INPUT: Final = tuple(
    f"connection/test_{name}.py"
    for name in (
        "faults_wrong_servers",
        "hostile_settings",
        "message_db_versions",
        "odd_databases",
        "roles",
        "server_versions",
    )
)

CASES: Final[dict[str, tuple[str, ...]]] = {
    "all, async": tuple(f"tests/_async/{topic}" for topic in _TOPICS),
    "all, sync": tuple(f"tests/_sync/{topic}" for topic in _TOPICS),
    "basic": tuple(f"tests/_async/{topic}" for topic in _BASIC),
    "functions": tuple(f"tests/_async/{topic}" for topic in _FUNCTIONS),
    "short": tuple(f"tests/_async/{topic}" for topic in _SHORT),
    "bad input": tuple(f"tests/_async/{file}" for file in _BAD_INPUT),
    "plans": ("tests/conformance/test_plans.py", "tests/plans"),
    "CLI": tuple(
        f"tests/cli/test_{name}.py" for name in ("consumers", "doctor", "messages", "schema")
    ),
}
"""The sets of cases, none of them with the long fault tests.

A standby, a database that is frozen or full, and roles that may not connect are among the bad
input: these tests start servers of the same programs."""


class Cell(NamedTuple):
    """One run of cases: its server, schema, role, pooler and set of cases, and the reason."""

    server: str
    schema: str
    role: str
    pooler: str
    cases: str
    reason: str

    @property
    def name(self) -> str:
        """The words that identify it on the command line and in the table."""
        return " ".join(each for each in self[:5] if each)


USER: Final = "message_store"

CELLS: Final = (
    Cell(DEBIAN, "ours", USER, "", "all, async", "the usual server, with JIT"),
    Cell(DEBIAN, "ours", USER, "", "all, sync", "the other variant there"),
    Cell(DEBIAN, "ours", USER, "", "bad input", "servers, roles and settings that are odd"),
    Cell(DEBIAN, "ours", USER, "", "CLI", "its own statements, with JIT"),
    Cell(DEBIAN, "ours", USER, "", "plans", "the only one that can compile"),
    Cell(DEBIAN, "genuine-1.2.6", USER, "", "all, async", "the functions before 1.3, with JIT"),
    Cell(DEBIAN, "genuine-1.3.1", USER, "", "all, async", "the genuine functions, with JIT"),
    Cell(DEBIAN, "genuine-1.3.1", USER, "", "all, sync", "the other variant there"),
    Cell(DEBIAN, "genuine-1.3.1", USER, "", "CLI", "its statements in a store that is not ours"),
    Cell(DEBIAN, "ours", "member", "", "basic", "the role that the install page recommends"),
    Cell(DEBIAN, "ours", "owner", "", "basic", "a role without the search path of its name"),
    Cell(DEBIAN, "genuine-1.3.1", "member", "", "functions", "functions that find each other"),
    Cell(DEBIAN, "genuine-1.3.1", "owner", "", "functions", "functions that find each other"),
    Cell(DEBIAN, "ours", USER, "session", "functions", "a pooler that keeps the session"),
    Cell(DEBIAN, "ours", USER, "transaction", "basic", "a pooler that keeps no session"),
    Cell(
        DEBIAN, "genuine-1.1.6", USER, "transaction", "functions", "no session, and old functions"
    ),
    Cell("14", "ours", USER, "", "all, async", "the oldest for our schema"),
    Cell("14", "ours", USER, "", "all, sync", "the oldest for our schema"),
    Cell("14", "ours", USER, "", "bad input", "the oldest for our schema"),
    Cell("14", "ours", USER, "", "CLI", "the oldest for our schema"),
    Cell("14", "ours", USER, "", "plans", "the oldest planner"),
    Cell("14", "genuine-1.1.6", USER, "", "all, async", "the oldest of both"),
    Cell("14", "genuine-1.2.6", USER, "", "all, async", "each version on each major"),
    Cell("14", "genuine-1.3.1", USER, "", "all, async", "each version on each major"),
    Cell("15", "ours", USER, "", "all, async", "each major, here without JIT"),
    Cell("15", "ours", USER, "", "CLI", "each major"),
    Cell("15", "ours", USER, "", "plans", "each planner"),
    Cell("15", "genuine-1.2.6", USER, "", "all, async", "each version on each major"),
    Cell("15", "genuine-1.3.1", USER, "", "all, async", "each version on each major"),
    Cell("16", "ours", USER, "", "all, async", "each major"),
    Cell("16", "ours", USER, "", "CLI", "each major"),
    Cell("16", "ours", USER, "", "plans", "each planner"),
    Cell("16", "genuine-1.2.6", USER, "", "all, async", "each version on each major"),
    Cell("16", "genuine-1.3.1", USER, "", "all, async", "each version on each major"),
    Cell("17", "ours", USER, "", "all, async", "the first one with transaction_timeout"),
    Cell("17", "ours", USER, "", "bad input", "the first one with transaction_timeout"),
    Cell("17", "ours", USER, "", "CLI", "each major"),
    Cell("17", "ours", USER, "", "plans", "each planner"),
    Cell("17", "genuine-1.2.6", USER, "", "all, async", "each version on each major"),
    Cell("17", "genuine-1.3.1", USER, "", "all, async", "each version on each major"),
    Cell("18", "ours", USER, "", "all, async", "the newest, which disables nodes without a cost"),
    Cell("18", "ours", USER, "", "all, sync", "the newest"),
    Cell("18", "ours", USER, "", "CLI", "the newest"),
    Cell("18", "ours", USER, "", "plans", "the newest planner"),
    Cell("18", "ours", USER, "transaction", "functions", "the newest through a pooler"),
    Cell("18", "genuine-1.1.6", USER, "", "functions", "the oldest functions on the newest server"),
    Cell("18", "genuine-1.2.6", USER, "", "all, async", "each version on each major"),
    Cell("18", "genuine-1.3.1", USER, "", "all, async", "the newest of both"),
    Cell("18", "genuine-1.3.1", USER, "", "CLI", "the newest of both"),
)
"""The long form. Not each with each: every value of a column is with the oldest, the newest or the
usual value of the others."""

SHORT: Final = (Cell("17", "ours", USER, "", "short", "a major that the other tests do not use"),)
"""The short form."""
