"""The clients' cases that differ through PL/Proxy: each with the reason, and the error it ends in.

``nox -s conformance`` runs the cases of ``THROUGH_NODES`` in noxfile.py with two nodes. The others
run with ``MESSAGEDB_TEST_SCHEMA=nodes-2`` on a PostgreSQL that has PL/Proxy. A case that is listed
in ``through_nodes.toml`` must end with an error of its entry, and its error or its log must have
the words of the entry: one that passes fails the run, unless its entry says that it passes at
times, and so does one that ends otherwise. The page
"Several nodes" has each difference.
"""

from __future__ import annotations

import re
import tomllib
from fnmatch import fnmatchcase
from pathlib import Path
from pkgutil import resolve_name
from typing import Any, Final, NamedTuple

import pytest


class Difference(NamedTuple):
    """A difference, and the cases that show it. What a case does before its error is not looked at.

    Attributes:
        reason: the reason, which is a row of the page.
        errors: the errors that the cases end with.
        is_certain: False if the cases pass at times: it depends on the nodes that their categories
            are on, or on who of many reads when.
        words: what the text of the error, or the log, has: a regular expression.
        cases: the names of functions, by their files. ``test_x`` is a case with all parameters,
            and ``test_x[table-*]`` those that the pattern matches.
    """

    reason: str
    errors: tuple[type[BaseException], ...]
    is_certain: bool
    words: str
    cases: dict[str, list[str]]

    def has(self, path: str, function: str, params: str) -> bool:
        """Return True if a case is one of these."""
        return any(
            _matches(pattern, function, params)
            for file, patterns in self.cases.items()
            if path.endswith(f"/{file}.py")
            for pattern in patterns
        )


def _matches(pattern: str, function: str, params: str) -> bool:
    name, bracket, wanted = pattern.partition("[")
    return name == function and (not bracket or fnmatchcase(params, wanted.removesuffix("]")))


def _load() -> tuple[Difference, ...]:
    text = Path(__file__).with_suffix(".toml").read_text(encoding="utf-8")
    tables: list[dict[str, Any]] = tomllib.loads(text)["difference"]
    return tuple(
        Difference(
            each["reason"],
            tuple(map(resolve_name, each["errors"])),
            not each.get("at_times", False),
            each["words"],
            each["cases"],
        )
        for each in tables
    )


DIFFERENCES: Final = _load()
"""The differences."""

_KEY: Final = pytest.StashKey[Difference]()


def mark_difference(item: pytest.Item) -> None:
    """Mark a case that differs.

    Args:
        item: the case.
    """
    function = getattr(item, "originalname", item.name)
    params = item.name.removeprefix(function).removeprefix("[").removesuffix("]")
    for each in DIFFERENCES:
        if each.has(item.path.as_posix(), function, params):
            item.stash[_KEY] = each
            mark = pytest.mark.xfail(raises=each.errors, reason=each.reason, strict=each.is_certain)
            item.add_marker(mark)
            return


def check_words(item: pytest.Item, error: BaseException | None, report: pytest.TestReport) -> None:
    """Fail a case that differs, and neither its error nor its log has the words.

    Args:
        item: the case.
        error: what it ended with, if it did not pass.
        report: the report of a phase of it, with its log.
    """
    difference = item.stash.get(_KEY, None)
    if difference is None or error is None or not hasattr(report, "wasxfail"):
        return
    log = [text for _, text in report.sections]
    if not re.search(difference.words, "\n".join([_describe(error), *log]), re.DOTALL):
        del report.wasxfail
        report.outcome = "failed"
        report.longrepr = f"through nodes it does not say {difference.words!r}: {report.longrepr}"


def _describe(error: BaseException | None) -> str:
    """Return the text of an error and of those that were raised before it."""
    found: list[str] = []
    while error is not None:
        found.append(str(error))
        error = error.__cause__ or error.__context__
    return "\n".join(found)
