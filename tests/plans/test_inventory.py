"""Each statement in the code has a plan that is tested, or a reason for having none."""

from __future__ import annotations

from tests.plans.statements import (
    BY_FUNCTION,
    BY_INTENT,
    GROUPS,
    LISTINGS,
    NO_MESSAGES,
    OF_PAGES,
    OTHERS,
    POSITION_STATEMENTS,
    SCANS,
    STATEMENTS,
    TRACES,
    find_statements,
)


def test_each_statement_in_the_code_has_a_plan_that_is_tested_or_a_reason() -> None:
    by_name = {
        "_sql/statements.py": {*STATEMENTS, *BY_FUNCTION},
        "_sql/groups.py": {*GROUPS},
        "_sql/listings.py": {*LISTINGS} - {"categories_after"},
        "_sql/traces.py": {*TRACES},
        "_sql/scans.py": {*SCANS, *BY_FUNCTION},
        "_sql/consumers.py": {*POSITION_STATEMENTS},
    }
    listed = {*OTHERS, *BY_INTENT, *OF_PAGES, *NO_MESSAGES}
    found = {(each.file, each.name) for each in find_statements()}
    known = {key for key in found if key in listed or key[1] in by_name.get(key[0], set())}
    assert found - known == set(), "a statement without a tested plan: see tests/plans"
    assert listed - found == set(), "a statement that is not in the code any more"
    names = {name for _, name in found}
    for registered in by_name.values():
        assert registered - names == set()
