"""Helpers for users' own tests: given, when, then, apps, and faults of the network."""

from __future__ import annotations

import sys as _sys

from _messagedb_async.testing.running import run_until_quiet_async
from _messagedb_async.testing.scenarios import AsyncConsumerScenario, AsyncEntityScenario

from . import _public_names
from ._fault_proxy.faults import FaultPoint
from ._fault_proxy.proxy import FaultProxy
from ._sync.testing.running import run_until_quiet
from ._sync.testing.scenarios import ConsumerScenario, EntityScenario
from ._testing.given_when_then import Given, Outcome, given
from ._testing.messages import make_message

__all__ = [
    "AsyncConsumerScenario",
    "AsyncEntityScenario",
    "ConsumerScenario",
    "EntityScenario",
    "FaultPoint",
    "FaultProxy",
    "Given",
    "Outcome",
    "given",
    "make_message",
    "run_until_quiet",
    "run_until_quiet_async",
]

_public_names.publish_names(_sys.modules[__name__])
