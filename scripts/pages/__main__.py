"""Open every page of the browser UI on a small and on a large store: ``nox -s pages``.

    python -m pages             50,000 and 5,000,000 messages: some minutes, 4 GB of disk
    python -m pages --short     5,000 and 50,000

The pages are found by their links, from the overview on, and sorted by the route that serves them.
Exits with 1 if a page on the large store takes a second or more, or more than five times as long as
on the small one, or fails.
"""

from __future__ import annotations

import asyncio
import sys

import make_sync

make_sync.make_untracked()

from trials.figures import Figures, Run  # noqa: E402
from trials.options import build_parser  # noqa: E402
from trials.servers import open_server, store_conninfo  # noqa: E402

from pages.filling import fill  # noqa: E402
from pages.measuring import FIGURES, compare, open_pages, share_long_answers_only  # noqa: E402


def main() -> int:
    """Fill two stores, open the pages of both, and compare."""
    parser = build_parser("pages", "Open every page of the UI on a small and on a large store.")
    options = parser.parse_args()
    share_long_answers_only()
    sizes = (5_000, 50_000) if options.short else (50_000, 5_000_000)
    run = Run("pages", options.short, Figures(FIGURES), messages=list(sizes))
    with open_server(options.server, fast=True) as server:
        stores: dict[int, str] = {}
        for size in sizes:
            admin = server.new_database("ours")
            stores[size] = store_conninfo(admin)
            with run.part(f"fill a store with {size:,} messages"):
                fill(admin, stores[size], size)
        pages = asyncio.run(open_pages(run, stores))
        if len(pages) == len(sizes):
            compare(run, *pages)
        return run.finish(server.describe(), options.json)


if __name__ == "__main__":
    sys.exit(main())
