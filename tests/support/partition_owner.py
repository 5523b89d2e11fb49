"""A consumer with partitions in a thread, for tests that block until it owns them."""

from __future__ import annotations

import threading
import time
from typing import Any

from messagedb import Client, Consumer, Context, Message
from tests.support.several_nodes import PROXY, SeveralNodes

PARTITIONS = 4
OWNED = "select count(*) from messagedb.partitions where category = %s and owner is not null"


class PartitionOwner:
    """A consumer that runs until it is stopped, and notes the ``n`` of each message.

    Args:
        nodes: the store.
        category: the category.
    """

    def __init__(self, nodes: SeveralNodes, category: str) -> None:
        self.handled: list[int] = []
        self._nodes = nodes
        self._category = category
        self._failures: list[Exception] = []
        self._client = Client(nodes.url(), max_size=3)
        self._consumer = Consumer(
            self._client,
            category,
            identifier="owner",
            partitions=PARTITIONS,
            lease_timeout=1.0,
            poll_interval=0.02,
            position_update_interval=1,
        )

        @self._consumer.handler
        def note(message: Message[Any], context: Context) -> None:
            self.handled.append(message.data["n"])

        self._thread = threading.Thread(target=self._run)

    def begin(self) -> None:
        """Start it, and block until it owns all partitions."""
        self._thread.start()
        until = time.monotonic() + 20
        while self._nodes.ask(PROXY, OWNED, self._category) != [(PARTITIONS,)]:
            assert time.monotonic() < until, f"it owns no partitions: {self._failures}"
            time.sleep(0.01)

    def end(self) -> None:
        """Stop it if it runs, and raise its error if it had one."""
        if self._thread.ident is not None:
            self._consumer.stop()
            self._thread.join()
        self._client.close()
        if self._failures:
            raise self._failures[0]

    def _run(self) -> None:
        try:
            self._consumer.run()
        except Exception as error:
            self._failures.append(error)
