"""A store with real content: this repository's history, orders, failures, and names that attack."""

from __future__ import annotations

import runpy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID

from messagedb import (
    AsyncClient,
    AsyncConsumer,
    AsyncContext,
    Message,
    NewMessage,
    RetryPolicy,
)
from messagedb.consumers import NO_RETRY

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = "<img src=x onerror=alert(1)>\u202e'\"-1"
ATTACK = "</script><script>alert(2)</script><img src=x onerror=alert(3)>"


@dataclass
class Scene:
    """The content of the store, and what the tests need to know of it.

    Attributes:
        client: the client that the UI reads with.
        mail: the consumer whose handler has failed.
        shared: a consumer of sixteen partitions.
        is_repaired: whether that handler works now.
        sent: the streams of the mails that were sent.
        command: the id of a command that caused other messages.
        counted: the messages that the shared consumer has handled.
    """

    client: AsyncClient
    mail: AsyncConsumer
    billing: AsyncConsumer
    shared: AsyncConsumer
    is_repaired: bool = False
    sent: list[str] = field(default_factory=list[str])
    command: UUID | None = None
    counted: int = 0


async def build_scene(client: AsyncClient) -> Scene:
    """Fill a store, and let consumers handle what is in it."""
    await _write_history(client)
    await _write_attacks(client)
    await _write_account(client)
    scene = Scene(client, *_build_consumers(client))
    add_mail_handler(scene)
    orders = AsyncConsumer(client, "order:command", identifier="orders", poll_interval=0.01)
    payments = AsyncConsumer(client, "payment:command", identifier="payments", poll_interval=0.01)

    @orders.handler("Place")
    async def place(message: Message[Any], context: AsyncContext) -> None:
        id = message.stream_name.rpartition("-")[2]
        following = context.following()
        await context.client.write_message(
            f"order-{id}", NewMessage("Placed", message.data, metadata=following)
        )
        await context.client.write_message(
            f"payment:command-{id}",
            NewMessage("Pay", {"amount": message.data["total"]}, metadata=following),
        )

    @payments.handler("Pay")
    async def pay(message: Message[Any], context: AsyncContext) -> None:
        id = message.stream_name.rpartition("-")[2]
        await context.client.write_message(
            f"payment-{id}", NewMessage("Paid", message.data, metadata=context.following())
        )

    await client.write_message("order-0", NewMessage("Noted"))
    await scene.billing.run(until="caught_up")
    for number in range(1, 9):
        place_order = NewMessage(
            "Place",
            {
                "item": ["tea", "coffee", "sugar"][number % 3],
                "total": "129007199254740993.10",
                "email": None if number % 3 == 0 else f"customer{number}@example.com",
                "lines": [{"sku": f"A-{number}", "count": number, "gift": number % 2 == 0}],
            },
            metadata={"correlationStreamName": f"checkout-{number}", "traceId": f"{number:032x}"},
        )
        await client.write_message(f"order:command-{number}", place_order)
        scene.command = scene.command or place_order.id
    for consumer in (orders, payments, scene.mail):
        await consumer.run(until="caught_up")
    return scene


def add_mail_handler(scene: Scene) -> None:
    """Let the mail fail for orders without an address, until it is repaired."""

    @scene.mail.handler("Placed")
    async def send(message: Message[Any], context: AsyncContext) -> None:
        if not scene.is_repaired:
            if message.data["email"] is None:
                raise KeyError("email")
            if message.data["item"] == "sugar":
                raise ValueError("no template for 'sugar' in the language 'da'")
        await context.client.write_message(
            message.stream_name.replace("order", "mail"),
            NewMessage("Sent", {"to": message.data["email"]}, metadata=context.following()),
        )
        scene.sent.append(message.stream_name)

    @scene.shared.handler
    async def count(message: Message[Any]) -> None:
        scene.counted += 1

    @scene.billing.handler
    async def bill(message: Message[Any]) -> None:
        if message.type == "Placed":
            raise ConnectionError("billing.example.com did not answer within 10 s")


def _build_consumers(client: AsyncClient) -> tuple[AsyncConsumer, AsyncConsumer, AsyncConsumer]:
    fast: dict[str, Any] = {"poll_interval": 0.01}
    mail = AsyncConsumer(
        client, "order", identifier="mail", retry=NO_RETRY, on_error="park", **fast
    )
    patient = RetryPolicy(max_attempts=1000, delay=60.0, max_delay=60.0)
    billing = AsyncConsumer(client, "order", identifier="billing", retry=patient, **fast)
    shared = AsyncConsumer(
        client, "commit", identifier="reports", partitions=16, member_name="<b>pod</b> 1", **fast
    )
    return mail, billing, shared


async def _write_history(client: AsyncClient) -> None:
    folder = ROOT / "examples" / "git_history"
    history = runpy.run_path(str(folder / "history.py"))
    _, commits = history["read_history"]()
    by_stream: dict[str, list[NewMessage]] = {}
    for commit in commits[-300:]:
        by_stream.setdefault(commit.stream_name, []).append(commit.message())
    for stream, messages in by_stream.items():
        await client.write_messages(stream, messages)


async def _write_attacks(client: AsyncClient) -> None:
    message = NewMessage(
        ATTACK, {ATTACK: ATTACK, "link": "javascript:alert(4)"}, metadata={"note": ATTACK}
    )
    await client.write_message(HOSTILE, message)


async def _write_account(client: AsyncClient) -> None:
    kinds = ("Deposited", "Withdrawn")
    messages = [
        NewMessage(
            kinds[number % 3 == 2],
            {"accountId": "123", "amount": f"{number * 7 % 50 + 5}.00", "currency": "EUR"},
        )
        for number in range(60)
    ]
    await client.write_messages("account-123", messages)
