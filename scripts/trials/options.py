"""The options that all trials have."""

from __future__ import annotations

import argparse
from pathlib import Path


def build_parser(name: str, description: str) -> argparse.ArgumentParser:
    """Return a parser of ``--short``, ``--json`` and ``--server``."""
    parser = argparse.ArgumentParser(prog=name, description=description, allow_abbrev=False)
    parser.add_argument("--short", action="store_true", help="try less")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write the figures to this file as well"
    )
    parser.add_argument(
        "--server",
        default="",
        metavar="CONNINFO",
        help="a superuser's conninfo of a server to use instead of an embedded one; databases "
        "called messagedb_trial_… are created on it, and stay",
    )
    return parser
