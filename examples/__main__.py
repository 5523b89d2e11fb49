"""Runs an example: ``python -m examples writing_events [--sync] [ADDRESS]``."""

from __future__ import annotations

import argparse
import asyncio
import importlib
from pathlib import Path

FOLDER = Path(__file__).parent


def main() -> None:
    """Run an example, in a temporary embedded store unless an address is given."""
    names = sorted(path.stem for path in FOLDER.glob("asynchronous/[a-z]*.py"))
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=names)
    parser.add_argument("--sync", action="store_true", help="the same with Client")
    parser.add_argument("--member", type=int, help=argparse.SUPPRESS)  # of consumer_groups
    parser.add_argument("address", nargs="?", default="embedded:")
    options = parser.parse_intermixed_args()
    half = "synchronous" if options.sync else "asynchronous"
    module = importlib.import_module(f"examples.{half}.{options.name}")
    function, arguments = module.main, [options.address]
    if options.member is not None:
        function, arguments = module.member, [options.address, options.member]
    ended = function(*arguments)
    if not options.sync:
        asyncio.run(ended)


if __name__ == "__main__":
    main()
