"""A program that forks under its client: python -m tests.support.forking KIND URL STREAM."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import psycopg

from messagedb import AsyncClient, Client, Decider, EntityStore, NewMessage, Transaction
from tests.support.outcome import pool_of

SIZE = 2


def forked() -> int:
    """Fork, and return what that gives."""
    with warnings.catch_warnings():
        # The workers of the pool are threads, which the child does not have, nor needs.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def in_child(work: Callable[[], object]) -> object:
    """Call a function in a child process, and return its result."""
    reader, writer = os.pipe()
    pid = forked()
    if pid == 0:
        try:
            os.write(writer, json.dumps(work()).encode())
        finally:
            os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        said = answer.read()
    os.waitpid(pid, 0)
    return json.loads(said or b'"the child failed"')


def pids(client: AsyncClient | Client) -> list[int]:
    """Return the process ids of the sessions in a client's pool."""
    conns: list[Any] = list(pool_of(client).__dict__["_pool"])
    return sorted(conn.info.backend_pid for conn in conns)


def fork_sync(url: str, stream: str) -> dict[str, object]:
    """Fork under a Client."""
    with Client(url, min_size=SIZE, max_size=SIZE) as client:
        client.write_message(stream, NewMessage("Parent"))
        pool_of(client).wait(10.0)
        before = pids(client)

        def child() -> object:
            position = client.write_message(stream, NewMessage("Child"))
            pool_of(client).wait(10.0)
            mine = pids(client)
            client.close()
            return {"position": position, "pids": mine}

        said = in_child(child)
        position = client.write_message(stream, NewMessage("Parent"))
        return {"before": before, "after": pids(client), "child": said, "position": position}


def fork_while_deciding(url: str, stream: str) -> dict[str, object]:
    """Fork while a thread decides about a command to an entity, to which the child sends one."""
    deciding, may_end = threading.Event(), threading.Event()

    def decide(command: str, _count: int) -> NewMessage:
        if command == "Parent":
            deciding.set()
            may_end.wait()
        return NewMessage(command)

    def evolve(count: int, _event: Any) -> int:
        return count + 1

    category, _, id = stream.partition("-")
    decider: Decider[int, str, Any] = Decider(initial=int, decide=decide, evolve=evolve)
    with Client(url) as client:
        store: EntityStore[int, str] = EntityStore(client, category, decider=decider)
        thread = threading.Thread(target=store.transact, args=(id, "Parent"))
        thread.start()
        deciding.wait()

        def child() -> object:
            position = store.transact(id, "Child").version
            client.close()
            return position

        said = in_child(child)
        may_end.set()
        thread.join()
        return {"child": said, "types": [each.type for each in client.read_stream(stream)]}


def fork_async(url: str, stream: str) -> dict[str, object]:
    """Fork under an AsyncClient, while its event loop does not run."""
    client = AsyncClient(url, min_size=SIZE, max_size=SIZE)

    async def begin() -> list[int]:
        await client.write_message(stream, NewMessage("Parent"))
        await pool_of(client).wait(10.0)
        return pids(client)

    async def in_a_new_loop() -> object:
        position = await client.write_message(stream, NewMessage("Child"))
        await pool_of(client).wait(10.0)
        mine = pids(client)
        await client.close()
        return {"position": position, "pids": mine}

    async def end() -> tuple[int, list[int]]:
        position = await client.write_message(stream, NewMessage("Parent"))
        after = pids(client)
        await client.close()
        return position, after

    with asyncio.Runner() as runner:
        before = runner.run(begin())
        said = in_child(lambda: _run_anew(in_a_new_loop))
        position, after = runner.run(end())
    return {"before": before, "after": after, "child": said, "position": position}


def fork_in_transaction(url: str, stream: str) -> dict[str, object]:
    """Fork in transactions of the parent's, which the child uses in each way, and leaves."""
    with Client(url) as client, psycopg.connect(url) as conn:
        begun = client.begin()
        begun.write_message(stream, NewMessage("Parent"))
        bound = client.bind(conn)
        bound.write_message(f"bound{stream}", NewMessage("Parent"))

        def child() -> object:
            refusals: list[str] = []
            calls: list[Callable[[], object]] = [
                lambda: begun.write_message(stream, NewMessage("Child")),
                lambda: begun.write_messages(stream, [NewMessage("Child"), NewMessage("Child")]),
                lambda: begun.get_stream_messages(stream),
                lambda: begun.connection.execute("select 1"),
                lambda: begun.commit(),
                lambda: bound.write_message(f"bound{stream}", NewMessage("Child")),
                lambda: bound.get_stream_messages(stream),
            ]
            for call in calls:
                try:
                    call()
                except Exception as error:
                    refusals.append(f"{type(error).__name__}: {error}")
            begun.rollback()
            assert not begun.is_active
            return refusals

        said = in_child(child)
        left = [
            leave_in_child(
                client, f"left{stream}", lambda tx: tx.write_message("any-1", NewMessage("Child"))
            ),
            leave_in_child(client, f"left{stream}", lambda tx: None),
        ]
        position = begun.write_message(stream, NewMessage("Parent"))
        begun.commit()
        bound_position = bound.write_message(f"bound{stream}", NewMessage("Parent"))
        conn.commit()
        return {"child": said, "left": left, "position": position, "bound": bound_position}


def leave_in_child(
    client: Client, stream: str, work: Callable[[Transaction], object]
) -> list[object]:
    """Fork inside a block; in the child do some work and leave the block. Give what is known."""
    reader, writer = os.pipe()
    pid = position = -1
    try:
        with client.transaction() as tx, tx.savepoint():
            tx.write_message(stream, NewMessage("Parent"))
            pid = forked()
            if pid == 0:
                work(tx)
            else:
                os.waitpid(pid, 0)
                position = tx.write_message(stream, NewMessage("Parent"))
    except BaseException as error:
        if pid == 0:
            os.write(writer, type(error).__name__.encode())
            del error
            gc.collect()
            os._exit(0)
        raise
    if pid == 0:
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as answer:
        return [position, answer.read().decode()]


def _run_anew(function: Callable[[], object]) -> object:
    loop = asyncio.new_event_loop()
    coroutine: object = function()
    assert asyncio.iscoroutine(coroutine)
    return loop.run_until_complete(coroutine)


if __name__ == "__main__":
    kind, url, stream = sys.argv[1:]
    kinds = {
        "sync": fork_sync,
        "async": fork_async,
        "transaction": fork_in_transaction,
        "entity": fork_while_deciding,
    }
    print(json.dumps(kinds[kind](url, stream)))
