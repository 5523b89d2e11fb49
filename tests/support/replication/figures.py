"""Results of the failovers of a run, in numbers."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, fields


@dataclass
class Figures:
    """Counts; those that have to be zero say so in `problems`."""

    failovers: int = 0
    acknowledged: int = 0
    missing: int = 0
    doubled: int = 0
    handled: int = 0
    unhandled: int = 0
    effects: int = 0
    effects_missing: int = 0
    effects_doubled: int = 0
    in_doubt: int = 0
    told_committed: int = 0
    committed_and_missing: int = 0
    rolled_back_and_stored: int = 0
    most_waiting: int = 0
    not_healed: int = 0

    def add(self, other: Figures) -> None:
        """Add those of another part of the run."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            together = max(mine, theirs) if field.name == "most_waiting" else mine + theirs
            setattr(self, field.name, together)

    def lines(self, names: Collection[str] = ()) -> list[str]:
        """Return a line for each number, or for some of them."""
        chosen = names or _TEXTS
        return [
            f"{getattr(self, name):>9,}  {text}" for name, text in _TEXTS.items() if name in chosen
        ]

    def problems(self, *, doubts: int, waiting: int) -> list[str]:
        """Tell what is not as it has to be.

        Args:
            doubts: how many COMMITs in doubt there have to be at least.
            waiting: how many sessions may wait for a standby, and have to.
        """
        found = [
            f"not zero: {_TEXTS[name]}: {value}" for name in _ZERO if (value := getattr(self, name))
        ]
        if self.in_doubt < doubts:
            found.append(f"only {self.in_doubt} COMMITs were in doubt, and not {doubts}")
        if self.most_waiting != waiting:
            found.append(f"{self.most_waiting} sessions waited for a standby, and not {waiting}")
        if not (self.failovers and self.acknowledged and self.handled and self.effects):
            found.append("nothing was tried")
        return found


_TEXTS = {
    "failovers": "failovers and switch-overs",
    "acknowledged": "messages acknowledged",
    "missing": "acknowledged and missing after a synchronous failover (0)",
    "doubled": "stored twice (0)",
    "handled": "messages of the stores handled",
    "unhandled": "never handled, without a word (0)",
    "effects": "effects of transactional consumers",
    "effects_missing": "of these missing (0)",
    "effects_doubled": "of these doubled (0)",
    "in_doubt": "COMMITs in doubt when the primary died",
    "told_committed": "of these told committed by what was found out",
    "committed_and_missing": "transactions told committed behind a failover, and not stored (0)",
    "rolled_back_and_stored": "transactions told rolled back, and stored (0)",
    "most_waiting": "sessions of a pool of 4 that waited for an absent standby, at most (4)",
    "not_healed": "writers that did not go on when the standby was back (0)",
}
_ZERO = [name for name, text in _TEXTS.items() if text.endswith("(0)")]
