"""The figures of a run, and those that have to be 0."""

from __future__ import annotations

from dataclasses import dataclass, field, fields

_TEXTS = {
    "cases": "cases",
    "injected": "faults injected",
    "acknowledged": "messages acknowledged",
    "lost": "of these lost (0)",
    "doubled": "messages stored twice (0)",
    "false_claims": "outcomes that the database contradicts, or errors without a type (0)",
    "leaks": "leaks of connections, tasks, threads, descriptors or sessions (0)",
    "outlived": "calls that took longer than their timeout allows (0)",
    "not_healed": "pools that did not heal (0)",
    "not_met": "faults that no operation met (0)",
    "not_run": "faults that this machine cannot cause",
}
ZERO = [name for name, text in _TEXTS.items() if text.endswith("(0)")]


@dataclass
class Figures:
    """Counts of cells or messages; those of ``ZERO`` have to be 0."""

    cases: int = 0
    injected: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    false_claims: int = 0
    leaks: int = 0
    outlived: int = 0
    not_healed: int = 0
    not_met: int = 0
    not_run: int = 0
    outcomes: dict[str, int] = field(default_factory=dict[str, int])

    def add(self, other: Figures) -> None:
        """Add the figures of another cell."""
        for name in _TEXTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for outcome, count in other.outcomes.items():
            self.outcomes[outcome] = self.outcomes.get(outcome, 0) + count

    def counts(self) -> dict[str, int]:
        """Return all figures by their names."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name in _TEXTS}

    def lines(self) -> list[str]:
        """Return a line for each figure."""
        return [f"{getattr(self, name):>9,}  {text}" for name, text in _TEXTS.items()]

    def failures(self, *, is_ci: bool) -> list[str]:
        """Return what is not as it has to be.

        Args:
            is_ci: True if each fault has to be caused.
        """
        found = [
            f"not zero: {_TEXTS[name]}: {value}" for name in ZERO if (value := getattr(self, name))
        ]
        if is_ci and self.not_run:
            found.append(f"{self.not_run} faults were not caused, and CI may skip nothing")
        if not (self.cases and self.injected and self.acknowledged):
            found.append("nothing was tried")
        return found
