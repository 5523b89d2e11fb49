"""Write a repository's history as messages, read it back, and total it, in both APIs.

Run it as ``python examples/git_history/demo.py [ADDRESS]``. The address is a connection string, or
``embedded:FOLDER``; by default it is an embedded store in ``.data/git-history`` of this checkout.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from history import Commit, read_history

from messagedb import AsyncClient, Client, Message, embedded
from messagedb.errors import EmbeddedServerError


class Totals:
    """A read model of the messages: the commits and lines of each author."""

    def __init__(self) -> None:
        self.commits: Counter[str] = Counter()
        self.lines: Counter[str] = Counter()

    def handle(self, message: Message[Any]) -> None:
        """Count one commit."""
        commit = message.data
        self.commits[commit["author"]] += 1
        self.lines[commit["author"]] += commit["added"] + commit["removed"]


async def write(client: AsyncClient, commits: list[Commit]) -> tuple[int, int]:
    """Write every commit to its author's stream; return the numbers of stored and of new ones."""
    before = {name: await client.stream_version(name) for name in {c.stream_name for c in commits}}
    new = 0
    for commit in commits:
        position = await client.write_message(commit.stream_name, commit.message())
        new += position > before[commit.stream_name]
    return len(commits), new


async def total_async(client: AsyncClient) -> Totals:
    """Consume the category with the async client."""
    totals = Totals()
    async for message in client.read_category("commit", batch_size=100):
        totals.handle(message)
    return totals


def total(client: Client) -> Totals:
    """Consume the category with the sync client."""
    totals = Totals()
    for message in client.read_category("commit", batch_size=100):
        totals.handle(message)
    return totals


async def run_async(address: str, commits: list[Commit]) -> Totals:
    """Write and consume with the async client."""
    async with AsyncClient(address) as client:
        print(f"store: {client!r}, Message DB {await client.message_store_version()}")
        begun = time.perf_counter()
        known, new = await write(client, commits)
        seconds = time.perf_counter() - begun
        print(
            f"wrote: {known} commits in {seconds:.2f} s, {new} of them new, {known - new} stored "
            "before"
        )
        stream = commits[-1].stream_name
        last = await client.get_last_stream_message(stream)
        assert last is not None
        page = await client.get_stream_messages(stream, batch_size=3)
        print(f"read:  {stream} is at version {last.position}; its first commits:")
        for message in page:
            print(f"         {message.position}: {message.data['subject'][:70]}")
        return await total_async(client)


def main() -> None:
    """Run the demo, and print the results and the place of the data."""
    source, commits = read_history()
    print(f"input: {len(commits)} commits from {source}")
    address = sys.argv[1] if len(sys.argv) > 1 else default_address()
    if address == "embedded:":
        # Each client would have a separate temporary store: this one is for both.
        with embedded.start() as server:
            run(server.url, commits)
        print("The data was in a temporary store, and is gone.")
        return
    run(address, commits)
    folder = address.removeprefix("embedded:")
    place = folder if folder != address else "the store named above"
    print(f"The data is in {place}: run it again, and nothing is written twice.")


def default_address() -> str:
    """Return a folder of this checkout; a temporary one if PostgreSQL cannot run in the checkout.

    PostgreSQL does not run as root. If root may not create a user namespace, as in most containers,
    it runs as another user, who may not enter root's folders.
    """
    here = Path(__file__).resolve().parents[2] / ".data" / "git-history"
    try:
        embedded.start(here).stop()
    except EmbeddedServerError as error:
        there = Path(tempfile.gettempdir(), "messagedb-git-history")
        print(f"note:  the store is in {there}, as it cannot be in {here}: {error}")
        return f"embedded:{there}"
    return f"embedded:{here}"


def run(address: str, commits: list[Commit]) -> None:
    """Run the demo in one store."""
    from_async = asyncio.run(run_async(address, commits))
    with Client(address) as client:
        from_sync = total(client)
    print("total: commits and changed lines of each author")
    for author, count in from_sync.commits.most_common():
        print(f"         {author}: {count} commits, {from_sync.lines[author]} lines")
    if (from_async.commits, from_async.lines) != (from_sync.commits, from_sync.lines):
        sys.exit("the two APIs disagree")
    print("AsyncClient and Client agree.")


if __name__ == "__main__":
    main()
