"""Cause each fault under each operation in both variants, and count: ``nox -s faults``.

    python -m faults                 all of it, half an hour
    python -m faults --short         a fixed part, with each operation and each fault, a minute
    python -m faults --json FILE     write the figures as JSON, too
    python -m faults --only TEXT     cases whose fault, operation or variant contains the text
    python -m faults --programs DIR  PostgreSQL's programs, as /usr/lib/postgresql/15/bin

Exits with 1 if a figure that has to be 0 is not, and with CI=true if a fault cannot be caused.
"""

from __future__ import annotations

import argparse
import asyncio
import datetime
import itertools
import json
import logging
import os
import platform
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import make_sync

make_sync.make_untracked()

from messagedb.testing import FaultProxy  # noqa: E402
from tests._async import fault_case as case_of_tasks  # noqa: E402
from tests._async import fault_operations as operations_of_tasks  # noqa: E402
from tests._sync import fault_case as case_of_threads  # noqa: E402
from tests._sync import fault_operations as operations_of_threads  # noqa: E402

from .catalog import Site  # noqa: E402
from .figures import Figures  # noqa: E402
from .matrix import Case, long_cases, short_cases  # noqa: E402
from .server import FaultServer  # noqa: E402


@dataclass
class Run:
    """A run on one server.

    Attributes:
        total: the figures of all cases.
        by_fault: those of each fault.
        problems: all problems, with their cases.
        impossible: the faults that cannot be caused here, with the reason.
    """

    server: FaultServer
    total: Figures = field(default_factory=Figures)
    by_fault: dict[str, Figures] = field(default_factory=dict[str, Figures])
    problems: list[str] = field(default_factory=list[str])
    impossible: dict[str, str] = field(default_factory=dict[str, str])
    _count: int = 0

    async def run(self, case: Case, proxy: FaultProxy) -> None:
        """Run one case."""
        self._count += 1
        site = Site(self.server, proxy, f"case{self._count}x")
        fault = case.fault
        if fault.name not in self.by_fault and (reason := fault.missing(site)):
            self.impossible[fault.name] = reason
            return
        try:
            if case.variant == "async":
                operation = operations_of_tasks.OPERATIONS[case.operation]
                figures, problems = await case_of_tasks.run_case(site, operation, fault)
            else:
                threads = operations_of_threads.OPERATIONS[case.operation]
                figures, problems = case_of_threads.run_case(site, threads, fault)
        except Exception as error:
            figures = Figures(cases=1, false_claims=1)
            problems = [f"the case itself failed: {type(error).__name__}: {error}"]
        self.total.add(figures)
        self.by_fault.setdefault(fault.name, Figures()).add(figures)
        for problem in problems:
            text = f"{fault.name}: {case.operation} ({case.variant}): {problem}"
            self.problems.append(text)
            print(f"          {text}")


async def run_all(run: Run, cases: list[Case]) -> None:
    """Run the cases, and print a line for each fault."""
    with FaultProxy(run.server.url()) as proxy:
        for name, group in itertools.groupby(cases, lambda case: case.fault.name):
            since = time.monotonic()
            for case in group:
                await run.run(case, proxy)
            print(line_of(run, name, time.monotonic() - since), flush=True)
            run.server.empty()


def line_of(run: Run, name: str, seconds: float) -> str:
    """Return the line of a fault."""
    if name in run.impossible:
        return f"NOT RUN   {name}: {run.impossible[name]}"
    figures = run.by_fault[name]
    outcomes = ", ".join(f"{count} {what}" for what, count in sorted(figures.outcomes.items()))
    return f"{seconds:6.1f} s  {name:<44}{figures.injected:>4} of {figures.cases}: {outcomes}"


def to_json(run: Run, version: str, seconds: float, *, is_short: bool) -> str:
    """Return the figures of a run as JSON."""
    content = {
        "command": "nox -s faults" + (" -- --short" if is_short else ""),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "python": platform.python_version(),
        "server": version,
        "seconds": round(seconds, 1),
        "figures": run.total.counts(),
        "outcomes": run.total.outcomes,
        "not_run": run.impossible,
        "faults": {
            name: figures.counts() | {"outcomes": figures.outcomes}
            for name, figures in run.by_fault.items()
        },
        "problems": run.problems,
    }
    return json.dumps(content, indent=2, sort_keys=True) + "\n"


def main() -> int:
    """Run the cases, and return the exit status."""
    parser = argparse.ArgumentParser(prog="faults", description="Cause faults under operations.")
    parser.add_argument("--short", action="store_true", help="a fixed part of the cases")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases that contain the text")
    parser.add_argument("--programs", type=Path, metavar="DIR", help="PostgreSQL's programs")
    options = parser.parse_args()
    names = list(operations_of_tasks.OPERATIONS)
    cases = list((short_cases if options.short else long_cases)(names))
    cases = [case for case in cases if options.only in f"{case.fault.name}: {case[1]} ({case[2]})"]
    logging.disable(logging.CRITICAL)  # of what the client reports, the outcomes are counted
    begun = time.monotonic()
    server = FaultServer(options.programs)
    try:
        version = server.version
        major = int(version.partition(".")[0])
        for fault in {case.fault.name: case.fault for case in cases}.values():
            if fault.since > major:
                print(f"PostgreSQL {major} has no {fault.name}: it came with {fault.since}")
        cases = [case for case in cases if case.fault.since <= major]
        print(f"server: PostgreSQL {version}, {server.binaries}; {len(cases)} cases", flush=True)
        run = Run(server)
        asyncio.run(run_all(run, cases))
    finally:
        server.close()
    run.total.not_run = len(run.impossible)
    never = [name for name, figures in run.by_fault.items() if not figures.injected]
    run.total.not_met = len(never)
    seconds = time.monotonic() - begun
    if options.json is not None:
        options.json.write_text(to_json(run, version, seconds, is_short=options.short))
    print()
    print("\n".join(run.total.lines()))
    print(f"{seconds:9.1f}  seconds")
    for name, reason in run.impossible.items():
        print(f"NOT RUN: {name}: {reason}")
    for name in never:
        print(f"NOT MET: {name}: no operation came to its point")
    failures = run.total.failures(is_ci=os.environ.get("CI", "") not in ("", "false"))
    for failure in failures:
        print(f"FAILED: {failure}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
