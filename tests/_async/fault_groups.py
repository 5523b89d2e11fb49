"""Operations of ``nox -s faults`` whose writes are in flight simultaneously, in groups."""

from __future__ import annotations

from typing import Any

from messagedb import NO_STREAM, AsyncEntityStore, NewMessage
from tests._async.fault_scene import DECIDER, Mark, Operation, Scene
from tests.support.background_async import Background

IN_FLIGHT = 12
"""How many writes are in flight."""

PATIENCE = 60.0


async def settle(scene: Scene, messages: list[NewMessage], call: Background[Any]) -> Any:
    """Wait for a call, note its outcome, and return its result if it was successful."""
    outcome = await call.outcome(PATIENCE)
    scene.ledger.settle([message.data["mark"] for message in messages], outcome.error)
    return outcome.value


def split(messages: list[NewMessage], size: int) -> list[list[NewMessage]]:
    """Return lists of so many of the messages each."""
    return [messages[n : n + size] for n in range(0, len(messages), size)]


async def write_single(scene: Scene) -> None:
    """Write to three streams of two categories, of which one may be locked; then once more."""
    for turn in split(scene.ledger.messages(2 * IN_FLIGHT), IN_FLIGHT):
        names = [f"{scene.category}{'Other' * (n % 2)}-{2 + n % 3}" for n in range(IN_FLIGHT)]
        calls = [
            Background(scene.client.write_message, name, message)
            for name, message in zip(names, turn, strict=True)
        ]
        for name, message, call in zip(names, turn, calls, strict=True):
            position = await settle(scene, [message], call)
            if position is not None:
                scene.places[message.data["mark"]] = (name, position)
    scene.ledger.raise_first()


async def write_batches(scene: Scene) -> None:
    """Write batches to new streams, each with the version that it expects; then once more."""
    batches = split(scene.ledger.messages(4 * IN_FLIGHT), 2)
    for first, turn in ((10, batches[:IN_FLIGHT]), (40, batches[IN_FLIGHT:])):
        names = [f"{scene.category}{'Other' * (n % 2)}-{first + n}" for n in range(IN_FLIGHT)]
        calls = [
            Background(scene.client.write_messages, name, batch, expected_version=NO_STREAM)
            for name, batch in zip(names, turn, strict=True)
        ]
        for name, batch, call in zip(names, turn, calls, strict=True):
            positions = await settle(scene, batch, call)
            for message, position in zip(batch, positions or (), strict=positions is not None):
                scene.places[message.data["mark"]] = (name, position)
    scene.ledger.raise_first()


async def transact(scene: Scene) -> None:
    """Send commands to four entities, to each of them three."""
    entities = AsyncEntityStore(scene.client, scene.category, decider=DECIDER)
    messages = scene.ledger.messages(IN_FLIGHT)
    ids = [str(2 + n % 4) for n in range(IN_FLIGHT)]
    calls = [
        Background(entities.transact, id, Mark(message.data["mark"]))
        for id, message in zip(ids, messages, strict=True)
    ]
    for id, message, call in zip(ids, messages, calls, strict=True):
        result = await settle(scene, [message], call)
        if result is not None:
            (position,) = result.positions
            scene.places[message.data["mark"]] = (f"{scene.category}-{id}", position)
    scene.ledger.raise_first()


async def verify_places(scene: Scene) -> list[str]:
    """Check that each message is where its write has returned that it is."""
    found: dict[str, tuple[str, int]] = {}
    for name in {name for name, _ in scene.places.values()}:
        for message in await scene.client.get_stream_messages(name):
            found[message.data["mark"]] = (name, message.position)
    wrong = {mark for mark, place in scene.places.items() if found.get(mark) != place}
    return [f"{len(wrong)} messages are not where they were reported"] if wrong else []


OPERATIONS = {
    "write_message, in groups": Operation(
        write_single, calls=2, verify=verify_places, group_commit=True
    ),
    "write_messages, in groups": Operation(
        write_batches, calls=2, verify=verify_places, group_commit=True
    ),
    "entity transact, in groups": Operation(
        transact, calls=3, verify=verify_places, group_commit=True
    ),
}
