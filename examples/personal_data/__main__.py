"""Run it as ``python -m examples.personal_data``: it starts a temporary PostgreSQL."""

from __future__ import annotations

import psycopg

from messagedb import Client, embedded

from .keys_async import CREATE
from .service_sync import create_list, forget, read_email, register


def main() -> None:
    """Register a person, forget her, and show what can be read before and after it."""
    with embedded.start() as server, Client(server.admin_url) as client:
        with psycopg.connect(server.admin_url) as connection:
            connection.execute(CREATE.encode())
        listed = create_list(client)
        register(client, "1", "ada@example.com", "free")
        listed.rebuild()
        print("before:", read_email(client, "1"))
        forget(client, "1")
        with listed.running():
            listed.consumer.wait_until_caught_up(timeout=30)
        print("after:", read_email(client, "1"))


if __name__ == "__main__":
    main()
