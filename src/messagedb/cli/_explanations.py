"""The docs' pages about the error classes, as strings for a terminal.

A wheel has them beside this file, by scripts/hatch_hook.py; a tree has them in docs/errors.
"""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path

import msgspec

from messagedb import ValidationError
from messagedb._errors import DOCS_URL

_IN_WHEEL = Path(__file__).parent / "_error_pages"
_IN_TREE = Path(__file__).parents[3] / "docs" / "errors"
_LINK = re.compile(r"\[([^]]+)\]\(([^)\s]+)\)")
# Links of the line below the first paragraph, to pages that a terminal does not have.
_LINKS_ONLY = re.compile(r"( · \[(attributes|all errors)\]\([^)]+\))+$", re.MULTILINE)
_BROKEN_LINE = re.compile(r"(?<=[^\n])\n *(?=[^\s#-])")

# The titles of the pages that those of the errors link to: an installation has no other pages.
TITLES = {
    "consumers.md": "Consumers",
    "entities.md": "Entities",
    "errors.md": "Errors",
    "frameworks.md": "FastAPI, Starlette, Flask, Django",
    "guarantees.md": "Guarantees of a consumer",
    "high-availability.md": "High availability",
    "idempotence.md": "Idempotence: commands that come twice",
    "install.md": "Install",
    "metadata.md": "Metadata, and the names of a component",
    "read-models.md": "Read models",
    "reference/embedded.md": "messagedb.embedded",
    "reference/errors.md": "Errors",
    "scaling.md": "Scaling",
    "see.md": "See it: a store in a browser",
    "telemetry.md": "Hooks, telemetry and logs",
    "transactions.md": "Transactions",
    "troubleshooting.md": "Troubleshooting by symptom",
    "tuning.md": "Tuning",
    "typed-messages.md": "Typed messages and schema versions",
}


class Explanation(msgspec.Struct, frozen=True):
    """The page of a class of errors, and its first sentence.

    Attributes:
        error: the name of the class.
        summary: the first sentence of its page.
        page: the page in Markdown without links, one line for each paragraph and each list item.
    """

    error: str
    summary: str
    page: str


def load_explanations() -> list[Explanation]:
    """Return the explanations of all classes, in the order of their names."""
    folder = _IN_WHEEL if _IN_WHEEL.is_dir() else _IN_TREE
    return [_parse_page(path) for path in sorted(folder.glob("*.md"))]


def find_explanation(name: str) -> Explanation:
    """Return the explanation of one class.

    Args:
        name: its name in any case, also as a traceback has it: ``messagedb.errors.ServerError``.

    Raises:
        ValidationError: there is no such class. The string suggests one that is near.
    """
    found = {each.error.lower(): each for each in load_explanations()}
    wanted = name.rpartition(".")[2].lower()
    if wanted in found:
        return found[wanted]
    near = [found[each].error for each in get_close_matches(wanted, found, n=1)]
    hint = f" Did you mean {near[0]}?" if near else ""
    raise ValidationError(
        f"messagedb has no error {name!r}.{hint} All of them: messagedb explain. An error of your"
        " own class has the page of its base class."
    )


def _parse_page(path: Path) -> Explanation:
    text = _BROKEN_LINE.sub(" ", _LINKS_ONLY.sub("", path.read_text("utf-8")))
    text = _LINK.sub(_replace_link, text)
    first_paragraph = text.split("\n\n")[1]
    summary = re.split(r"(?<=\.) ", first_paragraph, maxsplit=1)[0]
    return Explanation(path.stem, summary, text.strip())


def _replace_link(found: re.Match[str]) -> str:
    """Return the text of a link, and the page to look at, if it is not one of these pages."""
    text, target = found.groups()
    page, _, anchor = target.removeprefix("../").partition("#")
    if page == target.partition("#")[0]:  # beside this one
        return text
    if not DOCS_URL:
        return f'{text} (in the documentation, page "{TITLES[page]}")'
    return f"{text} ({DOCS_URL}{page.removesuffix('.md')}.html{'#' if anchor else ''}{anchor})"
