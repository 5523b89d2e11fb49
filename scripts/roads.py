"""Roads of docs/architecture.md: the functions that a call passes, in order.

A road is a block ``{road}`` of the page. Each step begins with a line ``file: function``, or
``elsewhere: name`` for code that is not ours; the lines below it, indented, are its text. The site
draws the steps as boxes (docs/conf.py), and a test follows them (tests/test_architecture.py).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, Literal, NamedTuple

PAGE: Final = Path(__file__).parents[1] / "docs" / "architecture.md"

PURE: Final = "src/messagedb/"
IO: Final = "_async_src/_messagedb_async/"

_BLOCK: Final = re.compile(r"^```\{road\}\n(.*?)^```$", re.S | re.M)

Lane = Literal["decides", "performs", "elsewhere"]


class Step(NamedTuple):
    """One step of a road.

    Attributes:
        file: its file from the root of the repository; empty for code that is not ours.
        name: the function or method, or the name of the other program.
        text: what it does, in Markdown.
    """

    file: str
    name: str
    text: str

    @property
    def lane(self) -> Lane:
        """The side of the road: pure code decides, async code performs the I/O."""
        if not self.file:
            return "elsewhere"
        return "performs" if self.file.startswith(IO) else "decides"

    @property
    def short_file(self) -> str:
        """The file without its root, which the lane shows."""
        return self.file.removeprefix(PURE).removeprefix(IO)

    @property
    def module(self) -> str:
        """The name of the module, by which it is imported."""
        path = self.file.removeprefix("src/").removeprefix("_async_src/")
        return path.removesuffix(".py").replace("/", ".")


def parse_road(text: str) -> list[Step]:
    """Parse the steps of one block.

    Raises:
        ValueError: a line is neither a step nor the text of one.
    """
    steps: list[Step] = []
    for line in text.splitlines():
        if not line.strip():
            continue
        if line.startswith(" ") and steps:
            last = steps[-1]
            steps[-1] = last._replace(text=f"{last.text} {line.strip()}".strip())
            continue
        place, colon, name = line.partition(":")
        if not colon or line.startswith(" "):
            raise ValueError(f"neither a step of a road nor its text: {line!r}")
        steps.append(Step("" if place == "elsewhere" else place, name.strip(), ""))
    return steps


def roads_of(page: Path = PAGE) -> list[list[Step]]:
    """Return the roads of a page, in order."""
    return [parse_road(text) for text in _BLOCK.findall(page.read_text())]
