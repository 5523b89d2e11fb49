"""Tables and records: what a person sees of rows at each width."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.text import Text

from messagedb.cli._cells import build_cell, color_json, format_json, format_json_within
from messagedb.cli._layout import Column, Records, Row, Table, leave_out_optional, make_columns
from messagedb.cli._wrapping import stack

ID = UUID("2bb317f1-acbc-4e3b-8867-4c869f03b6e0")
TIME = datetime(2026, 12, 1, 15, 4, 7, 991000)

names = st.text(st.characters(codec="utf-8"), max_size=30)
scalars = st.none() | st.booleans() | st.integers() | names
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4)
)
rows = st.lists(st.fixed_dictionaries({"a": values, "b": names, "c": st.just(ID)}), min_size=1)
widths = st.integers(1, 120)


def draw_table(found: list[dict[str, Any]], width: int | None, *, must_fit: bool = True) -> str:
    """Return the table of rows, or "no" if it does not fit."""
    lines = Table(make_columns(found[0]), width, must_fit=must_fit).add(found)
    return "no" if lines is None else "\n".join(line.plain for line in lines)


def draw_records(found: list[dict[str, Any]], width: int | None, rule: str = "") -> str:
    """Return the records of rows."""
    lines = Records(make_columns(found[0]), width, rule=rule).add(found)
    return "\n".join(line.plain for line in lines)


def squeeze(text: str) -> str:
    """Remove the spaces and line breaks of a layout."""
    return "".join(text.split())


def test_numbers_stand_right_and_texts_left() -> None:
    found = [{"name": "account", "count": 5}, {"name": "x", "count": 1200}]
    assert draw_table(found, 80) == "name     count\naccount      5\nx         1200"
    assert draw_table([{"count": None}, {"count": 5}], 80) == "count\n    -\n    5"


def test_headings_wrap_before_a_table_does_not_fit() -> None:
    found = [{"global_position": 7, "type": "Deposited", "data": {"a": 1}}]
    assert draw_table(found, 36) == "global position  type       data\n" + (
        '              7  Deposited  {"a": 1}'
    )
    assert draw_table(found, 29) == "  global\nposition  type       data\n" + (
        '       7  Deposited  {"a": 1}'
    )
    assert draw_table(found, 28) == "no"


def test_prose_and_json_wrap_within_their_column() -> None:
    row = {"level": "ok", "found": "the server accepts all writes that are sent", "n": 5}
    assert draw_table([row], 40).splitlines() == [
        "level  found                           n",
        "ok     the server accepts all writes   5",
        "       that are sent",
    ]
    assert draw_table([{"id": 1, "data": {"one": "x" * 10, "two": "y" * 10}}], 30).splitlines() == [
        "id  data",
        ' 1  {"one": "xxxxxxxxxx",',
        '    "two": "yyyyyyyyyy"}',
    ]


def test_rows_of_many_lines_are_no_table() -> None:
    row = {"id": 1, "data": {str(n): "x" * 10 for n in range(10)}}
    assert draw_table([row], 60) == "no"
    assert draw_table([row, *({"id": n, "data": {}} for n in range(5))], 60) != "no"
    assert len(draw_table([row], 60, must_fit=False).splitlines()) == 5


@pytest.mark.parametrize("value", [ID, TIME, 10**30, "fundsTransfer-2bb317f1"])
def test_ids_times_numbers_and_names_are_never_broken(value: Any) -> None:
    text = build_cell(value).text
    for width in range(len(text) + 2, 60):
        drawn = draw_records([{"the_name": value}], width)
        assert text in drawn
        assert max(map(len, drawn.splitlines())) <= width
        table = draw_table([{"the_name": value, "x": "y"}], width)
        assert table == "no" or text in table
    if not isinstance(value, str):  # longer than a line of the terminal, which wraps it
        assert text in draw_records([{"the_name": value}], 10)


def test_a_record_has_a_line_for_each_field() -> None:
    row = {"stream_name": "account-1", "time": TIME, "data": {"a": [1, 2], "b": "x" * 20}}
    assert draw_records([row, row], None).splitlines()[3:] == [
        "",
        "stream name  account-1",
        "time         2026-12-01 15:04:07.991Z",
        'data         {"a": [1, 2], "b": "xxxxxxxxxxxxxxxxxxxx"}',
    ]
    assert draw_records([row], 45, "-").splitlines() == [
        "-- 1 " + "-" * 40,
        "stream name  account-1",
        "time         2026-12-01 15:04:07.991Z",
        "data         {",
        '               "a": [1, 2],',
        '               "b": "xxxxxxxxxxxxxxxxxxxx"',
        "             }",
    ]


def test_optional_columns_are_left_out_where_they_are_empty() -> None:
    columns = (Column("a"), Column("fix", is_optional=True))
    bare: list[Row] = [{"a": 1, "fix": ""}]
    both: list[Row] = [*bare, {"a": 2, "fix": "do it"}]
    assert leave_out_optional(columns, bare) == columns[:1]
    assert leave_out_optional(columns, both) == columns
    computed = Column("fix", value=lambda row: None, is_optional=True)
    assert leave_out_optional((computed,), both) == ()
    lines = [line.plain for line in Records(columns, 40).add(both)]
    assert lines == ["a    1", "", "a    2", "fix  do it"]


def test_a_table_grows_with_its_rows_until_one_does_not_fit() -> None:
    table = Table(make_columns(["n", "name"]), 30)
    added = [table.add([{"n": 1, "name": name}]) for name in ("a", "b" * 20, "c" * 40)]
    shown = [None if lines is None else [line.plain for line in lines] for lines in added]
    assert shown == [["n  name", "1  a"], ["1  " + "b" * 20], None]


def test_colors_mean_something() -> None:
    level = Column("level", style={"ok": "green", "problem": "red"}.__getitem__)
    lines = Table([level], 40).add([{"level": "ok"}, {"level": "problem"}])
    assert lines is not None
    assert [str(line.spans[0].style) for line in lines] == ["bold", "green", "red"]
    colored = color_json('{"a": "b: c", "d\\"": 1}')
    assert [colored.plain[span.start : span.end] for span in colored.spans] == ['"a"', '"d\\""']


def test_hostile_text_shows_as_text() -> None:
    assert build_cell("a\x1b[31m\n\u202eb").text == "a\\x1b[31m\\n\\u202eb"
    assert build_cell({"\x9b": "\u2028"}).text == '{"\\u009b": "\\u2028"}'


@given(st.lists(names.filter(str.strip)), widths)
def test_parts_of_a_line_are_stacked_where_they_do_not_fit(parts: list[str], width: int) -> None:
    shown = [build_cell(part).text for part in parts]
    stacked = stack([Text(part) for part in shown], width)
    assert squeeze(stacked.plain) == squeeze("".join(shown))
    assert max(map(cell_len, stacked.plain.split("\n"))) <= max(width, 22)
    assert stack([Text(part) for part in shown], None).plain == "  ".join(shown)


@given(rows, widths)
def test_nothing_is_cut(found: list[dict[str, Any]], width: int) -> None:
    cells = [build_cell(value) for row in found for value in row.values()]
    columns = make_columns("abc")
    drawn = "\n".join(line.plain for line in Records(columns, width).add(found))
    whole = max(cell.width for cell in cells if cell.is_whole)
    assert max(map(cell_len, drawn.splitlines())) <= max(width, whole + 2, 4)
    assert squeeze(drawn) == squeeze(
        "".join(name + build_cell(row[name]).text for row in found for name in "abc")
    )
    table = Table(columns, width).add(found)
    if table is not None:
        assert max(line.cell_len for line in table) <= width
        assert sorted("".join(squeeze(line.plain) for line in table)) == sorted(
            squeeze("".join(["a", "b", "c", *(cell.text for cell in cells)]))
        )


@given(values, widths)
def test_json_within_a_width_is_the_same_json(value: Any, width: int) -> None:
    drawn = format_json_within(value, width)
    assert msgspec.json.decode(drawn) == msgspec.json.decode(format_json(value))
    assert max(map(len, drawn.split("\n"))) <= max(len(format_json(value)), width)
