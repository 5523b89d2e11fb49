"""Find worn-out words in what people read: pages, docstrings, comments, strings of the code.

``python scripts/check_words.py`` checks PATHS and fails if it finds any; with paths as arguments
it checks these instead. CONTRIBUTING.md, "Words", says what to write instead and why.
"""

from __future__ import annotations

import ast
import io
import re
import sys
import tokenize
from bisect import bisect
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]

PATHS: Final = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "README.md",
    "RELEASING.md",
    "SECURITY.md",
    "SUPPORT.md",
    "_async_src",
    "changelog.d",
    "dev.py",
    "docs",
    "examples",
    "noxfile.py",
    "scripts",
    "src",
    "tests",
)
"""Everything that people read."""

EXCLUDED: Final = ("/_sync/", "docs/performance/results.")
"""Generated files: their sources are checked."""

LISTS: Final = ("CONTRIBUTING.md", "scripts/check_words.py")
"""Files that quote the refused words between the comments ``words: off`` and ``words: on``."""

REFUSED: Final = {  # words: off
    r"a text(?! (?:file|column|block|editor))": "a string",
    r"(?<!error )texts": "strings",
    r"told": "reported, passed, named",
    r"mend(?:s|ed|ing)?": "fix",
    r"cure[sd]?": "fix",
    r"pass(?:es|ed|ing)? (?:it |them |one |those )?over": "skip, ignore",
    r"in hand": "current, in progress",
    r"(?:take|takes|took|taken|taking) (?:it |them )?away": "remove, release",
    r"(?<!there )(?:is|are) (?-i:none)(?! of)": "is invalid, is not one",
    r"of (?:its|their|your|my|our|one's) own(?=[.,;:!?)]|$|"
    r" (?:and|as|at|but|by|for|from|if|in|is|of|on|or|that|to|when|where|which|with)\b)": (
        "its own …, a separate …"
    ),
    r"at once": "immediately, or simultaneously",
    r"(?:is|are|was|were|be|been|goes|going|gone|went|stays) away(?! from)": "unavailable",
    r"(?:store|server|database|primary|it) (?:came|comes|is|was) back": "available again",
    r"(?:async|each|either|own|same|sync|that|this) half": "variant",
    r"halves": "variants",
    r"the (?:other )?half(?! (?:of|a)\b)": "the variant",
    r"twins?": "variant",
    r"(?:become|becomes|became) of": "outcome, result",
    r"the command (?=[`]*messagedb\b)": "the CLI",
    r"anew": "again",
    r"whoever": "the process, session, caller that …",
    r"nobody": "no process, no session, no caller",
    r"somebody(?: else)?": "another process, session, caller",
    r"hand(?:s|ed|ing)? (?:it |them )?over": "deliver, pass",
}  # words: on

FIRST_WORDS: Final = {
    "Give": "Return",
    "Gives": "Return",
    "What": "an imperative or a noun phrase",
    "Whether": "Return True if …",
}
"""Words that no docstring begins with."""

_PATTERNS: Final = [
    (re.compile(rf"(?<![\w-])(?:{words})(?![\w-])", re.IGNORECASE), instead)
    for words, instead in REFUSED.items()
]
_FENCE: Final = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.S | re.M)


class Prose(NamedTuple):
    """A piece of text that people read, and the line on which it begins."""

    line: int
    text: str


class Finding(NamedTuple):
    """A refused word: its file, line and text, and the words to use instead."""

    path: Path
    line: int
    words: str
    instead: str

    def __str__(self) -> str:
        """Return the finding as one line for a terminal."""
        return f"{self.path}:{self.line}: {self.words!r}: write {self.instead}"


def docstrings(tree: ast.AST) -> Iterator[ast.Constant]:
    """Find the docstrings of a module, of its classes and of its functions."""
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and node.body:
            first = node.body[0]
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first.value


def comments(source: str, line: int = 1) -> Iterator[Prose]:
    """Find the comments of Python code; comments on consecutive lines are one piece."""
    piece: list[str] = []
    first = last = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            if piece and token.start[0] != last + 1:
                yield Prose(first, "\n".join(piece))
                piece = []
            if not piece:
                first = token.start[0] + line - 1
            piece.append(token.string.lstrip("#: "))
            last = token.start[0]
    if piece:
        yield Prose(first, "\n".join(piece))


def python_prose(source: str, line: int = 1, *, strings: bool = True) -> Iterator[Prose]:
    """Find docstrings and comments of Python code, and all its other strings if wanted.

    A string without a space is a value, such as the name of a user, and not prose.
    """
    tree = ast.parse(source)
    wanted = ast.walk(tree) if strings else docstrings(tree)
    for node in wanted:
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield Prose(node.lineno + line - 1, node.value)
    yield from comments(source, line)


def markdown_prose(source: str) -> Iterator[Prose]:
    """Find the text of a page without its code, and the prose in its blocks of Python."""
    for block in _FENCE.finditer(source):
        line = source.count("\n", 0, block.start(2)) + 1
        if block[1] == "python":
            yield from python_prose(block[2], line)
    lines_only = _FENCE.sub(lambda block: "\n" * block[0].count("\n"), source)
    yield Prose(1, re.sub(r"`(?!messagedb`)[^`\n]*`", "`…`", lines_only))


def quoting_lines(relative: Path, lines: list[str]) -> set[int]:
    """Return the lines that may quote refused words; empty for a file that is not in LISTS."""
    quoting: set[int] = set()
    is_off = False
    for number, line in enumerate(lines, 1):
        is_off = (is_off or "words: off" in line) and relative.as_posix() in LISTS
        if is_off:
            quoting.add(number)
        is_off = is_off and "words: on" not in line
    return quoting


def find_words(path: Path, pieces: Iterator[Prose]) -> Iterator[Finding]:
    """Find the refused words in pieces of one file, also across the ends of lines."""
    for piece in pieces:
        words = list(re.finditer(r"\S+", piece.text))
        text = " ".join(word[0] for word in words)
        starts = list(accumulate((len(word[0]) + 1 for word in words), initial=0))
        for pattern, instead in _PATTERNS:
            for match in pattern.finditer(text):
                offset = words[bisect(starts, match.start()) - 1].start()
                line = piece.line + piece.text.count("\n", 0, offset)
                yield Finding(path, line, match[0], instead)


def check_file(path: Path) -> Iterator[Finding]:
    """Find the refused words in a page or a file of Python."""
    source = path.read_text()
    relative = path.relative_to(ROOT)
    quoting = quoting_lines(relative, source.splitlines())
    if path.suffix == ".md":
        pieces = markdown_prose(source)
    else:
        pieces = python_prose(source, strings=relative.parts[0] != "tests")
        for docstring in docstrings(ast.parse(source)):
            first = str(docstring.value).split(maxsplit=1)[:1]
            if first and (instead := FIRST_WORDS.get(first[0].rstrip(":,"))):
                yield Finding(relative, docstring.lineno, f"{first[0]} …", instead)
    for finding in find_words(relative, pieces):
        if finding.line not in quoting:
            yield finding


def files_of(paths: list[str]) -> Iterator[Path]:
    """Find the pages and Python files under these paths, without excluded ones."""
    for name in paths:
        path = ROOT / name
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for each in found:
            is_excluded = any(part in each.as_posix() for part in EXCLUDED)
            if each.suffix in (".md", ".py") and not is_excluded:
                yield each


def main(arguments: list[str]) -> int:
    """Print all findings and return their number, at most 1."""
    findings = [
        finding for path in files_of(arguments or list(PATHS)) for finding in check_file(path)
    ]
    for finding in findings:
        print(finding)
    if findings:
        print(f"{len(findings)} refused words: see CONTRIBUTING.md, Words")
    return min(1, len(findings))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
