"""Options of the benchmarks; without their requirements, so that a test can read them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

RESULTS: Final = Path("docs", "performance", "results.json")
ROUNDS: Final = 5


def make_parser(names: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of the command line, by the names of the groups."""
    parser = argparse.ArgumentParser(
        prog="bench", description="Measure messagedb beside its rivals.", allow_abbrev=False
    )
    parser.add_argument(
        "command",
        nargs="?",
        choices=("run", "charts"),
        default="run",
        help="charts draws the JSON of a run, into its folder, and measures nothing",
    )
    parser.add_argument(
        "--quick", action="store_true", help="tiny counts, one round: only to check that it runs"
    )
    parser.add_argument("--long", action="store_true", help="with a store of 10 million, too")
    parser.add_argument(
        "--only",
        type=lambda text: _names(text, names),
        default=(),
        metavar="GROUPS",
        help=f"some groups only, with commas: {', '.join(names)}",
    )
    parser.add_argument(
        "--rounds",
        type=_rounds,
        default=ROUNDS,
        metavar="N",
        help=f"how often each contender is measured, at least {ROUNDS} (the default)",
    )
    parser.add_argument(
        "--server",
        default="",
        metavar="URL",
        help="a superuser's address of a server to use, instead of an embedded one; databases "
        "called messagedb_bench_… are made on it and dropped",
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="PATH",
        help=f"the JSON file ({RESULTS}; of a quick run a temporary one)",
    )
    return parser


def _names(text: str, known: Sequence[str]) -> frozenset[str]:
    given = frozenset(text.split(","))
    if unknown := given - set(known):
        raise argparse.ArgumentTypeError(f"no such group: {', '.join(sorted(unknown))}")
    return given


def _rounds(text: str) -> int:
    rounds = int(text)
    if rounds < ROUNDS:
        raise argparse.ArgumentTypeError(f"fewer than {ROUNDS} rounds prove nothing")
    return rounds
