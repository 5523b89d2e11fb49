"""Words that people search for: each is in a heading, or in the first lines, of the page for it."""

from __future__ import annotations

import re
from pathlib import Path

import llms_text
import pytest
from search_words import ANSWERS, add_entries

DOCS = Path(__file__).parents[1] / "docs"

FIRST_LINES = 12


@pytest.mark.parametrize("word", sorted(ANSWERS))
def test_a_search_word_leads_to_the_page_that_answers(word: str) -> None:
    lines = (DOCS / f"{ANSWERS[word]}.md").read_text("utf-8").splitlines()
    headings = [line for line in lines if re.match("#+ ", line)]
    # A search splits words at hyphens, so "zero-downtime" is found, too.
    found = "\n".join([*lines[:FIRST_LINES], *headings]).replace("-", " ")
    assert word.casefold() in found.casefold()


def test_each_page_says_first_what_it_answers() -> None:
    """A paragraph of 10 to 60 words, which is neither code nor a list nor a heading."""
    # The benchmarks' page is made by a script; pages of errors have the form of test_site.py.
    pages = [path for path in DOCS.rglob("*.md") if path.name != "results.md"]
    found = 0
    for path in sorted(pages):
        name = path.relative_to(DOCS).as_posix()
        if name.startswith(("reference/", "errors/")):
            continue
        title, first, *_ = path.read_text("utf-8").split("\n\n")
        assert re.fullmatch("# .+", title.strip()), name
        assert not re.match(r"[#|`:-]{2}|- |\|", first), name
        words = re.sub(r"\]\([^)]*\)", "]", first).split()
        assert 10 <= len(words) <= 60, f"{name}: {len(words)} words"
        found += 1
    assert found > 40


def test_the_list_for_programs_has_each_page_once_with_a_sentence() -> None:
    pages = llms_text.find_pages(DOCS)
    listed = llms_text.build_list(pages)
    names = [path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")]
    for name in names:
        assert listed.count(f"]({name}.html)") == (name != "index"), name
    summaries = {page.name: page.summary for page in pages}
    assert summaries["transactions"].startswith("Several writes as one unit")
    assert [name for name, text in summaries.items() if len(text) > 400] == []
    whole = llms_text.build_whole(pages)
    assert whole.count("<!-- ") >= len(pages)


def test_the_file_with_all_pages_has_what_they_include() -> None:
    pages = {page.name: page for page in llms_text.find_pages(DOCS)}
    others = [page for page in pages.values() if not llms_text.needs_rendering(page)]
    whole = llms_text.build_whole(map(llms_text.show_names, others))
    assert llms_text.list_unread(whole) == []
    sealing = pages["recipes/personal-data"].text
    assert "```python\ndef seal(" in sealing
    assert sealing.count("def seal(") == sealing.count("def unseal(") == 1
    assert "(Picture: " in sealing
    assert "## [0.1.0]" in pages["changelog"].text
    assert "- `messagedb.AsyncClient`" in whole
    rendered = [name for name, page in pages.items() if llms_text.needs_rendering(page)]
    assert "reference/client" in rendered
    assert all(name.startswith("reference/") for name in rendered)


def test_a_search_word_leads_to_the_heading_that_has_it() -> None:
    page = "# Run it\n\nHere.\n\n```sh\n# A Dockerfile\n```\n\n## In a Dockerfile\n\nSo.\n"
    added = add_entries("run", page)
    assert added == page.replace(
        "## In a Dockerfile\n", "## In a Dockerfile\n\n```{index} ! Dockerfile\n```\n"
    )
    page = page.replace("In a Dockerfile", "In a container")
    assert add_entries("run", page).startswith("# Run it\n\n```{index} ! Dockerfile\n```\n\nHere.")
    assert add_entries("see", page) == page


def test_each_search_word_is_an_entry_of_its_page() -> None:
    for word, name in ANSWERS.items():
        text = (DOCS / f"{name}.md").read_text("utf-8")
        assert f"```{{index}} ! {word}\n" in add_entries(name, text)
