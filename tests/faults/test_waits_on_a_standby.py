"""A wait for a consumer by a client of a standby, which reads what the standby has."""

from __future__ import annotations

from typing import Any

import pytest

from messagedb import Client, Consumer, Message, NewMessage
from tests.support.replication import Cluster


def test_a_wait_on_a_standby_ends_when_the_position_is_there_too(
    lagging: Cluster, category: str
) -> None:
    link = lagging.standby.link
    assert link is not None
    stream = f"{category}-1"
    with Client(lagging.url()) as client, Client(lagging.standby.url("store")) as replica:
        consumer = Consumer(
            client, category, identifier="it", poll_interval=0.05, position_update_seconds=0.1
        )

        @consumer.handler
        def handle(message: Message[Any]) -> None:
            """Do nothing: its position counts."""

        def wait(of: Client, position: int, timeout: float) -> None:
            of.wait_for_consumer(
                category, "it", stream_name=stream, position=position, timeout=timeout
            )

        with consumer.running():
            first = client.write_message(stream, NewMessage("Tested"))
            wait(replica, first, 20.0)
            assert len(replica.get_stream_messages(stream)) == 1
            link.refuse()
            second = client.write_message(stream, NewMessage("Tested"))
            wait(client, second, 20.0)
            # It is handled, and the standby does not have it.
            with pytest.raises(TimeoutError, match="A standby may be behind its primary, where"):
                wait(replica, second, 0.5)
            assert len(replica.get_stream_messages(stream)) == 1
            link.resume()
            wait(replica, second, 20.0)
            assert len(replica.get_stream_messages(stream)) == 2
