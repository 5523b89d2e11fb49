"""Helpers for users' own tests: given, when, then for deciders, entities and consumers."""

from __future__ import annotations

from _messagedb_async.testing.scenarios import AsyncConsumerScenario, AsyncEntityScenario

from ._sync.testing.scenarios import ConsumerScenario, EntityScenario
from ._testing.given_when_then import Given, Outcome, given
from ._testing.messages import make_message

__all__ = [
    "AsyncConsumerScenario",
    "AsyncEntityScenario",
    "ConsumerScenario",
    "EntityScenario",
    "Given",
    "Outcome",
    "given",
    "make_message",
]
