"""The message store of the site: one client for each process."""

from __future__ import annotations

from django.conf import settings
from django.db import connection

from messagedb import BoundClient, Client

# It opens itself when it is first used; after a fork the child opens a new pool.
client = Client(settings.MESSAGEDB_URL)


def in_transaction() -> BoundClient:
    """Return the operations on Django's connection: their writes commit with its transaction."""
    connection.ensure_connection()
    return client.bind(connection.connection)
