"""The balances of accounts in a table: built, read, rebuilt with another column. Async variant.

Run it as ``python examples/read_model/read_model_async.py``: it starts a temporary PostgreSQL.
"""

from __future__ import annotations

import asyncio

import msgspec

from messagedb import AsyncClient, AsyncContext, AsyncReadModel, NewMessage, embedded

BALANCES = "CREATE TABLE {table} (account text PRIMARY KEY, balance bigint NOT NULL)"
ADD = """
INSERT INTO {table} AS t VALUES (%s, %s)
ON CONFLICT (account) DO UPDATE SET balance = t.balance + excluded.balance
"""

WITH_DEPOSITS = "CREATE TABLE {table} (account text PRIMARY KEY, balance bigint, deposits int)"
ADD_AND_COUNT = """
INSERT INTO {table} AS t VALUES (%s, %s, 1) ON CONFLICT (account)
DO UPDATE SET balance = t.balance + excluded.balance, deposits = t.deposits + 1
"""


class Deposited(msgspec.Struct):
    amount: int


def model(client: AsyncClient, version: int, create: str, add: str) -> AsyncReadModel:
    balances = AsyncReadModel(client, "account", name="balances", version=version, create=create)

    @balances.handler
    async def deposited(event: Deposited, context: AsyncContext) -> None:
        account = context.message.stream_name
        await context.transaction.connection.execute(
            balances.format_sql(add), [account, event.amount]
        )

    return balances


async def show(client: AsyncClient, title: str) -> None:
    async with client.transaction(read_only=True) as tx:
        text = "SELECT * FROM public.balances ORDER BY account"
        rows = await tx.connection.execute(text, prepare=False)
        print(title, await rows.fetchall())


async def main(url: str) -> None:
    async with AsyncClient(url) as client:
        for account, amount in [("1", 5), ("2", 7), ("1", 30)]:
            message = NewMessage("Deposited", {"amount": amount})
            await client.write_message(f"account-{account}", message)
        first = model(client, 1, BALANCES, ADD)
        second = model(client, 2, WITH_DEPOSITS, ADD_AND_COUNT)
        await first.rebuild()
        await show(client, "version 1:")
        async with first.running():  # readers are served by it meanwhile
            await second.rebuild()
        await show(client, "version 2:")
        print("dropped version 1:", await second.drop_version(1))


if __name__ == "__main__":
    with embedded.start() as server:
        asyncio.run(main(server.admin_url))
