"""Memory: a million messages through one process."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from . import children, payload
from .measure import Measure, quantity
from .memory_child import Answer, Job
from .report import MEGABYTES, RATE, Section
from .topic import Bench, Topic

_LIMIT = 50.0


def run(bench: Bench) -> Iterator[Section]:
    """Write a category, read it, and let a consumer handle it, each in a separate process."""
    count, batch = bench.pick((1_000_000, 10_000), (20_000, 10_000))
    write = f"messagedb: write_messages, {batch:,} in a call"
    read = "messagedb: read_category, every .data"
    consume = "messagedb: Consumer, every .data"
    names = {"write": write, "read": read, "consume": consume}
    category = payload.category("memory")
    with bench.server.genuine() as genuine:
        # The reading child uses the first messages of the category, from any writer.
        answers = {
            names[action]: _in_a_process(Job(action, genuine.conninfo, category, count, batch))
            for action in ("write", "read", "consume")
        }
    growth = [Measure(name=name, samples=[each.growth]) for name, each in answers.items()]
    yield Section(
        title=f"growth of the peak over {count:,} messages",
        unit=MEGABYTES,
        measures=growth,
        comparisons=[quantity(each, each.name, MEGABYTES, _LIMIT) for each in growth],
    )
    yield Section(
        title="the rate of it, for information",
        unit=RATE,
        measures=[
            Measure(name=name, samples=[each.seconds / count]) for name, each in answers.items()
        ],
    )


def _in_a_process(job: Job) -> Answer:
    with children.start("memory_child", msgspec.json.encode(job)) as child:
        return msgspec.json.decode(children.answer(child), type=Answer)


TOPIC = Topic(
    "memory",
    "Memory",
    "A separate process writes a million messages, from a generator; another one reads them, and"
    " in a third one a consumer handles them. Each does a hundred first; then its peak resident"
    " memory is compared with the memory that it had. One process each, so there is no spread.",
    run,
)
