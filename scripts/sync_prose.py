"""Docstrings and comments of the sync variant: rewrite them so that they read as sync code."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator, Mapping
from typing import NamedTuple

# The characters between an article and its noun: blanks, a line's end with the next line's "#",
# and the marks of reStructuredText.
_GAP = r"(\s+(?:#[ \t]*)?(?::\w+:)?[`*~\"'(]*)"
# Python has no "sync iterator": before these words "async" is removed, else it becomes "sync".
_CONSTRUCTS = (
    r"(?:callable|callback|comprehension|context[ -]manager|for|function|generator|iterable"
    r"|iterator|iteration|method|with)"
)
_LEFT = re.compile(
    r"\b(?:async\w*|await\w*|coroutines?|event loops?)\b|\bAsync\w*|\bsync (?:and|or|nor) sync\b",
    re.IGNORECASE,
)


class Span(NamedTuple):
    """A piece of prose in source code: offsets of characters, and its first line."""

    start: int
    end: int
    line: int


def spans(source: str) -> list[Span]:
    """Find every docstring and every run of comment lines, in order.

    Any string that is a separate statement counts as a docstring.
    """
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def offset(line: int, byte_column: int) -> int:
        before = lines[line - 1].encode()[:byte_column].decode()
        return starts[line - 1] + len(before)

    found: list[Span] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str()) as text):
                assert text.end_lineno is not None
                assert text.end_col_offset is not None
                start = offset(text.lineno, text.col_offset)
                found.append(Span(start, offset(text.end_lineno, text.end_col_offset), text.lineno))
            case _:
                pass
    found.extend(_comments(source, lines, starts))
    return sorted(found)


def _comments(source: str, lines: list[str], starts: list[int]) -> Iterator[Span]:
    run: Span | None = None
    last_line = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        row, column = token.start
        alone = not lines[row - 1][:column].strip()
        start, end = starts[row - 1] + column, starts[row - 1] + token.end[1]
        if run is not None and alone and row == last_line + 1:
            run = run._replace(end=end)
        else:
            if run is not None:
                yield run
            run = Span(start, end, row)
        last_line = row
    if run is not None:
        yield run


def rewrite(text: str, names: Mapping[str, str], phrases: Mapping[str, str]) -> str:
    """Rewrite prose about async code for sync code; the number of lines stays."""
    text = _unwrap_run(text)
    text = re.sub(r"(?m)^([ \t]*)(?:import asyncio|import asyncio as \w+)[ \t]*$", "", text)
    for phrase in sorted(phrases, key=len, reverse=True):
        if phrase in text:
            text = _swap(text, rf"\b{re.escape(phrase)}\b", phrases[phrase])
    for name in sorted(names, key=len, reverse=True):
        if name in text:
            text = _swap(text, rf"(?<!\w){re.escape(name)}(?!\w)", names[name])
    text = re.sub(r"\bawait[ \t]+", "", text)
    text = re.sub(r"\b(async)[ \t]+(?=def\b)", "", text)
    text = re.sub(rf"\b([Aa])n{_GAP}async[ \t]+(?={_CONSTRUCTS}s?\b)(\w)", _article, text)
    text = re.sub(rf"\bAsync[ \t]+(?={_CONSTRUCTS}s?\b)(\w)", lambda m: m[1].upper(), text)
    text = re.sub(rf"\basync[ \t]+(?={_CONSTRUCTS}s?\b)", "", text)
    text = _swap(text, r"\basync(?=(?:hronous(?:ly)?)?\b)", "sync")
    return _swap(text, r"\bAsync(?=(?:hronous(?:ly)?)?\b)", "Sync")


def leftovers(text: str) -> Iterator[tuple[int, str]]:
    """Find the words of async code in prose: the line, counted from 0, and the word."""
    for found in _LEFT.finditer(text):
        yield text.count("\n", 0, found.start()), found[0]


def _article(match: re.Match[str]) -> str:
    article = match[1] + ("n" if match[3].lower() in "aeiou" else "")
    return article + match[2] + match[3]


def _swap(text: str, pattern: str, new: str) -> str:
    """Replace a word and, if "an" stands before it, make the article fit the new one."""

    def with_article(match: re.Match[str]) -> str:
        letter = new.lstrip("_")[0].lower()
        return match[1] + ("n" if letter in "aeio" else "") + match[2] + new

    text = re.sub(rf"\b([Aa])n{_GAP}{pattern}", with_article, text)
    return re.sub(pattern, lambda _: new, text)


def _unwrap_run(text: str) -> str:
    """Turn ``asyncio.run(x)`` into ``x``, minding the parentheses inside."""
    opening = "asyncio.run("
    while (at := text.find(opening)) >= 0:
        depth, end = 1, at + len(opening)
        while end < len(text) and depth:
            depth += {"(": 1, ")": -1}.get(text[end], 0)
            end += 1
        if depth:
            break
        text = text[:at] + text[at + len(opening) : end - 1] + text[end:]
    return text
