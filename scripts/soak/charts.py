"""The samples of a run as an SVG that can be read on light and on dark pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import matplotlib  # pyright: ignore[reportMissingImports]
from matplotlib.figure import Figure  # pyright: ignore[reportMissingImports]

from .samples import MEASURES, Samples

_STYLE: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    # The same samples draw the same file.
    "svg.hashsalt": "messagedb",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
}

# Each color is drawn as a placeholder, and replaced by a variable that the page's scheme sets.
_COLORS: Final = {
    "#010101": ("--text", "#333333", "#dddddd"),
    "#020202": ("--grid", "#e4e4e4", "#444444"),
    "#030303": ("--line", "#1f5f9f", "#7db4e8"),
    "#040404": ("--slope", "#b04a00", "#f0a050"),
}
_TEXT, _GRID, _LINE, _SLOPE = _COLORS

_WIDTH, _HEIGHT = 9.0, 1.35
"""Inches: of the figure, and of one panel."""


def draw(samples: Samples, title: str, path: Path) -> None:
    """Draw a panel for each measure, with the line over the second half."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, _HEIGHT * len(MEASURES) + 0.6), layout="constrained")
        figure.patch.set_alpha(0.0)
        figure.suptitle(title, x=0.01, ha="left", fontsize=11, color=_TEXT)
        panels = figure.subplots(len(MEASURES), 1, sharex=True)
        for axes, (name, unit) in zip(panels, MEASURES.items(), strict=True):
            _draw_panel(axes, samples, name, unit)
        panels[-1].set_xlabel("seconds", color=_TEXT)
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    path.write_text(_adapt(path.read_text(encoding="utf-8")), encoding="utf-8")


def _draw_panel(axes: Any, samples: Samples, name: str, unit: str) -> None:
    places, values = samples.seconds, samples.values[name]
    slope = samples.compute_slope(name)
    axes.plot(places, values, color=_LINE, linewidth=1.2)
    half = len(places) // 2
    later = places[half:]
    if len(later) > 1:
        middle, mean = sum(later) / len(later), sum(values[half:]) / len(later)
        ends = (later[0], later[-1])
        line = [mean + slope / 60 * (end - middle) for end in ends]
        axes.plot(ends, line, color=_SLOPE, linewidth=1.2, linestyle="--")
    axes.set_title(f"{unit} ({slope:+.2f} per minute in the second half)", color=_TEXT)
    axes.set_ylim(0, max(*values, 1) * 1.15)
    axes.grid(axis="y", color=_GRID)
    axes.set_axisbelow(True)
    axes.patch.set_alpha(0.0)
    axes.tick_params(colors=_TEXT)
    for spine in axes.spines.values():
        spine.set_color(_TEXT)


def _adapt(svg: str) -> str:
    """Let the colors follow the color scheme of the reader, and end no line with a space."""
    light = "".join(f"{name}: {light}; " for name, light, _ in _COLORS.values())
    dark = "".join(f"{name}: {dark}; " for name, _, dark in _COLORS.values())
    style = (
        f"<style>svg {{ {light}}} @media (prefers-color-scheme: dark) {{ svg {{ {dark}}} }}</style>"
    )
    for placeholder, (name, _, _) in _COLORS.items():
        svg = svg.replace(placeholder, f"var({name})")
    svg = svg.replace("<defs>", f"{style}\n <defs>", 1)
    return "".join(f"{line.rstrip()}\n" for line in svg.splitlines())
