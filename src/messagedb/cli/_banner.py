"""The first lines of a run: version, store, consumers, health, and the way to stop it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from messagedb import AsyncClient, AsyncReadModel, Client, ReadModel, __version__
from messagedb.consumers import AsyncConsumerBase, ConsumerBase

log = logging.getLogger("messagedb.run")

Member = ConsumerBase | AsyncConsumerBase | ReadModel | AsyncReadModel


def log_banner(client: Client | AsyncClient, members: Sequence[Member], port: int | None) -> None:
    """Log what runs, and where. It names no password.

    Args:
        client: the client, which is open.
        members: the consumers and read models.
        port: the port of the health checks, if there are any.
    """
    log.info("messagedb %s runs on %r", __version__, client)
    for member in members:
        if isinstance(member, (ReadModel, AsyncReadModel)):
            log.info("read model %s of %s", member.table, member.consumer.name)
        else:
            log.info("consumer %s", member.name)
    if port is not None:
        log.info("health: http://localhost:%d/live and /ready", port)
    log.info("stop it with Ctrl-C or SIGTERM: current messages are finished")
