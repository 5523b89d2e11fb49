"""The matrix of ``nox -s servers``: its cells, how results are counted, and its setups."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from fetch_message_db import SQL_VERSIONS
from servers import programs, report, runs
from servers.cells import CASES, CELLS, SHORT, USER, Cell

from tests.support import leaving_out, setup

ROOT = Path(__file__).resolve().parents[2]
SERVERS = {programs.DEBIAN, *programs.WHEELS}
SCHEMAS = {"ours", *(f"genuine-{version}" for version in SQL_VERSIONS)}


@pytest.mark.parametrize("cell", [*CELLS, *SHORT], ids=lambda cell: cell.name)
def test_a_cell_can_run(cell: Cell) -> None:
    assert cell.server in SERVERS
    assert cell.schema in SCHEMAS
    assert cell.role in setup.ROLES
    assert cell.pooler in setup.POOLS
    for path in CASES[cell.cases]:
        source = path.replace("tests/_sync", "tests/_async")
        assert (ROOT / source).exists(), path


def test_every_value_of_each_column_is_tried() -> None:
    assert {cell.server for cell in CELLS if cell.schema == "ours"} == SERVERS
    for server in (programs.WHEELS[0], programs.WHEELS[-1]):
        assert {cell.schema for cell in CELLS if cell.server == server} == SCHEMAS
    assert {cell.role for cell in CELLS} == {*setup.ROLES}
    assert {cell.pooler for cell in CELLS} == {*setup.POOLS}
    assert {cell.server for cell in CELLS if cell.cases == "plans"} == SERVERS
    assert {cell.cases for cell in (*CELLS, *SHORT)} == {*CASES}
    assert max(Counter(cell.name for cell in CELLS).values()) == 1


REPORT = """<testsuites><testsuite>
<testcase classname="a" name="passes"/>
<testcase classname="a" name="fails"><failure message="no"/></testcase>
<testcase classname="a" name="breaks"><error message="no"/></testcase>
<testcase classname="a" name="left"><skipped message="{prefix}it cannot pass"/></testcase>
<testcase classname="a" name="skipped"><skipped message="pgbouncer is not installed"/></testcase>
</testsuite></testsuites>
"""


def count(tmp_path: Path, text: str | None) -> runs.Result:
    cell = Cell("17", "ours", USER, "", "short", "")
    result = runs.Result(cell, "17.1", jit=False)
    path = tmp_path / "report.xml"
    if text is not None:
        path.write_text(text)
    runs.count(result, path)
    return result


def test_a_skipped_test_that_no_cell_leaves_out_has_failed(tmp_path: Path) -> None:
    result = count(tmp_path, REPORT.format(prefix=leaving_out.PREFIX))
    assert (result.passed, result.failed) == (1, 3)
    assert result.skipped == {"it cannot pass": 1}
    assert "pgbouncer is not installed" in result.failures[-1]
    summary = report.build_summary([result], 1.0)
    assert (summary["cells"], summary["cases"], summary["failed"]) == (1, 4, 3)


def test_a_run_without_a_report_has_failed(tmp_path: Path) -> None:
    assert count(tmp_path, None).failed == 1


def test_the_figures_are_those_of_a_run_without_a_failure() -> None:
    figures = json.loads((ROOT / "docs" / "figures" / "servers.json").read_text())
    assert figures["failed"] == 0
    assert figures["cells"] == len(figures["table"])
    assert figures["cases"] == sum(row["passed"] for row in figures["table"])
    assert len(figures["servers"]) == len(SERVERS)
    assert {row["schema"] for row in figures["table"]} == SCHEMAS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MESSAGEDB_TEST_ROLE", "nobody"),
        ("MESSAGEDB_TEST_POOLER", "statement"),
        ("MESSAGEDB_TEST_SCHEMA", "genuine-9"),
    ],
)
def test_an_unknown_setup_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name} is '{value}'"):
        setup.read_setup()
