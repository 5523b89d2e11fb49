"""Position tracking: a consumer continues where it was, by a position in a stream or a table."""

from __future__ import annotations

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    Message,
    NewMessage,
    StreamPositionStore,
    TablePositionStore,
)


async def main(address: str) -> None:
    """Run two consumers several times."""
    async with AsyncClient(address) as client:
        stores: list[StreamPositionStore | TablePositionStore] = [
            StreamPositionStore(),  # the default: a stream in Eventide's form
            TablePositionStore(),  # a row that is updated: for consumers that store often
        ]
        for number, store in enumerate(stores):
            seen: list[int] = []

            def new_consumer(
                store: StreamPositionStore | TablePositionStore = store,
                number: int = number,
                seen: list[int] = seen,
            ) -> AsyncConsumer:
                consumer = AsyncConsumer(
                    client, f"meter{number}", identifier="reader", position_store=store
                )

                @consumer.handler
                async def read(message: Message) -> None:
                    seen.append(message.data["n"])

                return consumer

            for first in (0, 3):  # as if the process had been restarted
                for n in range(first, first + 3):
                    await client.write_message(f"meter{number}-1", NewMessage("Read", {"n": n}))
                await new_consumer().run(until="caught_up")
                print("seen:", seen)
            await new_consumer().reset_position("beginning")
            await new_consumer().run(until="caught_up")
            print("seen after a reset:", seen)

        for found in await client.list_consumers():
            print(found.name, "in the", found.position_store, "is behind by", found.lag_messages)
