"""Find links inside a built site to files, anchors and archives that are missing or broken."""

from __future__ import annotations

import re
from html import unescape
from pathlib import Path
from typing import Final
from urllib.parse import unquote
from zipfile import BadZipFile, ZipFile

LINK: Final = re.compile(r'\b(?:href|src)="([^"]*)"')
ELSEWHERE: Final = re.compile(r"[a-z]+:|/")
"""How a link begins that is not looked at: with a scheme, or with the root of a host."""

ID: Final = re.compile(r'\bid="([^"]+)"')


class Site:
    """A built site, of which each page is read once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.anchors: dict[Path, set[str]] = {}
        self.archives: dict[Path, str] = {}

    def find_faults(self) -> list[str]:
        """Return what is wrong with the links of all pages."""
        faults: list[str] = []
        for page in sorted(self.folder.rglob("*.html")):
            name = page.relative_to(self.folder).as_posix()
            if name.startswith("_"):
                continue
            for link in sorted(set(LINK.findall(page.read_text("utf-8")))):
                if not ELSEWHERE.match(link) and (fault := self.find_fault(page, unescape(link))):
                    faults.append(f"{name} links to {link}: {fault}")
        return faults

    def find_fault(self, page: Path, link: str) -> str:
        """Return what is wrong with a link of a page, or nothing."""
        address, _, anchor = link.partition("#")
        path = unquote(address.partition("?")[0])
        target = (page.parent / path).resolve() if path else page
        if not target.is_file():
            return "there is no such file"
        if anchor and target.suffix == ".html" and unquote(anchor) not in self.read_anchors(target):
            return "there is no such anchor"
        return self.read_archive(target) if target.suffix == ".zip" else ""

    def read_anchors(self, page: Path) -> set[str]:
        """Return the anchors of a page."""
        if page not in self.anchors:
            self.anchors[page] = set(map(unescape, ID.findall(page.read_text("utf-8"))))
        return self.anchors[page]

    def read_archive(self, path: Path) -> str:
        """Return what is wrong with an archive, or nothing."""
        if path not in self.archives:
            try:
                with ZipFile(path) as archive:
                    broken = archive.testzip()
                    has_code = any(name.endswith(".py") for name in archive.namelist())
            except BadZipFile:
                self.archives[path] = "it is no archive"
            else:
                self.archives[path] = "" if has_code and not broken else "it has no sound programs"
        return self.archives[path]
