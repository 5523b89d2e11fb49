"""A program that forks while writes wait in groups: as ``forking``, with the same arguments."""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from messagedb import AsyncClient, Client, MessageDBError, NewMessage
from tests.support import background_async
from tests.support.background_sync import Background, eventually
from tests.support.forking import in_child
from tests.support.outcome import count_waiting
from tests.support.store import locked, waiting_for_locks

COUNT = 8


def names(category: str) -> list[str]:
    """Return streams of a category."""
    return [f"{category}-{number}" for number in range(COUNT)]


def have_formed(client: AsyncClient | Client, url: str, category: str) -> bool:
    """Return True if one write waits for the lock by itself, and the others as one group."""
    return count_waiting(client)[1] == 1 and waiting_for_locks(url, category) == 2


def fork_sync(url: str, category: str) -> dict[str, object]:
    """Fork while threads wait for a lock: one by itself, and the others together."""
    with Client(url, group_commit=True, max_size=4) as client:

        def write(stream: str) -> int:
            return client.write_message(stream, NewMessage("Tested"))

        def close() -> object:
            client.close()
            try:
                return client.write_message(f"{category}Child-new", NewMessage("Tested"))
            except MessageDBError as error:
                return str(error)

        def write_and_close() -> object:
            with ThreadPoolExecutor(COUNT) as threads:
                positions = list(threads.map(write, names(f"{category}Child")))
            return [positions, close()]

        with locked(url, category):
            calls = [Background(write, f"{category}-first")]
            eventually(lambda: waiting_for_locks(url, category) == 1)
            calls += [Background(write, stream) for stream in names(category)]
            eventually(lambda: have_formed(client, url, category))
            children = [in_child(close), in_child(write_and_close)]
            # Neither of them has ended the waits of this process.
            waiting = waiting_for_locks(url, category)
        positions = [call.result() for call in calls]
        return {
            "children": children,
            "waiting": waiting,
            "positions": positions,
            "after": write(f"{category}-first"),
        }


def fork_async(url: str, category: str) -> dict[str, object]:
    """Fork while tasks wait, and their event loop does not run."""
    client = AsyncClient(url, group_commit=True, max_size=4)

    async def write(stream: str) -> int:
        return await client.write_message(stream, NewMessage("Tested"))

    async def begin() -> list[background_async.Background[int]]:
        calls = [background_async.Background(write, f"{category}-first")]
        await background_async.eventually(lambda: waiting_for_locks(url, category) == 1)
        calls += [background_async.Background(write, stream) for stream in names(category)]
        await background_async.eventually(lambda: have_formed(client, url, category))
        return calls

    async def close() -> object:
        await client.close()
        try:
            return await write(f"{category}Child-new")
        except MessageDBError as error:
            return str(error)

    async def write_and_close() -> object:
        streams = names(f"{category}Child")
        return [await asyncio.gather(*map(write, streams)), await close()]

    async def end(calls: list[background_async.Background[int]]) -> list[int]:
        return [await call.result() for call in calls]

    async def finish() -> int:
        position = await write(f"{category}-first")
        await client.close()
        return position

    with asyncio.Runner() as runner:
        with locked(url, category):
            calls = runner.run(begin())
            children = [
                in_child(lambda: asyncio.new_event_loop().run_until_complete(close())),
                in_child(lambda: asyncio.new_event_loop().run_until_complete(write_and_close())),
            ]
            waiting = waiting_for_locks(url, category)
        return {
            "children": children,
            "waiting": waiting,
            "positions": runner.run(end(calls)),
            "after": runner.run(finish()),
        }


if __name__ == "__main__":
    kind, url, stream = sys.argv[1:]
    kinds = {"sync": fork_sync, "async": fork_async}
    print(json.dumps(kinds[kind](url, stream.partition("-")[0])))
