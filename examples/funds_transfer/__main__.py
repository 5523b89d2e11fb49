"""Run it as ``python -m examples.funds_transfer [--sync] [ADDRESS]``."""

from __future__ import annotations

import argparse
import asyncio

from . import demo_async, demo_sync

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--sync", action="store_true", help="with threads instead of asyncio")
parser.add_argument("address", nargs="?", default="embedded:")
options = parser.parse_args()
if options.sync:
    demo_sync.main(options.address)
else:
    asyncio.run(demo_async.main(options.address))
