"""The measuring kernel: contenders in turn, round by round, and the ratios of their medians."""

from __future__ import annotations

import gc
import statistics
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import NamedTuple

import msgspec


class Contender(NamedTuple):
    """One of the ways that are measured side by side.

    Attributes:
        name: its name in tables and charts: the library, a colon, and the way.
        run: does the work once; this is timed.
        operations: how many operations one run does. Times are for one of them.
        x: its place on the axis, if the same name is measured at several.
    """

    name: str
    run: Callable[[], object]
    operations: int
    x: str = ""


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one contender.

    Attributes:
        name: its name in tables and charts: the library, a colon, and the way.
        samples: one of each round: the seconds of one operation, or MB, or bytes.
        x: its place on the axis, if the same name was measured at several.
    """

    name: str
    samples: list[float]
    x: str = ""

    @property
    def ours(self) -> bool:
        """True if it is messagedb."""
        return self.name.partition(":")[0] == "messagedb"

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return statistics.median(self.samples)


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """A ratio of medians, or a quantity, and its limit.

    Attributes:
        name: the names that are compared.
        rival: the measure in the denominator of a ratio, '' without one.
        value: the ratio of the medians, or the quantity.
        low: the smallest such ratio of a single round.
        high: the largest.
        unit: ``×`` for a ratio.
        wanted: the limit; None for a ratio that is for information.
        at_most: whether the limit is an upper one.
        x: the place on the axis.
    """

    name: str
    rival: str = ""
    value: float
    low: float
    high: float
    unit: str = "×"
    wanted: float | None = None
    at_most: bool = False
    x: str = ""

    @property
    def reached(self) -> bool | None:
        """True if the value is within the limit; None without one."""
        if self.wanted is None:
            return None
        return self.value <= self.wanted if self.at_most else self.value >= self.wanted


def measure(contenders: Sequence[Contender], rounds: int, turns: int = 1) -> list[Measure]:
    """Run every contender once untimed, then all of them in turn, once per round.

    A disturbance of the machine for some seconds so affects all of them.

    Args:
        contenders: the ways to measure.
        rounds: how many samples of each are taken.
        turns: how often each has its turn in a round, whose sample is the mean of them. Many short
            turns also distribute disturbances of less than a second.
    """
    for contender in contenders:
        contender.run()
    samples: list[list[float]] = [[] for _ in contenders]
    for _ in range(rounds):
        seconds = [0.0 for _ in contenders]
        for _ in range(turns):
            for number, contender in enumerate(contenders):
                seconds[number] += _seconds(contender)
        for contender, mine, spent in zip(contenders, samples, seconds, strict=True):
            mine.append(spent / (contender.operations * turns))
    return [
        Measure(name=contender.name, samples=mine, x=contender.x)
        for contender, mine in zip(contenders, samples, strict=True)
    ]


def _seconds(contender: Contender) -> float:
    # The garbage of one is not collected in the time of the next.
    gc.collect()
    begun = perf_counter()
    contender.run()
    return perf_counter() - begun


def times_as_fast(ours: Measure, rival: Measure, wanted: float | None = None) -> Comparison:
    """Return how many times as fast ours is: the rival's median time by our median time.

    Args:
        ours: measured in the same rounds as the rival.
        rival: the measure to compare with.
        wanted: the smallest wanted factor.
    """
    ratios = [theirs / mine for mine, theirs in zip(ours.samples, rival.samples, strict=True)]
    return Comparison(
        name=f"{ours.name} ÷ {rival.name}",
        rival=rival.name,
        value=rival.median / ours.median,
        low=min(ratios),
        high=max(ratios),
        wanted=wanted,
        x=ours.x,
    )


def spread_of(measures: Sequence[Measure], name: str, wanted: float | None = None) -> Comparison:
    """Return the ratio of the largest median to the smallest.

    Args:
        measures: measured in the same rounds.
        name: the name of the comparison.
        wanted: the largest wanted ratio.
    """
    smallest = min(measures, key=lambda each: each.median)
    largest = max(measures, key=lambda each: each.median)
    ratios = [high / low for low, high in zip(smallest.samples, largest.samples, strict=True)]
    return Comparison(
        name=name,
        value=largest.median / smallest.median,
        low=min(ratios),
        high=max(ratios),
        wanted=wanted,
        at_most=True,
    )


def quantity(measure: Measure, name: str, unit: str, wanted: float) -> Comparison:
    """Compare a measured quantity with an upper limit."""
    return Comparison(
        name=name,
        value=measure.median,
        low=min(measure.samples),
        high=max(measure.samples),
        unit=unit,
        wanted=wanted,
        at_most=True,
    )
