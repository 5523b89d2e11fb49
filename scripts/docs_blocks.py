"""Blocks of Python of README.md and the pages in docs/, as files for a type checker.

``python scripts/docs_blocks.py FOLDER`` writes them, and prints the folders to be checked: one for
all blocks that stand alone, and one for each page with files that its other blocks import.
"""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
DOCS: Final = ROOT / "docs"

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.S | re.M)
_NAME: Final = re.compile(r"# (\w+\.py)\n")

PYRIGHT: Final = {
    "typeCheckingMode": "strict",
    "pythonVersion": "3.11",
    # Versions before 1.1.414 count a function that is only decorated as not used.
    "reportUnusedFunction": False,
    "reportUnnecessaryTypeIgnoreComment": True,
}


class Block(NamedTuple):
    """A block of a page: its number among all of the page's, its language and its text."""

    number: int
    language: str
    text: str

    @property
    def file(self) -> str | None:
        """The name of the file, if the block's first line has one."""
        found = _NAME.match(self.text) if self.language == "python" else None
        return found and found[1]


def blocks_of(page: Path) -> list[Block]:
    """Return all blocks of a page, in any language."""
    found: list[tuple[str, str]] = _BLOCK.findall(page.read_text())
    return [Block(number, language, text) for number, (language, text) in enumerate(found)]


def title_of(page: Path) -> str:
    """Return the name of a page."""
    return page.relative_to(DOCS if DOCS in page.parents else ROOT).with_suffix("").as_posix()


def pages() -> list[Path]:
    """Return the pages, README.md first."""
    return [ROOT / "README.md", *sorted(DOCS.glob("**/*.md"))]


def write(folder: Path) -> list[Path]:
    """Write the blocks into a new folder, and return the folders to be checked."""
    shutil.rmtree(folder, ignore_errors=True)
    alone = folder / "alone"
    folders = [alone]
    for page in pages():
        name = re.sub(r"\W", "_", title_of(page))
        blocks = [block for block in blocks_of(page) if block.language == "python"]
        together = folder / name if any(block.file for block in blocks) else alone
        for block in blocks:
            place, file = together, block.file or f"{name}_{block.number}.py"
            if (place / file).exists():  # another version of the file
                place = folder / f"{name}_{block.number}"
            if place not in folders:
                folders.append(place)
            place.mkdir(parents=True, exist_ok=True)
            (place / file).write_text(block.text)
    shutil.copytree(ROOT / "examples", alone / "examples")  # a page shows how to use one
    for one in folders:
        (one / "pyrightconfig.json").write_text(json.dumps(PYRIGHT | {"ignore": ["examples"]}))
    return folders


if __name__ == "__main__":
    for each in write(Path(sys.argv[1])):
        print(each)
