"""The casing of names, as the Ruby toolkit was seen to change it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from messagedb.streams import camel, underscore

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "casing.json").read_text())


@pytest.mark.parametrize(("name", "stored"), VECTORS["camel"])
def test_names_are_stored_in_camel_case(name: str, stored: str) -> None:
    assert camel(name) == stored


@pytest.mark.parametrize(("stored", "name"), VECTORS["underscore"])
def test_stored_names_are_read_in_snake_case(stored: str, name: str) -> None:
    assert underscore(stored) == name


@pytest.mark.parametrize(("stored", "again"), VECTORS["hops"])
def test_keys_are_cased_as_ruby_cases_them(stored: str, again: str) -> None:
    assert camel(underscore(stored)) == again


@given(st.lists(st.from_regex(r"[a-z]{2,6}", fullmatch=True), min_size=1, max_size=4))
def test_words_of_letters_survive_both_ways(words: list[str]) -> None:
    name = "_".join(words)
    assert underscore(camel(name)) == name


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    assert isinstance(camel(text), str)
    assert underscore(text) == underscore(text).lower()
