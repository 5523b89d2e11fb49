"""Results of a run: their form as JSON, and their tables on the terminal during the run."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from .measure import Comparison, Measure

RATE: Final = "messages/s"
COMMANDS: Final = "commands/s"
RATES: Final = (RATE, COMMANDS)
MICROSECONDS: Final = "µs"
MILLISECONDS: Final = "ms"
MEGABYTES: Final = "MB"
BYTES: Final = "bytes"


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """Measures that were taken in the same rounds, and are shown in one table and one panel.

    Attributes:
        title: the title.
        unit: the unit that is shown: a rate, a time, or the samples themselves.
        measures: in the order in which they are shown.
        comparisons: ratios between them.
        axis: the meaning of the places of measures with ``x``.
        note: a note for the reader.
    """

    title: str
    unit: str
    measures: list[Measure]
    comparisons: list[Comparison] = []
    axis: str = ""
    note: str = ""


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """All results of one group, and their environment.

    Attributes:
        name: its name for ``--only``, and of its chart.
        title: its heading.
        about: how it was measured.
        environment: the server, the machine and the versions.
        seconds: how long it took.
        sections: its tables.
    """

    name: str
    title: str
    about: str
    environment: dict[str, str]
    seconds: float
    sections: list[Section]


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """The contents of the file.

    Attributes:
        meaningless: True if it comes from a quick run, whose counts are too small to mean anything.
        groups: in the order in which they are shown.
    """

    meaningless: bool
    groups: list[Group]


def load(path: Path) -> Results:
    """Read the file of a run."""
    return msgspec.json.decode(path.read_bytes(), type=Results)


def save(path: Path, results: Results) -> None:
    """Write the file of a run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=1) + b"\n")


def shown(unit: str, sample: float) -> float:
    """Return a sample in the unit that is shown."""
    if unit in RATES:
        return 1 / sample
    return sample * {MICROSECONDS: 1e6, MILLISECONDS: 1e3}.get(unit, 1.0)


def heading(section: Section) -> str:
    """Return a section's title as a heading."""
    return section.title[0].upper() + section.title[1:]


def spread(unit: str, measure: Measure) -> tuple[float, float]:
    """Return the smallest and the largest of a measure's rounds in the unit that is shown."""
    values = [shown(unit, sample) for sample in measure.samples]
    return min(values), max(values)


def number(value: float) -> str:
    """Format a number of any unit: three significant digits or more."""
    decimals = 0 if value >= 99.95 else 1 if value >= 9.995 else 2
    return f"{value:,.{decimals}f}"


def limit(comparison: Comparison) -> str:
    """Return the limit as a string; '' without one."""
    if comparison.wanted is None:
        return ""
    sign = "≤" if comparison.at_most else "≥"
    return f"{sign} {comparison.wanted:g} {comparison.unit}"


def verdict(comparison: Comparison) -> str:
    """Return the limit, and whether it is reached; '' without one."""
    if comparison.wanted is None:
        return ""
    state = "reached" if comparison.reached else "NOT REACHED"
    return f"wanted {limit(comparison)}: {state}"


def show_environment(environment: dict[str, str]) -> None:
    """Print the environment of the numbers."""
    for name, value in environment.items():
        print(f"  {name:20} {value}")


def show_heading(title: str, about: str) -> None:
    """Print a group's heading before it begins."""
    print(f"\n=== {title}\n{about}", flush=True)


def show(section: Section, *, judge: bool) -> None:
    """Print a section's table, and the limits unless the numbers mean nothing."""
    print(f"\n  {section.title}   [{section.unit}: median, and smallest to largest round]")
    for line in filter(None, (section.axis and f"[…]: {section.axis}", section.note)):
        print(f"  {line}")
    width = max(len(_label(each.name, each.x)) for each in section.measures)
    for measure in section.measures:
        low, high = (number(value) for value in spread(section.unit, measure))
        middle = number(shown(section.unit, measure.median))
        print(f"    {_label(measure.name, measure.x):{width}} {middle:>12}   {low} to {high}")
    for each in section.comparisons:
        value = f"{number(each.value)} {each.unit}"
        rounds = f"({number(each.low)} to {number(each.high)})"
        judgment = verdict(each) if judge else ""
        print(f"    → {_label(each.name, each.x)}: {value} {rounds} {judgment}".rstrip())
    print(end="", flush=True)


def _label(name: str, x: str) -> str:
    return f"{name} [{x}]" if x else name
