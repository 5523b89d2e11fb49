"""Every public name has an example in its docstring, which an editor shows, too.

``nox -s types`` checks the types of all of them, by scripts/docs_blocks.py.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import docstring_examples
import pytest
from docstring_examples import CLIENTS, find_entries, find_examples, find_members, find_missing


def test_each_public_name_has_an_example() -> None:
    assert find_missing() == []


@pytest.mark.parametrize("name", CLIENTS)
def test_each_method_of_a_client_has_an_example_of_its_own(name: str) -> None:
    (client,) = [entry for entry in find_entries() if entry.name == name]
    members = list(find_members(client))
    assert len(members) > 30
    assert [each.name for each in members if not each.examples] == []


def test_an_example_is_of_the_variant_that_it_stands_in() -> None:
    for entry in find_entries():
        for each in (entry, *find_members(entry)):
            is_generated = "/_sync/" in getattr(
                getattr(inspect.unwrap(each.thing), "__code__", None), "co_filename", ""
            )
            text = "\n".join(each.examples)
            assert not is_generated or not re.search(r"\b(?:async|await) ", text), each.name


def test_examples_are_code_and_short() -> None:
    examples = [each for found in find_examples().values() for each in found]
    assert len(examples) > 300
    for example in examples:
        ast.parse(example)
        assert len(example.splitlines()) <= 16, example


def test_an_example_takes_only_what_is_known_for_granted(tmp_path: Path) -> None:
    docstring_examples.write(tmp_path)
    imports = docstring_examples.list_imports()
    known = {*docstring_examples.GIVEN, *imports, *docstring_examples.DEFINED}
    for variant, examples in find_examples().items():
        text = (tmp_path / f"{variant}_examples.py").read_text(encoding="utf-8")
        compile(text, variant, "exec")
        free = {name for each in examples for name in docstring_examples.find_free_names(each)}
        assert sorted(free - known) == []


def test_the_reference_shows_no_private_name() -> None:
    text = docstring_examples.read_reference()
    names = re.findall(r"^\.\. (?:auto\w+|py:data):: ([\w.]+)", text, re.M)
    assert [name for name in names if "._" in name] == []


def test_hover_text_has_no_literal_asterisk() -> None:
    for entry in find_entries():
        for each in (entry, *find_members(entry)):
            text = inspect.getdoc(each.thing) or ""
            prose = re.sub(r"``.+?``|`.+?`|^ {4}.*$", "", text, flags=re.M | re.S)
            prose = re.sub(r"(?m)^ *\*{1,2}\w+: ", "", prose)
            assert "*" not in prose, f"{each.name}: {prose}"
