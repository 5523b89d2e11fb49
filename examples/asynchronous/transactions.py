"""Transactions: two streams and your own SQL, savepoints, and the effect of a rollback."""

from __future__ import annotations

from messagedb import AsyncClient, NewMessage


async def main(address: str) -> None:
    """Move money between two streams, all or nothing."""
    async with AsyncClient(address) as client:
        # The locks of both categories are acquired together, in an order that cannot deadlock.
        async with client.transaction(categories=["account", "transfer"], timeout=10) as tx:
            await tx.write_message("account-1", NewMessage("Withdrawn", {"amount": 5}))
            await tx.write_message("transfer-9", NewMessage("Completed", {"amount": 5}))
            cursor = await tx.connection.execute("SELECT 'SQL of your own'")
            print(await cursor.fetchone())
        print("transfer-9 is at", await client.stream_version("transfer-9"))

        # A savepoint rolls back a part.
        async with client.transaction() as tx:
            await tx.write_message("account-1", NewMessage("Deposited", {"amount": 1}))
            try:
                async with tx.savepoint():
                    await tx.write_message("account-1", NewMessage("Deposited", {"amount": 99}))
                    raise ValueError("too much")
            except ValueError as error:
                print("taken back:", error)
        print("account-1:", [m.data["amount"] async for m in client.read_stream("account-1")])

        # An error that leaves the block rolls back all of it.
        try:
            async with client.transaction() as tx:
                await tx.write_message("account-1", NewMessage("Closed"))
                raise RuntimeError("on second thoughts")
        except RuntimeError as error:
            print("rolled back:", error)
        print("account-1 is at", await client.stream_version("account-1"))
