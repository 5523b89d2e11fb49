"""Transactions: two streams and your own SQL, savepoints, and the effect of a rollback."""  # generated from examples/asynchronous/transactions.py: edit that file

from __future__ import annotations

from messagedb import Client, NewMessage


def main(address: str) -> None:
    """Move money between two streams, all or nothing."""
    with Client(address) as client:
        # The locks of both categories are acquired together, in an order that cannot deadlock.
        with client.transaction(categories=["account", "transfer"], timeout=10) as tx:
            tx.write_message("account-1", NewMessage("Withdrawn", {"amount": 5}))
            tx.write_message("transfer-9", NewMessage("Completed", {"amount": 5}))
            cursor = tx.connection.execute("SELECT 'SQL of your own'")
            print(cursor.fetchone())
        print("transfer-9 is at", client.stream_version("transfer-9"))

        # A savepoint rolls back a part.
        with client.transaction() as tx:
            tx.write_message("account-1", NewMessage("Deposited", {"amount": 1}))
            try:
                with tx.savepoint():
                    tx.write_message("account-1", NewMessage("Deposited", {"amount": 99}))
                    raise ValueError("too much")
            except ValueError as error:
                print("taken back:", error)
        print("account-1:", [m.data["amount"] for m in client.read_stream("account-1")])

        # An error that leaves the block rolls back all of it.
        try:
            with client.transaction() as tx:
                tx.write_message("account-1", NewMessage("Closed"))
                raise RuntimeError("on second thoughts")
        except RuntimeError as error:
            print("rolled back:", error)
        print("account-1 is at", client.stream_version("account-1"))
