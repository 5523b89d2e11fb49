"""Message ids: UUID version 7 (RFC 9562), in the order in which this process creates them."""

from __future__ import annotations

import os
import struct
import threading
from time import time_ns
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID, SafeUUID, uuid5

if TYPE_CHECKING:
    from collections.abc import Iterator

_NAMESPACE: Final = UUID("6f1d6d3e-1f0e-5b5e-9a55-0f7f2c1b7c11")

# From the top: 48 bits of milliseconds, version, 12 + 30 bits of counter around the variant, 32
# random bits. The upper 96 bits are kept as one number that only increases.
_VERSION: Final = 7 << 44
_VARIANT: Final = 2 << 30
_LOW_COUNTER: Final = (1 << 30) - 1

# Random numbers come from the system in one call for many ids.
_BLOCK: Final = struct.Struct("=512I")

# The attributes of a UUID are slots that its __setattr__ guards: their descriptors fill them 3
# times faster than UUID(int=…) does.
_new: Any = UUID.__new__
_set_int: Any = UUID.__dict__["int"].__set__
_set_is_safe: Any = UUID.__dict__["is_safe"].__set__
_UNKNOWN: Final = SafeUUID.unknown

# Reentrant: a signal handler or a finalizer may create a message while this thread creates one.
_lock = threading.RLock()
_random: Iterator[int] = iter(())
_milliseconds = 0
_prefix = 0


def uuid7() -> UUID:
    """Return a new UUID version 7, greater than all that this process has created before.

    Its time is that of the system's clock, in milliseconds. Within one millisecond, and while the
    clock stands still or goes back, a counter with a random start keeps the order. It is
    thread-safe; a forked child continues with its own random numbers.
    """
    global _milliseconds, _prefix, _random
    with _lock:
        now = time_ns() // 1_000_000
        if now > _milliseconds:
            _milliseconds = now
            _prefix = _build_first_prefix(now)
        else:
            _prefix += 1
            if (
                not _prefix & _LOW_COUNTER
            ):  # the counter is used up: borrow from the next millisecond
                _milliseconds += 1
                _prefix = _build_first_prefix(_milliseconds)
        tail = next(_random, None)
        if tail is None:
            _random = _refill_random()
            tail = next(_random)
        value = _prefix << 32 | tail
    uuid: UUID = _new(UUID)
    _set_int(uuid, value)
    _set_is_safe(uuid, _UNKNOWN)
    return uuid


def _refill_random() -> Iterator[int]:
    return iter(_BLOCK.unpack(os.urandom(_BLOCK.size)))


def _build_first_prefix(milliseconds: int) -> int:
    """Return the upper 96 bits of a millisecond's first id: half of the counter's range is left."""
    global _random
    low = next(_random, None)
    high = next(_random, None)
    if low is None or high is None:
        _random = _refill_random()
        low, high = next(_random), next(_random)
    return milliseconds << 48 | _VERSION | (high & 0xFFF) << 32 | _VARIANT | low >> 3


def _after_fork() -> None:
    """Replace the random numbers, the counter and the lock, which the parent may hold."""
    global _lock, _prefix, _random
    _lock = threading.RLock()
    _random = iter(())
    _prefix |= _LOW_COUNTER


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


def derive_id(*parts: str) -> UUID:
    """Return a UUID version 5 of some strings: the same for the same ones."""
    return uuid5(_NAMESPACE, "\0".join(parts))
