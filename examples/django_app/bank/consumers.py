"""Consumers of the messages of accounts."""

from __future__ import annotations

from messagedb import Client, Consumer, Context, Message


def counting(client: Client) -> Consumer:
    """Create the consumer that counts deposits: each of them once, because it is transactional."""
    consumer = Consumer(client, "account", identifier="counting", transactional=True)

    @consumer.handler("Deposited")
    def count(message: Message, context: Context) -> None:
        id = int(message.stream_name.partition("-")[2])
        assert context.transaction is not None
        context.transaction.connection.execute(
            "UPDATE bank_account SET deposits = deposits + 1 WHERE id = %s", [id]
        )

    return consumer
