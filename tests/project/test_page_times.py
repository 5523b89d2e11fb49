"""The trial of the UI's pages notices one that is slow, grows with the store, or fails."""

from __future__ import annotations

from typing import Any

import pytest
from pages.measuring import FIGURES, Pages, compare
from trials.figures import Figures, Run


def measured(seconds: dict[str, float], failures: tuple[str, ...] = ()) -> Pages:
    nothing: Any = None
    pages = Pages(nothing, nothing)
    for route, time in seconds.items():
        pages.addresses[route].append(f"{route}?a=1")
        pages.seconds[route] = time
        pages.largest[route] = 1000
        pages.slowest[route] = f"{route}?a=1"
    pages.failures += failures
    return pages


def problems(small: dict[str, float], large: dict[str, float], *failures: str) -> dict[str, int]:
    run = Run("pages", True, Figures(FIGURES))
    compare(run, measured(small), measured(large, failures))
    counts = run.figures.counts
    return {name: counts[name] for name in ("failed", "slow", "growing") if counts[name]}


def test_pages_in_bounds_are_no_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert problems({"/": 0.1, "/stream": 0.001}, {"/": 0.4, "/stream": 0.019}) == {}
    assert "/stream" in capsys.readouterr().out


def test_a_page_that_is_slow_or_grows_is_a_problem() -> None:
    assert problems({"/": 0.5}, {"/": 1.0}) == {"slow": 1}
    assert problems({"/": 0.05}, {"/": 0.3}) == {"growing": 1}
    assert problems({"/metrics": 0.05}, {"/metrics": 3.0}) == {}


def test_a_page_that_fails_is_a_problem() -> None:
    assert problems({"/": 0.1}, {"/": 0.1}, "500 of /") == {"failed": 1}
