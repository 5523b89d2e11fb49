"""Hostile values in every string parameter: stored and answered as they are, or refused."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from trials.figures import Part

from messagedb import MessageDBError, ServerError, StoreUnavailableError

from . import hostile
from .attacks import Attack
from .stores import Store


def run_attacks(
    stores: Sequence[Store], attacks: Iterable[Attack], rounds: int, stride: int, part: Part
) -> list[str]:
    """Run each attack with each value, on so many stores in turn.

    Args:
        stores: the stores.
        attacks: the attacks.
        rounds: on how many of the stores each value is tried.
        stride: 1 for all values with each attack; n for every nth, from another one on each time.
        part: gets the counts.

    Returns:
        A description of each attack that did more than it may, or ended in an untyped error.
    """
    problems: list[str] = []
    guards = [hostile.Guard(store) for store in stores]
    turn = calls = refused = 0
    for number, attack in enumerate(attacks):
        for value in hostile.VALUES[number % stride :: stride]:
            for _ in range(rounds):
                place = turn % len(stores)
                turn += 1
                calls += 1
                # Stores share databases: the messages of the last one are not those of this one.
                guards[place].skip()
                try:
                    refused += _run(attack, stores[place], guards[place], value)
                except Exception as error:
                    name = f"{attack.name} of {value[:60]!r}, {stores[place].name}"
                    problems.append(f"{name}: {type(error).__name__}: {error}")
            # Each value meets other stores than the one before it.
            turn += 1
    part.measured |= {"calls": calls, "of these refused": refused}
    return problems


def _run(attack: Attack, store: Store, guard: hostile.Guard, value: str) -> bool:
    """Run an attack, and return True if it was refused by a typed error."""
    is_refused = False
    try:
        attack.run(store, value)
    except (ServerError, StoreUnavailableError) as error:
        # No check has expected it: that the value got so far is a fault.
        raise AssertionError(f"reached the server: {type(error).__name__}: {error}") from error
    except MessageDBError:
        is_refused = True
    stored = guard.check(attack.stream(value) if attack.stream else None)
    assert not (is_refused and stored), "it was refused, and a message was stored"
    return is_refused
