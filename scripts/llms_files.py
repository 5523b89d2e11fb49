"""Put the files that a page includes into its text, which ``llms-full.txt`` then has."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Final

_CODE: Final = re.compile(r"^```\{literalinclude\} (\S+)\n(.*?)^```$", re.M | re.S)
_PROSE: Final = re.compile(r"^```\{include\} (\S+)\n(.*?)^```$", re.M | re.S)
_PICTURE: Final = re.compile(r"^```\{raw\} html\n:file: (\S+)\n```$", re.M)
_OPTION: Final = re.compile(r"^:([a-z-]+): (.+)$", re.M)
_LABEL: Final = re.compile(r'aria-label="([^"]+)"')


def include_files(text: str, folder: Path) -> str:
    """Return the text of a page in a folder with what it includes; of a picture, its label."""

    def read(found: re.Match[str]) -> str:
        return (folder / found[1]).read_text("utf-8")

    def options(found: re.Match[str]) -> dict[str, str]:
        return {key: value.strip('"') for key, value in _OPTION.findall(found[2])}

    def show_code(found: re.Match[str]) -> str:
        given = options(found)
        return f"```{given['language']}\n{cut(read(found), given).strip()}\n```"

    def show_prose(found: re.Match[str]) -> str:
        return read(found).partition(options(found)["start-after"])[2].strip()

    def show_label(found: re.Match[str]) -> str:
        label = _LABEL.search(read(found))
        return f"(Picture: {label[1]})" if label else ""

    text = _CODE.sub(show_code, text)
    text = _PROSE.sub(show_prose, text)
    return _PICTURE.sub(show_label, text)


def cut(code: str, options: dict[str, str]) -> str:
    """Return the part of a file that the options of ``literalinclude`` name."""
    lines = code.splitlines()
    if name := options.get("pyobject"):
        first, last = find_object(code, name)
        return "\n".join(lines[first - 1 : last])
    if start := options.get("start-at"):
        lines = lines[next(n for n, line in enumerate(lines) if start in line) :]
    if end := options.get("end-before"):
        lines = lines[: next(n for n, line in enumerate(lines) if n and end in line)]
    return "\n".join(lines)


def find_object(code: str, path: str) -> tuple[int, int]:
    """Return the first and the last line of a function or class, with its decorators."""
    nodes: list[ast.stmt] = ast.parse(code).body
    first = last = 0
    for name in path.split("."):
        for node in nodes:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (
                node.name == name
            ):
                decorators = [each.lineno for each in node.decorator_list]
                first, last = min([node.lineno, *decorators]), node.end_lineno or 0
                nodes = node.body
                break
        else:
            raise LookupError(f"there is no {path}")
    return first, last
