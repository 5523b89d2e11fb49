"""Register a customer, read, list and forget customers. Async variant."""

from __future__ import annotations

from messagedb import AsyncClient, AsyncContext, AsyncEntityStore, AsyncReadModel

from .customers import PROJECTION, SNAPSHOTS, Forgotten, Registered
from .keys_async import delete_key, find_key, get_key
from .sealing import seal, unseal


async def register(client: AsyncClient, id: str, email: str, plan: str) -> None:
    async with client.transaction() as tx:
        key = await get_key(tx.connection, id)
        await tx.write_message(f"customer-{id}", Registered(seal(key, id, email), plan))


async def read_email(client: AsyncClient, id: str) -> str | None:
    customers = AsyncEntityStore(client, "customer", projection=PROJECTION, snapshots=SNAPSHOTS)
    customer = (await customers.load(id)).entity
    async with client.transaction(read_only=True) as tx:
        return unseal(await find_key(tx.connection, id), id, customer.email)


async def forget(client: AsyncClient, id: str) -> None:
    """Delete the key, and let read models know: one transaction."""
    async with client.transaction() as tx:
        await delete_key(tx.connection, id)
        await tx.write_message(f"customer-{id}", Forgotten())


def create_list(client: AsyncClient, *, version: int = 1) -> AsyncReadModel:
    """Return a read model that has emails in the clear, since people search for them."""
    table = "CREATE TABLE {table} (id text PRIMARY KEY, email text NOT NULL)"
    model = AsyncReadModel(client, "customer", name="customer_list", version=version, create=table)
    insert = model.format_sql(
        "INSERT INTO {table} VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email"
    )
    delete = model.format_sql("DELETE FROM {table} WHERE id = %s")

    @model.handler
    async def add(event: Registered, context: AsyncContext) -> None:
        id = context.message.stream_name.partition("-")[2]
        connection = context.transaction.connection
        email = unseal(await find_key(connection, id), id, event.email)
        if email is not None:  # in a rebuild: who is forgotten is not listed again
            await connection.execute(insert, [id, email])

    @model.handler
    async def remove(event: Forgotten, context: AsyncContext) -> None:
        id = context.message.stream_name.partition("-")[2]
        await context.transaction.connection.execute(delete, [id])

    return model
