"""Code without a sync form: each finding has a file, a line and a fix."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from sync_names import BUILT_IN

_CURES = {
    "aclose": "list it in sync_names.py",
    "aclosing": "list it in sync_names.py",
    "aiter": "list it in sync_names.py",
    "anext": "list it in sync_names.py",
    "Awaitable": "put an alias pair into a shared module and list its names in sync_names.py",
    "Coroutine": "put an alias pair into a shared module and list its names in sync_names.py",
    "asyncio": "take what it is used for from the variants' module _concurrency.backend_async",
}


def before(path: Path, text: str, names: Mapping[str, str]) -> Iterator[str]:
    """Find, before the conversion, code that would be converted wrongly, or differ between Pythons.

    Args:
        path: the file, for the error texts.
        text: its contents.
        names: the names that the conversion replaces.
    """
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        yield f"{path}:{error.lineno}: {error.msg}"
        return
    first = tree.body[0] if tree.body else None
    if not (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
        and first.lineno == 1
        and first.end_lineno == 1
    ):
        yield f"{path}:1: the module needs a docstring that begins and ends on line 1"
    words = "|".join(map(re.escape, [*names, *BUILT_IN]))
    hot = re.compile(rf"(?<!\w)(?:async|await|Async[A-Z]\w*|{words})(?!\w)")
    lines = text.encode().split(b"\n")
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found = hot.search(_source_of(node, lines))
            if found:
                yield (
                    f"{path}:{node.lineno}: {found[0]} in an f-string converts differently on each"
                    " Python: assign it to a separate variable before the f-string"
                )
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] in names and alias.asname is None:
                    yield (
                        f"{path}:{node.lineno}: import {alias.name} binds another name in the sync"
                        " variant: write from … import …"
                    )


def _source_of(node: ast.expr, lines: list[bytes]) -> str:
    """Return the source of a node; ``ast.get_source_segment`` splits the whole file each time."""
    first, last = node.lineno - 1, (node.end_lineno or node.lineno) - 1
    parts = lines[first : last + 1]
    parts[-1] = parts[-1][: node.end_col_offset]
    parts[0] = parts[0][node.col_offset :]
    return b"\n".join(parts).decode()


def after(path: Path, text: str, *, strings: bool) -> Iterator[str]:
    """Find, after the conversion, all remaining async code.

    Args:
        path: the converted file, for the error texts.
        text: the sync code, with its docstrings and comments rewritten.
        strings: True to search strings, too: error texts are not rewritten.
    """
    tree = ast.parse(text)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        line = f"{path}:{getattr(node, 'lineno', 1)}"
        if isinstance(node, ast.Await | ast.AsyncFor | ast.AsyncWith | ast.AsyncFunctionDef):
            yield f"{line}: {type(node).__name__} is left in the sync variant"
        elif isinstance(node, ast.comprehension) and node.is_async:
            yield f"{path}:{node.target.lineno}: an async comprehension is left in the sync variant"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            found = re.search(r"\b(?:async|await|asyncio|Async[A-Z]\w*)\b", node.value)
            if found and strings and id(node) not in docstrings:
                yield (
                    f"{line}: {found[0]!r} is left in a string of the sync variant: make it true of"
                    " both variants, or put type(self).__name__ in a variable"
                )
        for name in _identifiers(node):
            if re.match(r"Sync[A-Z]", name):
                old = "A" + name.replace("S", "s", 1)
                yield f'{line}: {old} has no sync name: add "{old}": "{name[4:]}" to sync_names.py'
            elif name in _CURES or re.search("async|await", name, re.IGNORECASE):
                cure = _CURES.get(name, "rename it, or list it in sync_names.py")
                yield f"{line}: {name} is left in the sync variant: {cure}"


def _identifiers(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name) | ast.arg(arg=name):
            yield name
        case ast.keyword(arg=str(name)):
            yield name
        case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
            yield name
        case ast.alias(name=name, asname=other):
            yield from name.split(".")
            if other is not None:
                yield other
        case ast.ImportFrom(module=str(name)):
            yield from name.split(".")
        case _:
            pass
