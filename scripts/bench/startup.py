"""Start of a program: the import of the package, beside that of psycopg."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

from .measure import Comparison, Measure
from .report import MILLISECONDS, Section
from .topic import Bench, Topic

_PSYCOPG = "psycopg: import psycopg"
_PACKAGE = "messagedb: import messagedb"
_STATEMENTS = {
    _PSYCOPG: "import psycopg",
    _PACKAGE: "import messagedb",
    "messagedb: from messagedb import Client": "from messagedb import Client",
    "messagedb: from messagedb import AsyncClient": "from messagedb import AsyncClient",
    "messagedb: both of them": "from messagedb import AsyncClient, Client",
}
_MOST = 1.3

UNCOMPILED = "PYTHONDONTWRITEBYTECODE"
"""Variable with which Python would compile every module at each start, other than after pip."""


def run(bench: Bench) -> Iterator[Section]:
    """Run each statement in a new process, all of them in turn."""
    samples: dict[str, list[float]] = {name: [] for name in _STATEMENTS}
    for statement in _STATEMENTS.values():
        _seconds(statement)
    for _ in range(bench.pick(3 * bench.rounds, 1)):
        for name, statement in _STATEMENTS.items():
            samples[name].append(_seconds(statement))
    measures = [Measure(name=name, samples=each) for name, each in samples.items()]
    psycopg, *ours = measures
    yield Section(
        title="CPU time of a process that only imports",
        unit=MILLISECONDS,
        measures=measures,
        comparisons=[
            _times_as_long(each, psycopg, _MOST if each.name == _PACKAGE else None) for each in ours
        ],
    )


def _seconds(statement: str) -> float:
    kept = {name: value for name, value in os.environ.items() if name != UNCOMPILED}
    child = subprocess.Popen([sys.executable, "-c", statement], env=kept)
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise RuntimeError(f"{statement} ended with {child.returncode}")
    return usage.ru_utime + usage.ru_stime


def _times_as_long(ours: Measure, rival: Measure, wanted: float | None) -> Comparison:
    ratios = [mine / theirs for mine, theirs in zip(ours.samples, rival.samples, strict=True)]
    return Comparison(
        name=f"time of {ours.name} ÷ {rival.name}",
        value=ours.median / rival.median,
        low=min(ratios),
        high=max(ratios),
        wanted=wanted,
        at_most=True,
    )


TOPIC = Topic(
    "startup",
    "Start",
    "The CPU time of a process of Python that runs one import, its start included. A variant is"
    " imported when one of its names is first used, so import messagedb alone imports neither.",
    run,
)
