"""Names of streams: what the Ruby toolkit was seen to compose, and where this library differs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from messagedb.streams import Category, camel, position_stream_name, snapshot_stream_name

FOLDER = Path(__file__).parents[1] / "vectors"
NAMES = json.loads((FOLDER / "names.json").read_text())
SNAPSHOTS = json.loads((FOLDER / "snapshots.json").read_text())
CATEGORY = Category(NAMES["category"])


@pytest.mark.parametrize(
    ("category", "identifier", "name"),
    [row for row in NAMES["positions"] if row[2] is not None and row[1] != ""],
)
def test_position_streams(category: str, identifier: str | None, name: str) -> None:
    assert position_stream_name(category, identifier) == name


@pytest.mark.parametrize(
    ("category", "identifier"), [row[:2] for row in NAMES["positions"] if row[2] is None]
)
def test_position_streams_that_ruby_refuses_are_refused(
    category: str, identifier: str | None
) -> None:
    with pytest.raises(ValueError, match="the category of a stream name must not"):
        position_stream_name(category, identifier)


def test_difference_an_empty_identifier_is_refused() -> None:
    assert ["C", "", "C:position-"] in NAMES["positions"]
    with pytest.raises(ValueError, match="identifier of a stream name must not be empty"):
        position_stream_name("C", "")


@pytest.mark.parametrize(("entity", "specifier", "name"), SNAPSHOTS["names"])
def test_snapshot_streams(entity: str, specifier: str | None, name: str) -> None:
    assert snapshot_stream_name(entity, "123", specifier) == name
    assert snapshot_stream_name(type(entity, (), {}), "123", specifier) == name
    assert Category("other").snapshot_stream_name("123", entity, specifier) == name


def test_snapshot_streams_of_compound_ids() -> None:
    for given, name in SNAPSHOTS["compound_ids"]:
        id = given if isinstance(given, str) else "+".join(given)
        assert snapshot_stream_name("RubyVecAccount", id) == name


@pytest.mark.parametrize(("ids", "options", "name"), NAMES["streams"])
def test_streams(ids: list[str], options: dict[str, Any], name: str) -> None:
    assert CATEGORY.stream_name(*ids, **options) == name


@pytest.mark.parametrize(("ids", "name"), NAMES["command_streams"])
def test_command_streams(ids: list[str], name: str) -> None:
    assert CATEGORY.command_stream_name(*ids) == name
    assert CATEGORY.command_category == NAMES["command_category"]


@pytest.mark.parametrize(("declared", "category"), NAMES["declarations"])
def test_declared_categories_are_cased_as_ruby_cases_them(declared: str, category: str) -> None:
    assert camel(declared) == category


def test_difference_a_category_is_used_as_given() -> None:
    assert ["some_category", "someCategory"] in NAMES["declarations"]
    assert Category("some_category").name == "some_category"


def test_difference_the_command_type_is_not_added_twice() -> None:
    assert Category("other:command").command_stream_name("x") == "other:command-x"
    assert Category("other:special").command_category == "other:special+command"


def test_difference_a_specifier_that_would_end_the_category_is_refused() -> None:
    with pytest.raises(ValueError, match="the specifier of a stream name must not contain '-'"):
        snapshot_stream_name("RubyVecAccount", "1", "-v2")
