"""Create a stream of JetStream for what the outbox publishes, if it is not there.

``python -m examples.outbox.create_stream nats://localhost orders 'order.>'``
"""

from __future__ import annotations

import asyncio
import sys

import nats


async def create_stream(url: str, name: str, *subjects: str) -> None:
    """Create a stream; one with the same settings may exist."""
    connection = await nats.connect(url)
    try:
        await connection.jetstream().add_stream(name=name, subjects=list(subjects))
    finally:
        await connection.close()


if __name__ == "__main__":
    asyncio.run(create_stream(*sys.argv[1:]))
