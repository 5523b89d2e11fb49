"""The message store of the site: one client for each process."""

from __future__ import annotations

from django.conf import settings
from django.db import connection

from messagedb import BoundClient, Client

# It opens itself when it is first used; after a fork the child opens a pool of its own.
client = Client(settings.MESSAGEDB_URL)


def in_transaction() -> BoundClient:
    """Give the operations on Django's own connection: what they write goes with its transaction."""
    connection.ensure_connection()
    return client.bind(connection.connection)
