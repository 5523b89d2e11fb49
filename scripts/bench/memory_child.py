"""The process whose memory is measured: it does its job, and prints its peak."""

from __future__ import annotations

import gc
import resource
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import msgspec

from messagedb import Client, Consumer, HandlerError, Message, NewMessage, Stop

from . import payload

_WARM_UP = 100
_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")


class Job(msgspec.Struct, frozen=True):
    """The work to do.

    Attributes:
        action: to write a category, to read it, or to let a consumer handle it.
        conninfo: the store.
        category: the category.
        count: the number of messages.
        batch: how many messages one call writes.
    """

    action: Literal["consume", "read", "write"]
    conninfo: str
    category: str
    count: int
    batch: int


class Answer(msgspec.Struct, frozen=True):
    """Result of the work.

    Attributes:
        growth: by how many MB the peak of the process's memory was above its memory before.
        seconds: the duration.
    """

    growth: float
    seconds: float


def main() -> None:
    """Do the job from standard input, after a small one that loads modules and caches."""
    job = msgspec.json.decode(sys.stdin.buffer.readline(), type=Job)
    do = {"consume": _consume, "read": _read, "write": _write}[job.action]
    with Client(job.conninfo) as client:
        do(client, job, _WARM_UP)
        gc.collect()
        before = _reset_peak()
        begun = perf_counter()
        do(client, job, job.count)
        seconds = perf_counter() - begun
        answer = Answer((_peak() - before) / 1e6, seconds)
    sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")


def _write(client: Client, job: Job, count: int) -> None:
    while count > 0:
        batch = min(count, job.batch)
        client.write_messages(payload.stream(job.category), _messages(batch))
        count -= batch


def _messages(count: int) -> Iterator[NewMessage]:
    return (payload.message() for _ in range(count))


def _read(client: Client, job: Job, count: int) -> None:
    for message in client.read_category(job.category):
        _ = message.data
        count -= 1
        if not count:
            return
    raise RuntimeError(f"the category ended {count} messages too early")


def _consume(client: Client, job: Job, count: int) -> None:
    consumer = Consumer(client, job.category, identifier=f"memory{count}")
    handled = 0

    @consumer.handler
    def handle(message: Message[Any]) -> None:
        nonlocal handled
        handled += 1
        _ = message.data
        if handled == count:
            raise Stop

    with suppress(HandlerError):
        consumer.run(until="caught_up")
    if handled != count:
        raise RuntimeError(f"the category ended {count - handled} messages too early")


def _reset_peak() -> int:
    """Make the memory of now the peak, where the system can, and return the peak in bytes."""
    with suppress(OSError):
        _CLEAR_REFS.write_text("5")
    return _peak()


def _peak() -> int:
    if _STATUS.exists():
        for line in _STATUS.read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


if __name__ == "__main__":
    main()
