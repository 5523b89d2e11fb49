"""Run the clients' cases on every server that a user may have: ``nox -s servers``.

    python -m servers               all cells
    python -m servers --short       one cell, in less than 90 seconds
    python -m servers --only TEXT   the cells whose line has this text, such as "18 genuine-1.1.6"
    python -m servers --json FILE   write the figures as well
    python -m servers jit           compare the server's CPU with and without JIT

Exits with 1 if a case failed, or a test was skipped that no cell leaves out.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from pathlib import Path

import make_sync

make_sync.make_untracked()

from . import jit, report  # noqa: E402
from .cells import CELLS, SHORT  # noqa: E402
from .programs import NoProgramsError  # noqa: E402
from .runs import Result, run  # noqa: E402


def main() -> int:
    """Run what the arguments ask for, and return the exit status."""
    parser = argparse.ArgumentParser(prog="servers", description="Try every server.")
    parser.add_argument("what", nargs="?", choices=["matrix", "jit"], default="matrix")
    parser.add_argument("--short", action="store_true", help="one cell only")
    parser.add_argument("--only", default="", metavar="TEXT", help="cells with this text")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    arguments = parser.parse_args()
    if arguments.what == "jit":
        return jit.main(arguments.json)
    cells = [cell for cell in (SHORT if arguments.short else CELLS) if arguments.only in cell.name]
    if not cells:
        parser.error(f"no cell has {arguments.only!r} in its line")
    # A shell lets what it runs in the background ignore this, and so would the tests of Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    begun = time.monotonic()
    results: list[Result] = []
    log = Path(tempfile.mkstemp(prefix="messagedb-servers-", suffix=".log")[1])
    print(f"the output of pytest: {log}")
    print(report.build_title())
    for cell in cells:
        try:
            results.append(run(cell, log))
        except NoProgramsError as error:
            print(f"FAILED {cell.name}: {error}")
            return 1
        print("\n".join(report.build_lines(results[-1])), flush=True)
    summary = report.build_summary(results, time.monotonic() - begun)
    print()
    print("\n".join(report.build_closing_lines(summary)))
    if arguments.json:
        arguments.json.write_text(json.dumps(summary, indent=2) + "\n")
    return 1 if summary["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
