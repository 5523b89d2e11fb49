"""Charts of a run from its JSON alone: an SVG for each group, and the tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib  # pyright: ignore[reportMissingImports]
from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]

from . import markdown, report
from .measure import Measure
from .report import RATES, Group, Section, heading, number, shown, spread

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    # The same results draw the same file.
    "svg.hashsalt": "messagedb",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.edgecolor": "#888888",
    "axes.labelcolor": "#444444",
    "xtick.color": "#444444",
    "grid.color": "#e4e4e4",
    "legend.frameon": False,
}
_OURS: Final = ("#1f5f9f", "#6fa8dc")
_RIVALS: Final = ("#9a9a9a", "#c4c4c4", "#d9a441")
_SPREAD: Final = "#333333"

_WIDTH = 9.0
_BAR = 0.30
_LINES = 1.9
_AROUND = 0.72
_LEGEND = 0.65
_HEAD = 0.75
"""Inches: of one bar, of a panel with lines, and of the margins of a panel and the figure."""


def draw(results: Path) -> None:
    """Draw every group into the folder of the results, and write the tables beside them."""
    found = report.load(results)
    folder = results.parent
    with matplotlib.rc_context(_STYLE):
        for group in found.groups:
            figure = _figure(group, found.meaningless)
            path = folder / f"{group.name}.svg"
            figure.savefig(path, metadata={"Date": None, "Creator": None})
            # Lines that end with a space would be changed by a commit hook.
            lines = path.read_text(encoding="utf-8").splitlines()
            path.write_text("".join(f"{line.rstrip()}\n" for line in lines), encoding="utf-8")
            print(f"drawn: {path}")
    tables = folder / "results.md"
    tables.write_text(markdown.text(found), encoding="utf-8")
    print(f"written: {tables}")


def _figure(group: Group, meaningless: bool) -> Any:
    heights = [_height(section) for section in group.sections]
    legends = [_has_legend(group, place) for place in range(len(heights))]
    height = _HEAD + sum(heights) + _AROUND * len(heights) + _LEGEND * sum(legends)
    figure = Figure(figsize=(_WIDTH, height), layout="constrained", facecolor="white")
    title = f"{group.title} (a quick run: the numbers mean nothing)" if meaningless else group.title
    figure.suptitle(f"{title}\n", x=0.01, ha="left", fontsize=12, fontweight="bold")
    figure.supxlabel(_caption(group), x=0.01, ha="left", fontsize=8, color="#666666")
    axes = figure.subplots(
        len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights}
    ).flat
    for section, each, has_legend in zip(group.sections, axes, legends, strict=True):
        each.set_title(heading(section))
        if section.axis:
            _draw_lines(each, section)
        else:
            _draw_bars(each, section)
        if has_legend:
            each.legend(loc="upper left", bbox_to_anchor=(0.0, -0.24), ncols=2)
    return figure


def _height(section: Section) -> float:
    return _LINES if section.axis else _BAR * len(section.measures)


def _has_legend(group: Group, place: int) -> bool:
    """Return True if the panel has a legend: equal panels in sequence have one, below the last."""
    here, *after = group.sections[place:]
    return bool(here.axis) and not (after and after[0].axis and _names(after[0]) == _names(here))


def _names(section: Section) -> set[str]:
    return {measure.name for measure in section.measures}


def _caption(group: Group) -> str:
    found = group.environment
    return (
        "Medians; thin lines: smallest to largest round. ×: how many times as fast messagedb is. "
        f"PostgreSQL {found['PostgreSQL']}, fsync {found['fsync']}, {found['CPUs']} CPUs, "
        f"Python {found['Python']}"
    )


def _draw_bars(axes: Any, section: Section) -> None:
    colors = _colors(section.measures)
    ratios = _ratios(section)
    longest = max(spread(section.unit, measure)[1] for measure in section.measures)
    for place, measure in enumerate(section.measures):
        value = shown(section.unit, measure.median)
        low, high = spread(section.unit, measure)
        axes.barh(place, value, height=0.66, color=colors[measure.name])
        if low < high:
            axes.plot([low, high], [place, place], color=_SPREAD, linewidth=1)
        label = f"{number(value)}{ratios.get(measure.name, '')}"
        axes.text(
            high + longest * 0.012,
            place,
            label,
            verticalalignment="center",
            fontweight="bold" if measure.ours else "normal",
        )
    axes.set_yticks(range(len(section.measures)), [measure.name for measure in section.measures])
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(section.measures) - 0.5, -0.5)
    axes.set_xlim(0, longest * 1.22)
    axes.set_xlabel(_with_direction(section.unit))
    axes.xaxis.set_major_formatter(_thousands)
    axes.grid(axis="x")


def _ratios(section: Section) -> dict[str, str]:
    """Return the ratio to show beside each rival, if one measure of ours has ratios to them."""
    if sum(measure.ours for measure in section.measures) != 1:
        return {}
    return {
        each.rival: f"   ({number(each.value)} ×)" for each in section.comparisons if each.rival
    }


def _draw_lines(axes: Any, section: Section) -> None:
    places = list(dict.fromkeys(measure.x for measure in section.measures))
    series: dict[str, list[Measure]] = {}
    for measure in section.measures:
        series.setdefault(measure.name, []).append(measure)
    colors = _colors(section.measures)
    for name, measures in series.items():
        middle = [shown(section.unit, measure.median) for measure in measures]
        around = [spread(section.unit, measure) for measure in measures]
        errors = (
            [value - low for value, (low, _) in zip(middle, around, strict=True)],
            [high - value for value, (_, high) in zip(middle, around, strict=True)],
        )
        axes.errorbar(
            [places.index(measure.x) for measure in measures],
            middle,
            yerr=errors,
            color=colors[name],
            label=name,
            marker="o" if measures[0].ours else "s",
            markersize=4,
            linewidth=1.8 if measures[0].ours else 1.2,
            elinewidth=0.8,
        )
    axes.set_xticks(range(len(places)), places)
    axes.set_xlabel(section.axis)
    axes.set_ylabel(_with_direction(section.unit))
    longest = max(spread(section.unit, measure)[1] for measure in section.measures)
    axes.set_ylim(0, longest * 1.08)
    axes.yaxis.set_major_formatter(_thousands)
    axes.grid(axis="y")


def _colors(measures: list[Measure]) -> dict[str, str]:
    """Return blues for our measures; grays and other colors for the rivals."""
    ours = dict.fromkeys(measure.name for measure in measures if measure.ours)
    rivals = dict.fromkeys(measure.name for measure in measures if not measure.ours)
    lines = any(measure.x for measure in measures)
    return {
        name: palette[number % len(palette) if lines else 0]
        for names, palette in ((ours, _OURS), (rivals, _RIVALS))
        for number, name in enumerate(names)
    }


def _with_direction(unit: str) -> str:
    return f"{unit} ({'more' if unit in RATES else 'less'} is better)"


def _thousands(value: float, _: object) -> str:
    return f"{value:,.10g}"
