"""The site for programs that read text: ``llms.txt`` lists its pages, ``llms-full.txt`` has them.

Sphinx calls ``write_files`` at the end of a build (docs/conf.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

HEAD = """# messagedb

> A Python client and toolkit, sync and async, for Message DB, the event store and message store in
> PostgreSQL.
"""
VARIANTS = """The examples are in the sync variant. The async one has the same names with `Async`
before them: `AsyncClient`, `AsyncConsumer`, `AsyncContext`. Its operations are awaited, `with` is
`async with`, iterators of messages are read with `async for`, and handlers are coroutine functions.
"""
_TOCTREE = re.compile(r"```\{toctree\}\n(.*?)```", re.DOTALL)
_CAPTION = re.compile(r":caption: (.+)")
_ENTRY = re.compile(r"^(?:.*<)?([a-z0-9][\w/-]*)>?$")
_EXAMPLE = re.compile(r"\{example\}`(\w+)`")


@dataclass(frozen=True)
class Page:
    """A page: its part of the site, its name without a suffix, and its source in Markdown."""

    part: str
    name: str
    text: str

    @property
    def title(self) -> str:
        """The first heading."""
        found = re.search(r"^# (.+)$", self.text, re.MULTILINE)
        return found[1] if found else self.name

    @property
    def summary(self) -> str:
        """The first sentence of the first paragraph, as plain text; empty if there is none."""
        paragraphs = (each.strip() for each in self.text.split("\n\n"))
        prose = (each for each in paragraphs if re.match(r"[A-Z`*\[]", each))
        text = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", next(prose, "").replace("\n", " "))
        return re.split(r"(?<=[.?!:]) (?=[A-Z`])", text)[0].rstrip(":")


def find_pages(docs: Path) -> list[Page]:
    """Return all pages that the index of a site names, in its order, each with those below it."""
    return list(_find_below(docs, (docs / "index.md").read_text("utf-8"), ""))


def _find_below(docs: Path, text: str, part: str) -> Iterator[Page]:
    for tree in _TOCTREE.findall(text):
        caption = _CAPTION.search(tree)
        for line in tree.splitlines():
            entry = _ENTRY.match(line)
            if entry:
                page = Path(docs, f"{entry[1]}.md").read_text("utf-8")
                page = _EXAMPLE.sub(r"[`\1.zip`](_downloads/\1.zip)", page)
                yield Page(caption[1] if caption else part, entry[1], page)
                yield from _find_below(docs, page, caption[1] if caption else part)


def build_list(pages: Sequence[Page]) -> str:
    """Return the text of ``llms.txt``: a link and a sentence for each page."""
    lines = [HEAD]
    for part in dict.fromkeys(page.part for page in pages):
        lines.append(f"## {part}\n")
        lines += [
            f"- [{page.title}]({page.name}.html)" + (f": {page.summary}" if page.summary else "")
            for page in pages
            if page.part == part
        ]
        lines.append("")
    return "\n".join(lines)


def build_whole(pages: Iterable[Page]) -> str:
    """Return the text of ``llms-full.txt``: the sources of all pages."""
    return "\n\n".join(
        [f"{HEAD}\n{VARIANTS}", *(f"<!-- {page.name} -->\n\n{page.text.strip()}" for page in pages)]
    )


def write_files(docs: Path, target: Path) -> None:
    """Write both files into the folder of a built site."""
    pages = find_pages(docs)
    (target / "llms.txt").write_text(build_list(pages), "utf-8")
    (target / "llms-full.txt").write_text(build_whole(pages), "utf-8")
