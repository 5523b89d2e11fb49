"""Blocks of Python of README.md and the pages in docs/: both variants, for pages and type checkers.

``python scripts/docs_blocks.py FOLDER`` writes them, and prints the folders to be checked: one for
all blocks that stand alone, one for each page with files that its other blocks import, and one for
the examples of the docstrings.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Final, NamedTuple

import docstring_examples
from docs_variants import to_async

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"

_BLOCK: Final = re.compile(r"^(<!-- one variant -->\n)?```(\w+)\n(.*?)^```$", re.S | re.M)
_TABS: Final = """\
`````{{tab-set}}
:sync-group: variant

````{{tab-item}} Sync
:sync: sync

```python
{sync}```
````

````{{tab-item}} Async
:sync: async

```python
{asynchronous}```
````
`````"""
_NAME: Final = re.compile(r"# (\w+\.py)\n")

PYRIGHT: Final = {
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
    # Versions before 1.1.414 count a function that is only decorated as not used.
    "reportUnusedFunction": False,
    "reportUnnecessaryTypeIgnoreComment": True,
}
OF_DOCSTRINGS: Final = {"reportUnusedClass": False, "reportUnusedVariable": False}
"""An example ends with the value that it shows."""


class Block(NamedTuple):
    """A block of a page: its number among all of the page's, its language and its text."""

    number: int
    language: str
    text: str
    is_single: bool = False
    """``<!-- one variant -->`` stands before the block: it is shown as it is written."""

    @property
    def file(self) -> str | None:
        """The name of the file, if the block's first line has one."""
        found = _NAME.match(self.text) if self.language == "python" else None
        return found and found[1]


def blocks_of(page: Path) -> list[Block]:
    """Return all blocks of a page, in any language."""
    return blocks_in(page.read_text())


def blocks_in(text: str) -> list[Block]:
    """Return all blocks of the text of a page, in any language."""
    found: list[tuple[str, str, str]] = _BLOCK.findall(text)
    return [
        Block(number, language, code, bool(mark))
        for number, (mark, language, code) in enumerate(found)
    ]


def async_blocks(blocks: Iterable[Block]) -> list[Block]:
    """Return the blocks of a page with the async variant of each block that has two."""
    blocks = list(blocks)
    of_python = [each for each in blocks if each.language == "python" and not each.is_single]
    made = to_async(each.text for each in of_python)
    changed = {each.number: text for each, text in zip(of_python, made, strict=True)}
    return [each._replace(text=changed.get(each.number, each.text)) for each in blocks]


def add_tabs(text: str) -> str:
    """Return the text of a page with two tabs in place of each block that has two variants."""
    variants = iter(async_blocks(blocks_in(text)))

    def replace(found: re.Match[str]) -> str:
        variant = next(variants)
        if variant.text == found[3]:
            return found[0]
        return _TABS.format(sync=found[3], asynchronous=variant.text)

    return _BLOCK.sub(replace, text)


def title_of(page: Path) -> str:
    """Return the name of a page."""
    return page.relative_to(DOCS if DOCS in page.parents else ROOT).with_suffix("").as_posix()


def pages() -> list[Path]:
    """Return the pages, README.md first."""
    return [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]


def put(blocks: Iterable[Block], folders: list[Path], place: Path, name: str, parent: Path) -> None:
    """Write the blocks of a page into a folder, and what has the name of another into a second."""
    for block in blocks:
        target, file = place, block.file or f"{name}_{block.number}.py"
        if (target / file).exists():  # another version of the file
            target = parent / f"{name}_{block.number}"
        if target not in folders:
            folders.append(target)
        target.mkdir(parents=True, exist_ok=True)
        (target / file).write_text(block.text)


def write(folder: Path) -> list[Path]:
    """Write the blocks into a new folder, and return the folders to be checked."""
    shutil.rmtree(folder, ignore_errors=True)
    alone = folder / "alone"
    folders = [alone]
    for page in pages():
        name = re.sub(r"\W", "_", title_of(page))
        blocks = [block for block in blocks_of(page) if block.language == "python"]
        has_files = any(block.file for block in blocks)
        put(blocks, folders, folder / name if has_files else alone, name, folder)
        variants = async_blocks(blocks)
        changed = [new for new, old in zip(variants, blocks, strict=True) if new != old]
        modules = [block.file.removesuffix(".py") for block in blocks if block.file]
        needs_files = any(
            block.file or re.search(rf"from ({'|'.join(modules)}) ", block.text)
            for block in changed
            if modules
        )
        if needs_files:
            put(variants, folders, folder / f"{name}_async", f"{name}_async", folder)
        else:
            put(changed, folders, alone, f"{name}_async", folder)
    shutil.copytree(ROOT / "examples", alone / "examples")  # a page shows how to use one
    for one in folders:
        (one / "pyrightconfig.json").write_text(json.dumps(PYRIGHT | {"ignore": ["examples"]}))
    docstrings = folder / "docstrings"
    docstring_examples.write(docstrings)
    (docstrings / "pyrightconfig.json").write_text(json.dumps(PYRIGHT | OF_DOCSTRINGS))
    return [*folders, docstrings]


if __name__ == "__main__":
    for each in write(Path(sys.argv[1])):
        print(each)
