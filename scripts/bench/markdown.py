"""The tables of a run in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from .measure import Measure
from .report import Group, Results, Section, heading, limit, number, shown, spread

_WARNING = (
    "**From a quick run: counts were tiny, there was one round, and the numbers mean nothing.**"
)


def text(results: Results) -> str:
    """Compose the page: its environment, then each group with its chart and its tables."""
    lines = ["# Benchmarks", ""]
    if results.meaningless:
        lines += [_WARNING, ""]
    lines += [
        "All of this page comes from `results.json`, which `nox -s bench` writes; `nox -s bench -- "
        "charts` makes the page and the charts. Each value is the median of the rounds, with the "
        "smallest and the largest of them. In a round all take turns, one after the other, "
        "on the same server and with the same payload. *A ÷ B* is how many times as fast as B A "
        "is: the ratio of the medians, with the smallest and the largest ratio of a single round.",
        "",
    ]
    environments = {tuple(group.environment.items()) for group in results.groups}
    together = len(environments) == 1
    if together:
        lines += [*_environment(results.groups[0]), ""]
    for group in results.groups:
        lines += [f"## {group.title}", "", group.about, ""]
        if not together:
            lines += [*_environment(group), ""]
        lines += [f"![{group.title}]({group.name}.svg)", ""]
        for section in group.sections:
            lines += [*_section(section, not results.meaningless), ""]
    return "\n".join(lines)


def _environment(group: Group) -> Iterator[str]:
    yield "Measured on: " + ", ".join(f"{key} {value}" for key, value in group.environment.items())


def _section(section: Section, judge: bool) -> Iterator[str]:
    yield f"### {heading(section)}"
    yield ""
    if section.note:
        yield section.note
        yield ""
    yield from _by_place(section) if section.axis else _medians(section)
    if section.comparisons:
        yield ""
        yield from _ratios(section, judge)


def _medians(section: Section) -> Iterator[str]:
    yield _row(("", section.unit, "rounds"))
    yield _row(("---", "---:", "---:"))
    for measure in section.measures:
        low, high = (number(value) for value in spread(section.unit, measure))
        value = number(shown(section.unit, measure.median))
        yield _row((_name(measure), value, f"{low} – {high}"))


def _by_place(section: Section) -> Iterator[str]:
    """Return a table of the same names at several places: a column for each place."""
    places = list(dict.fromkeys(measure.x for measure in section.measures))
    yield _row((f"{section.unit}; {section.axis}:", *places))
    yield _row(("---", *("---:" for _ in places)))
    rows: dict[str, dict[str, str]] = {}
    for measure in section.measures:
        low, high = (number(value) for value in spread(section.unit, measure))
        value = number(shown(section.unit, measure.median))
        rows.setdefault(_name(measure), {})[measure.x] = f"{value} ({low} – {high})"
    for name, cells in rows.items():
        yield _row((name, *(cells.get(place, "") for place in places)))


def _ratios(section: Section, judge: bool) -> Iterator[str]:
    """Return the ratios of the medians; limits are not shown for a quick run."""
    columns = {"": "---"}
    if section.axis:
        columns[section.axis] = "---:"
    columns |= {"ratio": "---:", "rounds": "---:"}
    if any(map(limit, section.comparisons)):
        columns["wanted"] = "---:"
        if judge:
            columns["reached"] = "---"
    yield _row(columns)
    yield _row(columns.values())
    for each in section.comparisons:
        cells = {
            section.axis: each.x,
            "": each.name,
            "ratio": f"{number(each.value)} {each.unit}",
            "rounds": f"{number(each.low)} – {number(each.high)}",
            "wanted": limit(each),
            "reached": {True: "yes", False: "**no**", None: ""}[each.reached],
        }
        yield _row(cells[column] for column in columns)


def _name(measure: Measure) -> str:
    return f"**{measure.name}**" if measure.ours else measure.name


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"
