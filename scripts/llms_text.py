"""The site for programs that read text: ``llms.txt`` lists its pages, ``llms-full.txt`` has them.

Sphinx calls ``write_files`` at the end of a build (docs/conf.py).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from llms_files import include_files

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
_UNREAD = re.compile(r"\{(?:eval-rst|include|literalinclude|raw)\}")
_NAMES = re.compile(r"^```\{eval-rst\}\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_NAME = re.compile(r"^\.\. [\w:]+:: ([\w.]+)$", re.MULTILINE)
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
                page = include_files(page, Path(docs, entry[1]).parent)
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


def list_unread(whole: str) -> list[str]:
    """Return the directives of Sphinx in ``llms-full.txt``, in place of what they show."""
    return sorted(set(_UNREAD.findall(whole)))


def needs_rendering(page: Page) -> bool:
    """Return True if Sphinx makes a part of a page from docstrings, which its text does not have.

    The async variant is not repeated: a program that reads the file knows the rule for its names.
    """
    return "{eval-rst}" in page.text and not page.name.startswith("reference/async-")


def show_names(page: Page) -> Page:
    """Return a page with the names that its directives describe, in place of the directives."""

    def show(found: re.Match[str]) -> str:
        return "\n".join(f"- `{name}`" for name in _NAME.findall(found[1]))

    return replace(page, text=_NAMES.sub(show, page.text))


def write_files(docs: Path, target: Path, rendered: Mapping[str, str]) -> None:
    """Write both files into the folder of a built site, with the pages that Sphinx has rendered."""
    pages = find_pages(docs)
    (target / "llms.txt").write_text(build_list(pages), "utf-8")
    full = [
        replace(page, text=rendered[page.name]) if page.name in rendered else show_names(page)
        for page in pages
    ]
    (target / "llms-full.txt").write_text(build_whole(full), "utf-8")
