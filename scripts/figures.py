"""Write the figures of the long runs into docs/guarantees.md: ``python scripts/figures.py``.

Each command writes a file of docs/figures (``nox -s faults -- --json docs/figures/faults.json``).
``--check`` compares only, and fails if the page has other figures.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
FIGURES: Final = ROOT / "docs" / "figures"
PAGE: Final = ROOT / "docs" / "guarantees.md"
BEGIN: Final = "<!-- figures: written by scripts/figures.py -->\n"
END: Final = "<!-- end of the figures -->\n"

_UNDER_LOAD: Final = {
    "failovers": "failovers and switch-overs",
    "acknowledged": "messages acknowledged",
    "missing": "acknowledged and missing (0)",
    "doubled": "stored twice (0)",
    "handled": "messages handled",
    "unhandled": "never handled, without a word (0)",
    "effects": "effects of transactional consumers",
    "effects_missing": "of these missing (0)",
    "effects_doubled": "of these doubled (0)",
}

# For each command, in the order of the page: its title, and a label for each figure. A label that
# ends with (0) is of a figure that has to be 0.
COMMANDS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "servers": (
        "the clients' tests on each server, with our schema and Message DB 1.1.6 to 1.3.1",
        {
            "cells": "combinations of server, schema, role, pooler and set of tests",
            "cases": "tests that ran on them",
            "skipped": "left out behind a pooler, with a reason for each",
            "failed": "failed (0)",
        },
    ),
    "faults": (
        "every operation under every fault, by both variants",
        {
            "cases": "cases",
            "injected": "faults that were caused",
            "acknowledged": "messages acknowledged",
            "lost": "acknowledged and missing (0)",
            "doubled": "stored twice (0)",
            "false_claims": "errors whose claim about the database was false (0)",
            "leaks": "connections, tasks, threads or descriptors that were left (0)",
            "outlived": "calls that outlived their timeout (0)",
            "not_healed": "pools that did not recover (0)",
        },
    ),
    "failover": (
        "failovers of two servers under writers and consumers, COMMITs in doubt, a standby away",
        {
            **_UNDER_LOAD,
            "missing": "acknowledged and missing after a synchronous failover (0)",
            "in_doubt": "COMMITs in doubt when the primary died",
            "told_committed": "of these reported as committed, after a query",
            "committed_and_missing": "reported as committed and not stored (0)",
            "rolled_back_and_stored": "reported as rolled back and stored (0)",
            "most_waiting": "sessions of a pool of 4 that waited for an absent standby, at most",
        },
    ),
    "patroni": (
        "Patroni with etcd: switch-overs, kills and pauses under writers and consumers",
        _UNDER_LOAD,
    ),
    "moves": (
        "a category that is moved between two nodes beside 4 writers and a consumer, killed at"
        " each step, and moved again or left where it was",
        {
            "kills": "steps at which the process that moved it was killed",
            "written": "messages that were written meanwhile",
            "lost": "of these not in their stream (0)",
            "doubled": "of these there twice, or at another place than the write said (0)",
            "unhandled": "messages that the consumer did not handle (0)",
            "repeated": "messages that it recorded twice (0)",
        },
    ),
    "partitions": (
        "processes that share 16 partitions, killed, paused and cut off under writers, with"
        " transactions and without",
        {
            "written": "messages written",
            "killed": "processes killed",
            "paused": "processes paused",
            "cut": "processes cut off from the server",
            "recovered": "partitions of such a process that another one handled again",
            "late": "of these later than the lease timeout and 2 s (0)",
            "unhandled": "messages never handled (0)",
            "disordered": "streams handled out of order (0)",
            "doubled": "handled twice with transactional=True (0)",
            "uneven": "partitions too many in a process at rest (0)",
            "ended": "processes that ended by themselves (0)",
        },
    ),
    "resizes": (
        "16, 32 and 8 partitions in turn, under load; members and the calls that change it are"
        " killed",
        {
            "written": "messages written",
            "changed": "changes of the number of partitions",
            "killed_callers": "calls killed that change it",
            "killed_members": "processes killed meanwhile",
            "unhandled": "messages never handled (0)",
            "disordered": "streams handled out of order (0)",
            "doubled": "handled twice with transactional=True (0)",
            "ended": "processes that ended by themselves (0)",
        },
    ),
    "fuzz": (
        "random operations against a model, and hostile values",
        {
            "steps": "steps of the state machine",
            "step_differences": "that differ from the model (0)",
            "values": "values written and read",
            "value_differences": "that read back otherwise (0)",
            "names": "hostile names",
            "name_differences": "that were changed, or did something else (0)",
            "injections": "injections into parameters of the library",
            "injected": "that did more than they may (0)",
            "cli_injections": "injections into parameters of the CLI",
            "cli_injected": "that did more than they may (0)",
        },
    ),
    "stress": (
        "more writers, consumers, messages and bytes than a pool is made for",
        {
            "acknowledged": "messages acknowledged",
            "lost": "acknowledged and missing (0)",
            "doubled": "stored twice (0)",
            "misplaced": "at another position than acknowledged (0)",
            "deliveries": "messages handled",
            "unhandled": "never handled (0)",
            "repeated": "handled twice (0)",
            "disordered": "handled in another order (0)",
        },
    ),
    "soak": (
        "a mixed load, sampled every second",
        {
            "acknowledged": "messages acknowledged",
            "handled": "messages handled",
            "restarts": "restarts of consumers",
            "lost": "lost (0)",
            "doubled": "doubled (0)",
        },
    ),
    "pages": (
        "every page of the browser UI on 50 thousand and on 5 million messages",
        {
            "routes": "kinds of pages",
            "pages": "addresses that were opened on the larger store",
            "failed": "that failed (0)",
            "slow": "kinds that took a second or more there (0)",
            "growing": "kinds that took more than five times as long there (0)",
        },
    ),
}


def main() -> int:
    """Write or compare the figures, and return the exit status."""
    text = PAGE.read_text(encoding="utf-8")
    wanted = replace_figures(text, "\n".join(build_lines(FIGURES)))
    if "--check" in sys.argv[1:]:
        if text != wanted:
            print(f"{PAGE.name} has other figures than docs/figures: run scripts/figures.py")
        return int(text != wanted)
    PAGE.write_text(wanted, encoding="utf-8")
    return 0


def replace_figures(page: str, figures: str) -> str:
    """Return a page with other figures between its two marks."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} lacks the marks between which the figures are written")
    return f"{before}{begin}\n{figures}\n{end}{after}"


def build_lines(folder: Path) -> Iterator[str]:
    """Yield the lines of a table: a heading and a row for each figure of each command."""
    yield "| | |"
    yield "| --- | ---: |"
    for name, (title, labels) in COMMANDS.items():
        run = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
        figures = run.get("figures", run)
        yield f"| **`nox -s {get_session(name)}`**: {title} ({describe(run)}) | |"
        for key, label in labels.items():
            yield f"| {label.removesuffix(' (0)')} | {figures[key]:,} |"
    yield ""


def get_session(name: str) -> str:
    """Return the command of a file: some are forms of another one."""
    forms = {"patroni": "failover -- --patroni", "resizes": "partitions -- --resizes"}
    return forms.get(name, name)


def describe(run: dict[str, Any]) -> str:
    """Return the date, servers, Python and time of a run, as far as its file has them."""
    servers = ", ".join(run["servers"]) if "servers" in run else get_server(run)
    python = run.get("Python") or run.get("python")
    parts = [run.get("date"), servers, python and f"Python {python}"]
    return ", ".join([*filter(None, parts), f"{round(run['seconds'] / 60)} min"])


def get_server(run: dict[str, Any]) -> str:
    """Return the server of a run on a single one, such as PostgreSQL 18.6."""
    versions = run.get("versions", {})
    names = ("PostgreSQL", "Patroni", "etcd", "HAProxy")
    if versions:
        return ", ".join(f"{name} {versions[name]}" for name in names if name in versions)
    return f"PostgreSQL {run.get('PostgreSQL') or run['server']}"


if __name__ == "__main__":
    sys.exit(main())
