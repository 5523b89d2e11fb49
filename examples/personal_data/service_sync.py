"""Register a customer, read, list and forget customers. Sync variant."""

from __future__ import annotations

from messagedb import Client, Context, EntityStore, ReadModel

from .customers import PROJECTION, SNAPSHOTS, Forgotten, Registered
from .keys_sync import delete_key, find_key, get_key
from .sealing import seal, unseal


def register(client: Client, id: str, email: str, plan: str) -> None:
    with client.transaction() as tx:
        key = get_key(tx.connection, id)
        tx.write_message(f"customer-{id}", Registered(seal(key, id, email), plan))


def read_email(client: Client, id: str) -> str | None:
    customers = EntityStore(client, "customer", projection=PROJECTION, snapshots=SNAPSHOTS)
    customer = (customers.load(id)).entity
    with client.transaction(read_only=True) as tx:
        return unseal(find_key(tx.connection, id), id, customer.email)


def forget(client: Client, id: str) -> None:
    """Delete the key, and let read models know: one transaction."""
    with client.transaction() as tx:
        delete_key(tx.connection, id)
        tx.write_message(f"customer-{id}", Forgotten())


def create_list(client: Client, *, version: int = 1) -> ReadModel:
    """Return a read model that has emails in the clear, since people search for them."""
    table = "CREATE TABLE {table} (id text PRIMARY KEY, email text NOT NULL)"
    model = ReadModel(client, "customer", name="customer_list", version=version, create=table)
    insert = model.format_sql(
        "INSERT INTO {table} VALUES (%s, %s) ON CONFLICT (id) DO UPDATE SET email = EXCLUDED.email"
    )
    delete = model.format_sql("DELETE FROM {table} WHERE id = %s")

    @model.handler
    def add(event: Registered, context: Context) -> None:
        id = context.message.stream_name.partition("-")[2]
        connection = context.transaction.connection
        email = unseal(find_key(connection, id), id, event.email)
        if email is not None:  # in a rebuild: who is forgotten is not listed again
            connection.execute(insert, [id, email])

    @model.handler
    def remove(event: Forgotten, context: Context) -> None:
        id = context.message.stream_name.partition("-")[2]
        context.transaction.connection.execute(delete, [id])

    return model
