"""Apps for the CLI."""

from __future__ import annotations

import os
from typing import Any
from uuid import uuid5

from messagedb import App, AsyncApp, AsyncContext, Context, Message, NewMessage
from messagedb.consumers import NO_RETRY

CATEGORY = os.environ.get("CATEGORY", "unknown")

app = App(max_size=4)
empty = App()
async_app = AsyncApp(max_size=4)

copying = app.consumer(
    CATEGORY,
    identifier="copying",
    retry=NO_RETRY,
    poll_interval=0.02,
    partitions=int(os.environ["PARTITIONS"]) if "PARTITIONS" in os.environ else None,
)
counting = app.consumer(f"{CATEGORY}Copy", identifier="counting", poll_interval=0.02)
copying_async = async_app.consumer(CATEGORY, identifier="copying", poll_interval=0.02)


@copying.handler
def copy(message: Message[Any], context: Context) -> None:
    """Copy a message, once."""
    if message.type == os.environ.get("BAD"):
        raise ValueError("bad")
    copied = NewMessage(message.type, id=uuid5(message.id, "copy"))
    context.client.write_message(f"{CATEGORY}Copy-1", copied)


@counting.handler
def count(message: Message[Any], context: Context) -> None:
    """Note the process that handled it."""
    noted = NewMessage("Counted", {"pid": os.getpid()}, id=uuid5(message.id, "count"))
    context.client.write_message(f"{CATEGORY}Count-1", noted)


@copying_async.handler
async def copy_async(message: Message[Any], context: AsyncContext) -> None:
    """Do the same as the app of the other variant."""
    copied = NewMessage(message.type, id=uuid5(message.id, "copy"))
    await context.client.write_message(f"{CATEGORY}Copy-1", copied)


def build_app() -> App:
    """Return the app, as a factory does."""
    return app


def build_nothing() -> None:
    """Return something else."""
