"""The pages are easy to read, by a tool's count of words, syllables and sentences."""

from __future__ import annotations

from pathlib import Path

import pytest
import readability
from readability import (
    HIGHEST_AVERAGE,
    HIGHEST_GRADE,
    LONGEST_SENTENCE,
    count_words,
    find_sentences,
    measure,
    measure_text,
)


def name_of(page: Path) -> str:
    return page.relative_to(readability.ROOT).as_posix()


@pytest.mark.parametrize("page", readability.pages(), ids=name_of)
def test_a_page_is_easy_to_read(page: Path) -> None:
    found = measure(page)
    assert found is not None, "a page has prose"
    assert found.grade <= HIGHEST_GRADE
    assert found.average <= HIGHEST_AVERAGE
    longest = [each for each in found.sentences if count_words(each) > LONGEST_SENTENCE]
    assert longest == []


def test_only_the_reference_and_measured_results_are_left_out() -> None:
    left_out = set(readability.DOCS.glob("**/*.md")) - set(readability.pages())
    folders = {page.parent.name for page in left_out}
    assert folders <= {"reference", "performance"}
    assert readability.ROOT / "README.md" in readability.pages()


def test_what_is_no_sentence_does_not_count() -> None:
    page = """# A heading. Of two sentences.

Run `a.b(c, d)` and see [the page](https://example.org/a.b). It costs 0.5 s, e.g. here.

| a | table. |
| - | ------ |
| 1 | cell.  |

- a mere label
- An item that ends as a sentence does.

```python
code = "is left out."
```
<!-- A comment. -->
"""
    assert find_sentences(page) == [
        "Run code and see the page.",
        "It costs 0.5 s, e.g. here.",
        "An item that ends as a sentence does.",
    ]


def test_a_long_sentence_cannot_be_hidden() -> None:
    clause = "the consumer reads the messages of its category from the store"
    joined = f"{clause}; {clause}: {clause} (e.g. {clause}).\n"
    hidden = f"Short.\n\n```{{note}}\n{joined}```\n\n- one\n- two\n\n| a. | b. |\n| - | - |\n"
    found = measure_text("page", hidden)
    assert found is not None
    assert found.longest == 45
    assert not found.is_easy


def test_a_hard_page_is_found() -> None:
    hard = "Idempotency necessitates deterministic identification of individual operations. "
    found = measure_text("page", hard * 3)
    assert found is not None
    assert found.grade > HIGHEST_GRADE
    assert not found.is_easy
