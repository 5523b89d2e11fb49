"""Figures of a run with Patroni: what is written as JSON, and the tables of the docs' page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.replication.steps import Seen

NAMES = (
    "failovers",
    "acknowledged",
    "missing",
    "doubled",
    "handled",
    "unhandled",
    "effects",
    "effects_missing",
    "effects_doubled",
)
"""The figures that such a run has."""

_ROADS = {"hosts": "all hosts", "HAProxy": "HAProxy"}


@dataclass(frozen=True)
class SeenBy:
    """A step as the writers of one client saw it: its variant, way to the primary, timeout."""

    variant: str
    road: str
    command_timeout: float
    seen: Seen

    @property
    def client(self) -> str:
        """The client in words."""
        timeout = f"`command_timeout={self.command_timeout:.0f}`"
        return f"{self.variant}, {_ROADS[self.road]}, {timeout}"


@dataclass(frozen=True)
class Report:
    """All figures of a run."""

    versions: dict[str, str]
    nodes: int
    timing: dict[str, int]
    figures: dict[str, int]
    seen: list[SeenBy]
    seconds: int
    date: str = ""
    python: str = ""

    @classmethod
    def read(cls, file: Path) -> Report:
        """Read what a run has written."""
        found: dict[str, Any] = json.loads(file.read_text())
        seen = [SeenBy(**{**each, "seen": Seen(**each["seen"])}) for each in found.pop("seen")]
        return cls(seen=seen, **found)

    def problems(self, fewest: int) -> list[str]:
        """Tell what was not tried: failovers, or writes to an old primary that continued."""
        found: list[str] = []
        if self.figures["failovers"] < fewest:
            found.append(f"only {self.figures['failovers']} failovers, and not {fewest}")
        pauses = [each.seen for each in self.seen if each.seen.name == "pause"]
        if not pauses or not all(each.unknown_to_old for each in pauses):
            found.append("no session of a paused primary had a write that it continued")
        return found

    def totals(self) -> str:
        """Return a table in Markdown of what was written, handled, lost and doubled."""
        figure = {name: f"{number:,}" for name, number in self.figures.items()}
        return _table(
            ("", ""),
            ("---", "---:"),
            ("switch-overs, failovers and pauses", figure["failovers"]),
            ("messages acknowledged", figure["acknowledged"]),
            ("acknowledged and missing; stored twice", f"{figure['missing']}; {figure['doubled']}"),
            ("messages handled; never handled", f"{figure['handled']}; {figure['unhandled']}"),
            (
                "effects of transactional consumers; missing; doubled",
                f"{figure['effects']}; {figure['effects_missing']}; {figure['effects_doubled']}",
            ),
        )

    def table(self) -> str:
        """Return a table in Markdown of the longest interruptions, by step and client."""
        longest: dict[tuple[str, str], float] = {}
        for each in self.seen:
            at = (each.client, each.seen.name)
            longest[at] = max(longest.get(at, 0.0), each.seen.interruption)
        return self._by_client({at: f"{seconds:.1f} s" for at, seconds in longest.items()})

    def errors(self) -> str:
        """Return a table in Markdown of the errors of both kinds, by step and client."""
        errors: dict[tuple[str, str], tuple[int, int]] = {}
        for each in self.seen:
            at = (each.client, each.seen.name)
            unknown, unavailable = errors.get(at, (0, 0))
            errors[at] = (unknown + each.seen.unknown, unavailable + each.seen.unavailable)
        return self._by_client({at: f"{one}; {other}" for at, (one, other) in errors.items()})

    def _by_client(self, cells: Mapping[tuple[str, str], str]) -> str:
        names = dict.fromkeys(each.seen.name for each in self.seen)
        rows = [
            (client, *(cells[client, name] for name in names))
            for client in dict.fromkeys(each.client for each in self.seen)
        ]
        return _table(("client", *names), ("---", *("---:" for _ in names)), *rows)


def _table(*rows: tuple[str, ...]) -> str:
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)
