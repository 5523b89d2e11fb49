"""The balances of accounts in a table: built, read, rebuilt with another column. Sync variant.

Run it as ``python examples/read_model/read_model_sync.py``: it starts a temporary PostgreSQL.
"""

from __future__ import annotations

import msgspec

from messagedb import Client, Context, NewMessage, ReadModel, embedded

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


def model(client: Client, version: int, create: str, add: str) -> ReadModel:
    balances = ReadModel(client, "account", name="balances", version=version, create=create)

    @balances.handler
    def deposited(event: Deposited, context: Context) -> None:
        account = context.message.stream_name
        context.transaction.connection.execute(balances.format_sql(add), [account, event.amount])

    return balances


def show(client: Client, title: str) -> None:
    with client.transaction(read_only=True) as tx:
        text = "SELECT * FROM public.balances ORDER BY account"
        rows = tx.connection.execute(text, prepare=False)
        print(title, rows.fetchall())


def main(url: str) -> None:
    with Client(url) as client:
        for account, amount in [("1", 5), ("2", 7), ("1", 30)]:
            message = NewMessage("Deposited", {"amount": amount})
            client.write_message(f"account-{account}", message)
        first = model(client, 1, BALANCES, ADD)
        second = model(client, 2, WITH_DEPOSITS, ADD_AND_COUNT)
        first.rebuild()
        show(client, "version 1:")
        with first.running():  # readers are served by it meanwhile
            second.rebuild()
        show(client, "version 2:")
        print("dropped version 1:", second.drop_version(1))


if __name__ == "__main__":
    with embedded.start() as server:
        main(server.admin_url)
