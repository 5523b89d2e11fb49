"""Limits of the code itself: the lines of a function, and the uses of private names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LONGEST_FUNCTION = 60
MOST_PRIVATE_USES = 12


def files() -> list[Path]:
    """Return the hand-written files of both packages."""
    paths = [path for root in ("src", "_async_src") for path in (ROOT / root).rglob("*.py")]
    found = [path for path in paths if "_sync" not in path.parts]
    assert len(found) > 100
    return found


def functions(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """Return each function with its number of lines, without its docstring."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            parts: list[ast.stmt] = [node]
            parts += node.body[:1] if ast.get_docstring(node) is not None else []
            whole, *docstring = [(part.end_lineno or 0) - part.lineno + 1 for part in parts]
            yield node.name, whole - sum(docstring)


def test_no_function_is_long() -> None:
    found = {
        f"{path.relative_to(ROOT)}: {name}": lines
        for path in files()
        for name, lines in functions(ast.parse(path.read_text(encoding="utf-8")))
        if lines > LONGEST_FUNCTION
    }
    assert found == {}


def test_a_docstring_does_not_count() -> None:
    text = 'async def f():\n    """One.\n\n    Two.\n    """\n    return 1\n\ndef g(): ...\n'
    assert list(functions(ast.parse(text))) == [("f", 2), ("g", 1)]


def test_private_names_are_used_in_few_places() -> None:
    # A switch for a whole file counts as one place: such a file exists to be the only one.
    lines = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in files()
        for line in path.read_text(encoding="utf-8").splitlines()
        if "reportPrivateUsage" in line
    ]
    assert len(lines) <= MOST_PRIVATE_USES, lines
